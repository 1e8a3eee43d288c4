import re

import keras
import numpy as np
import pytest

from models import layers
from models.registry import get_model
from tests.models.built import macs, pictures

IMAGENET = {  # He et al. 2015, table 1: weights to train and multiply-adds
    "resnet18": (11_689_512, 1.81e9),
    "resnet34": (21_797_672, 3.66e9),
    "resnet50": (25_557_032, 4.09e9),
    "resnet101": (44_549_160, 7.80e9),
    "resnet152": (60_192_808, 11.51e9),
}
CIFAR = {  # table 6; a plain network has as many as the residual one
    "resnet20": 0.27e6, "resnet32": 0.46e6, "resnet44": 0.66e6, "resnet56": 0.85e6, "resnet110": 1.7e6,
    "plain20": 0.27e6, "plain56": 0.85e6,
}  # fmt: skip
LIBRARY = {  # all parameters as keras.applications counts them, and multiply-adds
    "resnet50_keras": (25_636_712, 3.86e9),
    "resnet101_keras": (44_707_176, 7.57e9),
    "resnet152_keras": (60_419_944, 11.28e9),
}


def outlined(name, shape=None, classes=None, **options):
    """A network of full size without the memory for its weights."""
    spec = get_model(name)
    with keras.StatelessScope(initialize_variables=False):
        return spec.build(shape or spec.input_shape, classes or spec.classes, **options)


def count(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


# The tables of the paper


@pytest.mark.parametrize("name", [*IMAGENET, *CIFAR, *LIBRARY])
def test_the_networks_are_those_of_the_papers_tables(name):
    spec, network = get_model(name), outlined(name)
    weights, statistics = count(network.trainable_weights), count(network.non_trainable_weights)
    assert (weights, statistics, macs(network)) == (spec.parameters, spec.fixed_parameters, spec.macs)
    if name in CIFAR:
        assert float(f"{weights:.2g}") == CIFAR[name]
    elif name in LIBRARY:
        assert (weights + statistics, macs(network)) == (LIBRARY[name][0], pytest.approx(LIBRARY[name][1], rel=2e-3))
    else:
        assert (weights, macs(network)) == (IMAGENET[name][0], pytest.approx(IMAGENET[name][1], rel=3e-3))


@pytest.mark.parametrize(
    ("name", "side", "expected"),
    [
        ("resnet18", 224, [112, 56, 28, 14]),
        ("resnet50", 96, [48, 24, 12, 6]),
        ("resnet50_keras", 97, [49, 25, 13, 7]),
        ("resnet18", 95, [95, 95, 48, 24]),
        ("resnet50_keras", 32, [32, 32, 16, 8]),
        ("resnet20", 32, [32, 32, 16, 8]),
        ("resnet20", 224, [224, 224, 112, 56]),
        ("plain20", 28, [28, 28, 14, 7]),
    ],
)
def test_small_pictures_keep_their_size_as_far_as_the_second_stage(name, side, expected):
    network = outlined(name, (side, side, 3))
    assert [
        network.get_layer(place).output.shape[1] for place in ("conv1", "conv2_1_1", "conv3_1_relu", "conv4_1_relu")
    ] == expected


def test_resnet_18_for_small_pictures_has_the_size_that_is_known():
    network = outlined("resnet18", (32, 32, 3), 10)
    assert count(network.trainable_weights) == 11_173_962
    assert macs(network) == pytest.approx(555e6, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "step", "other"), [("resnet50", "conv3_1_2", "conv3_1_1"), ("resnet50_keras", "conv3_1_1", "conv3_1_2")]
)
def test_a_bottleneck_halves_the_picture_where_its_form_says(name, step, other):
    network = outlined(name)
    assert network.get_layer(step).strides == (2, 2)
    assert network.get_layer(other).strides == (1, 1)


# What makes them residual


def test_a_shortcut_without_weights_keeps_every_second_pixel_and_adds_channels_of_zeros():
    maps = pictures((7, 6, 3))
    expected = np.zeros((4, 4, 3, 8), np.float32)
    for row in range(4):
        for column in range(3):
            expected[:, row, column, :3] = maps[:, 2 * row, 2 * column]
    shortcut = layers.IdentityShortcut(8)
    np.testing.assert_array_equal(shortcut(maps), expected)
    assert shortcut.compute_output_shape((None, 7, 6, 3)) == (None, 4, 3, 8)
    assert shortcut.compute_output_shape((None, None, None, 3)) == (None, None, None, 8)
    again = layers.IdentityShortcut.from_config(shortcut.get_config())
    np.testing.assert_array_equal(again(maps), expected)


