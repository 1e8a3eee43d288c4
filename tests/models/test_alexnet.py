import keras
import numpy as np
import pytest
import tensorflow as tf

from models import layers
from models.registry import get_model
from tests.models.built import kinds, macs, narrow, outlined, pictures

PUBLISHED = {"alexnet": (62_378_344, 1135e6), "alexnet_grouped": (60_965_224, 724e6)}  # parameters, multiply-adds
LARGE = {
    "conv1": (55, 55, 96), "pool1": (27, 27, 96), "conv2": (27, 27, 256), "pool2": (13, 13, 256), "conv3": (13, 13, 384),
    "conv4": (13, 13, 384), "conv5": (13, 13, 256), "pool5": (6, 6, 256), "fc6": (4096,), "fc7": (4096,), "logits": (1000,),
}  # fmt: skip
SMALL = {"conv1": (32, 32), "pool1": (15, 15), "conv2": (15, 15), "pool2": (7, 7), "conv5": (7, 7), "pool5": (3, 3)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_is_as_large_as_published(name):
    spec, network, (parameters, multiply_adds) = get_model(name), outlined(name), PUBLISHED[name]
    assert network.count_params() == spec.parameters == parameters
    assert macs(network) == spec.macs == pytest.approx(multiply_adds, rel=1e-3)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_maps_have_the_sizes_of_the_paper(name):
    network = outlined(name)
    assert {layer: network.get_layer(layer).output.shape[1:] for layer in LARGE} == LARGE


def test_small_pictures_keep_their_size_in_the_first_convolution():
    network = outlined("alexnet", (32, 32, 3))
    assert {layer: network.get_layer(layer).output.shape[1:3] for layer in SMALL} == SMALL
    assert network.get_layer("conv1").kernel.shape == (5, 5, 3, 96)
    assert outlined("alexnet", (96, 96, 3)).get_layer("conv1").kernel.shape == (11, 11, 3, 96)


def test_three_convolutions_of_the_two_towers_see_their_own_half():
    network = narrow("alexnet_grouped")
    halves = [name for name in kinds(network, keras.layers.Conv2D) if network.get_layer(name).groups == 2]
    assert halves == ["conv2", "conv4", "conv5"]
    before, after = network.get_layer("conv2").input, network.get_layer("conv2").output
    conv2 = keras.Model(before, after)
    maps = pictures(before.shape[1:], 1)
    other = maps.copy()
    half = maps.shape[-1] // 2
    other[..., :half] += 10
    changed = (np.asarray(conv2(maps)) != np.asarray(conv2(other))).any(axis=(0, 1, 2))
    assert changed[: len(changed) // 2].all()
    assert not changed[len(changed) // 2 :].any()


@pytest.mark.parametrize("width", [0.01, 0.1, 0.33])
def test_any_width_can_be_shared_by_two_towers(width):
    network = outlined("alexnet_grouped", (32, 32, 3), width=width)
    assert all(network.get_layer(name).filters % 2 == 0 for name in kinds(network, keras.layers.Conv2D))


def test_normalisation_is_the_papers_or_that_of_batches_or_none():
    response, batch = layers.LocalResponseNormalization, keras.layers.BatchNormalization
    found = {choice: outlined("alexnet", normalisation=choice) for choice in ("lrn", "batch", "none")}
    assert {choice: kinds(network, response) for choice, network in found.items()} == {
        "lrn": ["conv1_lrn", "conv2_lrn"], "batch": [], "none": []
    }  # fmt: skip
    assert {choice: kinds(network, batch) for choice, network in found.items()} == {
        "lrn": [], "batch": [f"conv{number}_bn" for number in range(1, 6)], "none": []
    }  # fmt: skip
    layer = found["lrn"].get_layer("conv1_lrn")
    assert (layer.depth, layer.k, layer.alpha, layer.beta) == (5, 2, 1e-4, 0.75)
    assert layer.input is found["lrn"].get_layer("conv1_relu").output, "it comes after the rectifier"
    assert layer.output is found["lrn"].get_layer("pool1").input, "and before the pool"


def test_dropout_spares_units_of_both_hidden_layers():
    network = outlined("alexnet", dropout=0.5)
    assert {name: network.get_layer(name).rate for name in kinds(network, keras.layers.Dropout)} == {
        "fc6_dropout": 0.5, "fc7_dropout": 0.5
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("alexnet", (15, 15, 1), {}),
        ("alexnet", (28, 28, 1), {"normalisation": "none"}),
        ("alexnet", (96, 96, 3), {}),
        ("alexnet_grouped", (28, 28, 1), {"normalisation": "batch"}),
        ("alexnet_grouped", (32, 32, 3), {}),
    ],
)
def test_pictures_of_many_sizes_pass_and_every_weight_learns(name, shape, options):
    network = narrow(name, shape, **options)
    with tf.GradientTape() as tape:
        logits = network(pictures(shape, 8), training=True)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(np.arange(8) % 5, logits)
    assert logits.shape == (8, 5)
    assert np.isfinite(logits).all()
    weights = network.trainable_weights
    for weight, gradient in zip(weights, tape.gradient(loss, [w.value for w in weights]), strict=True):
        assert np.abs(gradient).max() > 0, weight.path


@pytest.mark.parametrize("name", PUBLISHED)
def test_fewer_pixels_than_the_smallest_cannot_pass(name):
    least = get_model(name).min_size
    with pytest.raises(ValueError, match="zero or negative"):
        outlined(name, (least - 1, least - 1, 3))
