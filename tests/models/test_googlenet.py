from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import layers
from models.registry import get_model

MAIN, HEADS = 6_998_552, 6_379_728  # trainable parameters: what is deployed, both auxiliary heads
MAPS = {  # Szegedy et al. 2014, table 1
    "conv1": (112, 112, 64), "pool1": (56, 56, 64), "conv2_reduce": (56, 56, 64), "conv2": (56, 56, 192),
    "pool2": (28, 28, 192), "inception_3a": (28, 28, 256), "inception_3b": (28, 28, 480), "pool3": (14, 14, 480),
    "inception_4a": (14, 14, 512), "inception_4b": (14, 14, 512), "inception_4c": (14, 14, 512), "inception_4d": (14, 14, 528),
    "inception_4e": (14, 14, 832), "pool4": (7, 7, 832), "inception_5a": (7, 7, 832), "inception_5b": (7, 7, 1024),
    "features": (1024,), "logits": (1000,), "auxiliary1_pool": (4, 4, 512), "auxiliary2_pool": (4, 4, 528),
    "auxiliary1_conv": (4, 4, 128), "auxiliary2_fc": (1024,), "auxiliary1": (1000,), "auxiliary2": (1000,),
}  # fmt: skip
SMALL = {
    "conv1": (32, 32), "conv2": (32, 32), "inception_3b": (32, 32), "inception_4a": (16, 16), "auxiliary1_pool": (4, 4),
    "inception_5b": (8, 8),
}  # fmt: skip


@cache
def outlined(shape=(224, 224, 3), classes=1000, **options):
    """The network at full size without the memory for its weights."""
    with keras.StatelessScope(initialize_variables=False):
        return get_model("googlenet").build(shape, classes, **options)


def narrow(shape=(32, 32, 3), classes=5, **options):
    keras.utils.set_random_seed(0)
    return get_model("googlenet").build(shape, classes, **{"width": 0.0625, **options})


def pictures(shape, count=4):
    return np.random.default_rng(0).uniform(0, 255, (count, *shape)).astype(np.float32)


def kinds(network, kind):
    return [layer.name for layer in network.layers if isinstance(layer, kind)]


def macs(network):
    kernels = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)]
    return sum(int(np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:-1])) for layer in kernels)


def test_it_is_as_large_as_published_with_and_without_its_auxiliary_heads():
    spec, whole, main = get_model("googlenet"), outlined(), outlined(auxiliary=False)
    assert main.count_params() == spec.parameters == MAIN
    assert whole.count_params() - main.count_params() == spec.auxiliary_parameters == HEADS
    assert macs(main) == spec.macs == pytest.approx(1.58e9, rel=2e-3)


def test_the_maps_have_the_sizes_of_the_papers_table():
    network = outlined()
    assert {name: network.get_layer(name).output.shape[1:] for name in MAPS} == MAPS


def test_small_pictures_keep_their_size_through_the_stem():
    network = outlined((32, 32, 3))
    assert {name: network.get_layer(name).output.shape[1:3] for name in SMALL} == SMALL
    assert not {"pool1", "pool2"} & {layer.name for layer in network.layers}
    assert outlined((96, 96, 3)).get_layer("conv1").kernel.shape == (7, 7, 3, 64)


def test_a_module_sees_its_input_in_four_ways_side_by_side():
    network = outlined()
    parts = ["1x1_relu", "3x3_relu", "5x5_relu", "pool_projection_relu"]
    assert [each.name for each in network.get_layer("inception_4a").input] == [
        network.get_layer(f"inception_4a_{part}").output.name for part in parts
    ]
    seen = ["inception_4a_1x1", "inception_4a_3x3_reduce", "inception_4a_5x5_reduce", "inception_4a_pool"]
    assert all(network.get_layer(name).input is network.get_layer("pool3").output for name in seen)


def test_the_heads_are_named_outputs_and_leave_with_the_option():
    whole, main = outlined(), outlined(auxiliary=False)
    assert {name: value.shape for name, value in whole.output.items()} == dict.fromkeys(
        ("logits", "auxiliary1", "auxiliary2"), (None, 1000)
    )
    assert main.output.shape == (None, 1000)
    assert not [layer.name for layer in main.layers if "auxiliary" in layer.name]
    assert whole.get_layer("auxiliary1_pool").input is whole.get_layer("inception_4a").output
    assert whole.get_layer("auxiliary2_pool").input is whole.get_layer("inception_4d").output


def test_the_main_path_answers_the_same_with_and_without_heads():
    whole, main = narrow(), narrow(auxiliary=False)
    for layer in main.layers:
        layer.set_weights(whole.get_layer(layer.name).get_weights())
    images = pictures((32, 32, 3))
    np.testing.assert_allclose(main(images), whole(images)["logits"], rtol=1e-5, atol=1e-6)


def test_dropout_is_the_recipes_before_the_logits_and_the_papers_in_the_heads():
    network = outlined(dropout=0.4)
    assert {name: network.get_layer(name).rate for name in kinds(network, keras.layers.Dropout)} == {
        "dropout": 0.4, "auxiliary1_dropout": 0.7, "auxiliary2_dropout": 0.7
    }  # fmt: skip


def test_normalisation_is_the_papers_or_that_of_batches():
    response, batch = outlined(), outlined(normalisation="batch")
    assert kinds(outlined((32, 32, 3)), layers.LocalResponseNormalization) == ["pool1_lrn", "conv2_lrn"]
    assert kinds(response, layers.LocalResponseNormalization) == ["pool1_lrn", "conv2_lrn"]
    assert response.get_layer("conv2_lrn").input is response.get_layer("conv2_relu").output
    assert not kinds(response, keras.layers.BatchNormalization)
    assert not kinds(batch, layers.LocalResponseNormalization)
    convolutions = kinds(batch, keras.layers.Conv2D)
    assert {f"{name}_bn" for name in convolutions} == set(kinds(batch, keras.layers.BatchNormalization))
    assert len(convolutions) == 3 + 9 * 6 + 2


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((9, 9, 1), {}),
        ((28, 28, 1), {"normalisation": "batch"}),
        ((96, 96, 3), {}),
    ],
)
def test_pictures_of_many_sizes_pass_and_every_weight_learns(shape, options):
    network = narrow(shape, **{"width": 0.25, **options})
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        outputs = network(pictures(shape, 8), training=True)
        loss = sum(loss_of(np.arange(8) % 5, outputs[name]) for name in ("logits", "auxiliary1", "auxiliary2"))
    assert all(np.isfinite(each).all() for each in outputs.values())
    weights = network.trainable_weights
    for weight, gradient in zip(weights, tape.gradient(loss, [w.value for w in weights]), strict=True):
        assert np.abs(gradient).max() > 0, weight.path


def test_fewer_pixels_than_the_smallest_cannot_pass():
    least = get_model("googlenet").min_size
    with pytest.raises(ValueError, match="zero or negative"):
        outlined((least - 1, least - 1, 3))
