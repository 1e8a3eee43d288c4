import keras
import numpy as np
import pytest
import tensorflow as tf

from models import layers
from models.registry import get_model
from tests.models.built import kinds, macs, narrow, outlined, pictures

# Simonyan and Zisserman 2014, table 1: layers with weights; parameters; multiply-adds.
PUBLISHED = {
    "vgg_a": (11, 132_863_336, 7.61e9),
    "vgg_a_lrn": (11, 132_863_336, 7.61e9),
    "vgg_b": (13, 133_047_848, 11.31e9),
    "vgg_c": (16, 133_638_952, 11.77e9),
    "vgg_d": (16, 138_357_544, 15.47e9),
    "vgg_e": (19, 143_667_240, 19.63e9),
}
MAPS = {
    "block1_conv1": (224, 224, 64), "block1_pool": (112, 112, 64), "block2_pool": (56, 56, 128), "block3_pool": (28, 28, 256),
    "block4_pool": (14, 14, 512), "block5_pool": (7, 7, 512), "fc1": (4096,), "fc2": (4096,), "logits": (1000,),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_is_as_deep_and_as_large_as_published(name):
    spec, network, (depth, parameters, multiply_adds) = get_model(name), outlined(name), PUBLISHED[name]
    assert len([layer for layer in network.layers if layer.weights]) == depth
    assert network.count_params() == spec.parameters == parameters
    assert macs(network) == spec.macs == pytest.approx(multiply_adds, rel=1e-3)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_maps_have_the_sizes_of_the_paper(name):
    network = outlined(name)
    assert {layer: network.get_layer(layer).output.shape[1:] for layer in MAPS} == MAPS


def test_c_has_windows_of_one_pixel_where_d_has_nine():
    c, d = outlined("vgg_c"), outlined("vgg_d")
    ones = ["block3_conv3", "block4_conv3", "block5_conv3"]
    sizes = {name: c.get_layer(name).kernel_size for name in kinds(c, keras.layers.Conv2D)}
    assert [name for name, size in sizes.items() if size == (1, 1)] == ones
    assert [name for name in sizes if d.get_layer(name).kernel_size != sizes[name]] == ones


def test_one_network_has_response_normalisation_after_its_first_convolution():
    found = {name: kinds(outlined(name), layers.LocalResponseNormalization) for name in PUBLISHED}
    assert found == {name: ["block1_lrn"] if name == "vgg_a_lrn" else [] for name in PUBLISHED}
    network = outlined("vgg_a_lrn")
    assert network.get_layer("block1_lrn").input is network.get_layer("block1_conv1_relu").output


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "vgg_a"])
def test_a_deeper_network_can_start_from_all_layers_of_a(name):
    shapes = [
        {layer.name: [weight.shape for weight in layer.weights] for layer in outlined(each).layers if layer.weights}
        for each in ("vgg_a", name)
    ]
    assert shapes[0].items() <= shapes[1].items()
    assert len(shapes[1]) == PUBLISHED[name][0]


@pytest.mark.parametrize("channels", [3, 1])
def test_the_mean_colour_of_imagenet_is_taken_off(channels):
    """Of grey too, as if it were colour: its red, green and blue are the same, their means are not."""
    network = narrow("vgg_a", (32, 32, channels))
    centred = keras.Model(network.input, network.get_layer("block1_conv1").input)
    images = pictures((32, 32, channels))
    np.testing.assert_allclose(centred(images), images - np.array([123.68, 116.779, 103.939], np.float32), atol=1e-2)


@pytest.mark.parametrize("name", PUBLISHED)
def test_fresh_weights_give_logits_of_a_moderate_size(name):
    logits = np.asarray(narrow(name, width=0.25)(pictures((32, 32, 3), 16)))
    assert 0.02 < logits.std() < 20, "pixels of -128..128 must not reach the softmax"


def test_batch_normalisation_follows_every_convolution():
    network = outlined("vgg_d", normalisation="batch")
    convolutions = kinds(network, keras.layers.Conv2D)
    assert kinds(network, keras.layers.BatchNormalization) == [f"{name}_bn" for name in convolutions]
    assert not any(network.get_layer(name).use_bias for name in convolutions)


def test_dropout_spares_units_of_both_hidden_layers():
    network = outlined("vgg_a", dropout=0.5)
    assert {name: network.get_layer(name).rate for name in kinds(network, keras.layers.Dropout)} == {
        "fc1_dropout": 0.5, "fc2_dropout": 0.5
    }  # fmt: skip


@pytest.mark.parametrize(("side", "last"), [(17, 1), (28, 1), (32, 1), (33, 2), (224, 7)])
def test_odd_sides_are_halved_upwards(side, last):
    assert outlined("vgg_e", (side, side, 3)).get_layer("block5_pool").output.shape[1:3] == (last, last)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        *((name, (28, 28, 1), {}) for name in PUBLISHED),
        ("vgg_a", (17, 17, 1), {}),
        ("vgg_c", (32, 32, 3), {}),
        ("vgg_a_lrn", (32, 32, 3), {"normalisation": "batch"}),
        ("vgg_e", (32, 32, 1), {"normalisation": "batch"}),
    ],
)
def test_small_pictures_pass_and_every_weight_learns(name, shape, options):
    network = narrow(name, shape, **options)
    with tf.GradientTape() as tape:
        logits = network(pictures(shape, 8), training=True)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(np.arange(8) % 5, logits)
    assert logits.shape == (8, 5)
    assert np.isfinite(logits).all()
    weights = network.trainable_weights
    for weight, gradient in zip(weights, tape.gradient(loss, [w.value for w in weights]), strict=True):
        assert np.abs(gradient).max() > 0, weight.path