def test_a_shortcut_without_weights_cannot_drop_channels():
    with pytest.raises(ValueError, match="gives 2 channels and gets 3"):
        layers.IdentityShortcut(2)(pictures((4, 4, 3)))


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "resnet50", "resnet50_keras"])
def test_a_block_whose_convolutions_give_nothing_passes_its_input_on(name):
    network = get_model(name).build((32, 32, 3), 4, width=0.125)
    last = max(number for number in (2, 3) if f"conv2_2_{number}" in {layer.name for layer in network.layers})
    normalisation = network.get_layer(f"conv2_2_{last}_bn")
    normalisation.set_weights(
        [np.zeros_like(weight) for weight in normalisation.get_weights()[:3]] + normalisation.get_weights()[3:]
    )
    blocks = keras.Model(network.input, [network.get_layer(block).output for block in ("conv2_1_relu", "conv2_2_relu")])
    before, after = blocks(pictures((32, 32, 3)))
    np.testing.assert_array_equal(after, before)
    assert np.abs(before).max() > 0


def test_a_plain_network_has_the_weights_of_the_residual_one_and_no_shortcuts():
    residual, plain = (get_model(name).build((32, 32, 3), 10) for name in ("resnet20", "plain20"))
    assert [weight.shape for weight in plain.weights] == [weight.shape for weight in residual.weights]
    assert not [layer.name for layer in plain.layers if isinstance(layer, keras.layers.Add)]
    assert sum(isinstance(layer, keras.layers.Add) for layer in residual.layers) == 9
    plain.set_weights(residual.get_weights())
    images = pictures((32, 32, 3))
    assert np.abs(np.asarray(plain(images)) - np.asarray(residual(images))).max() > 0.1


# Squeeze-and-excitation


def test_squeeze_and_excitation_adds_the_weights_that_the_paper_counts():
    blocks, channels = (3, 4, 6, 3), (256, 512, 1024, 2048)
    expected = 2 / 16 * sum(n * c**2 for n, c in zip(blocks, channels, strict=True))  # Hu et al. 2018, equation 5
    assert count(outlined("resnet50", squeeze=16).trainable_weights) - 25_557_032 == expected
    assert expected == pytest.approx(2.5e6, rel=0.01)  # the paper's own figure


def test_squeeze_and_excitation_weighs_each_channel_by_what_all_of_them_hold():
    network = get_model("resnet20").build((16, 16, 3), 4, squeeze=4)
    names = ("conv3_2_2_bn", "conv3_2_squeeze_scale")
    maps, weighed = keras.Model(network.input, [network.get_layer(name).output for name in names])(pictures((16, 16, 3)))
    down, up = (network.get_layer(f"conv3_2_squeeze_{part}").get_weights()[0][0, 0] for part in ("down", "up"))
    assert down.shape == (32, 8)
    hidden = np.maximum(np.asarray(maps).mean(axis=(1, 2)) @ down, 0)
    share = 1 / (1 + np.exp(-hidden @ up))
    assert share.std() > 0.01
    np.testing.assert_allclose(weighed, maps * share[:, None, None], rtol=1e-4, atol=1e-5)


def test_a_negative_reduction_is_refused():
    with pytest.raises(ValueError, match="a reduction ratio of -1; give 1 or more, or 0"):
        outlined("resnet20", squeeze=-1)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet50_keras", "resnet20", "plain20"])
def test_narrow_networks_learn_with_every_weight_from_small_grey_pictures(name):
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    network = get_model(name).build((28, 28, 1), 4, width=0.125, squeeze=2)
    with tf.GradientTape() as tape:
        logits = network(pictures((28, 28, 1), 8), training=True)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(np.arange(8) % 4, logits)
    for weight, gradient in zip(
        network.trainable_weights, tape.gradient(loss, [weight.value for weight in network.trainable_weights]), strict=True
    ):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        cancelled = name == "resnet50_keras" and re.search(r"conv\d[^/]*/bias", weight.path)  # normalisation takes it off again
        assert cancelled or np.abs(gradient).max() > 0, weight.path
