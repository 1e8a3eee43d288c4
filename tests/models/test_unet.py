import keras
import numpy as np
import pytest
import tensorflow as tf

from app.explain.graph import skeleton
from app.explain.inspect import inspect
from models.registry import get_model
from models.segmentation import with_margin, without_margin
from tests.models.built import kinds, macs, narrow, outlined, pictures
from tests.models.segmenting import converted, learn, reloaded, settled, unreached


@pytest.mark.parametrize(("channels", "classes", "parameters"), [(1, 2, 31_030_658), (3, 11, 31_032_395)])
def test_it_is_as_large_as_the_paper_draws_it(channels, classes, parameters):
    assert skeleton(get_model("unet"), (32, 32, channels), classes, {}).count_params() == parameters
    assert get_model("unet").parameters == 31_030_658


def test_figure_1_has_23_convolutions_and_these_maps():
    network = outlined("unet")
    convolutions = [*kinds(network, keras.layers.Conv2D), *kinds(network, keras.layers.Conv2DTranspose)]
    assert len(set(convolutions)) == 23
    sizes = {name: network.get_layer(name).output.shape[1:] for name in ("down1_conv2", "down4_conv2", "bottom_conv2", "up4")}
    assert sizes == {
        "down1_conv2": (512, 512, 64), "down4_conv2": (64, 64, 512), "bottom_conv2": (32, 32, 1024), "up4": (64, 64, 512)
    }  # fmt: skip
    assert network.get_layer("up1_join").output.shape[1:] == (512, 512, 128)
    assert network.output.shape[1:] == (512, 512, 2)


def test_interpolation_takes_as_many_weights_as_transposed_convolutions():
    network = outlined("unet", (16, 16, 1), upsampling="bilinear")
    assert network.count_params() == 31_030_658
    assert not kinds(network, keras.layers.Conv2DTranspose)


def test_the_small_one_has_normalisation_and_a_sixteenth_of_the_weights():
    spec, network = get_model("unet_small"), outlined("unet_small")
    trainable = sum(np.prod(weight.shape) for weight in network.trainable_weights)
    assert (trainable, network.count_params() - trainable) == (spec.parameters, spec.fixed_parameters)
    assert spec.parameters == pytest.approx(31_032_395 / 16, rel=2e-3)
    assert len(kinds(network, keras.layers.BatchNormalization)) == 18


@pytest.mark.parametrize("shape", [(16, 16, 1), (17, 33, 3), (45, 60, 3), (48, 64, 1)])
def test_the_logits_are_as_large_as_the_picture(shape):
    network = narrow("unet", shape)
    assert network.output.shape[1:] == (*shape[:2], 5)
    assert network(pictures(shape)).shape == (4, *shape[:2], 5)


@pytest.mark.parametrize("shape", [(18, 45, 2), (16, 32, 1), (1, 31, 3)])
def test_a_margin_is_cut_off_where_it_was_put(shape):
    image = keras.Input(shape)
    wide = with_margin(image, 16)
    assert [side % 16 for side in wide.shape[1:3]] == [0, 0]
    images = pictures(shape)
    np.testing.assert_array_equal(keras.Model(image, without_margin(wide, shape[:2]))(images), images)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("unet", (32, 32, 1), {}),
        ("unet", (37, 50, 3), {"normalisation": "batch", "dropout": 0.2}),
        ("unet", (32, 32, 3), {"upsampling": "bilinear"}),
        ("unet_small", (32, 32, 3), {"width": 0.25}),
        ("unet_small", (48, 60, 3), {"width": 0.25, "resolution": 2 / 3}),
    ],
)
def test_every_weight_learns_from_the_first_step(name, shape, options):
    assert unreached(narrow(name, shape, **options), shape, 5) == []


def test_at_a_lower_resolution_only_the_two_ends_are_as_large_as_the_picture():
    network = narrow("unet_small", (60, 90, 3), width=0.25, resolution=2 / 3)
    assert network.get_layer("reduce").output.shape[1:3] == network.get_layer("logits").output.shape[1:3] == (40, 60)
    assert network.get_layer("down1_conv1").output.shape[1:3] == (48, 64)
    images = pictures((60, 90, 3), 2)
    logits = keras.Model(network.input, network.get_layer("logits").output)(images)
    enlarged = tf.image.resize(logits, (60, 90), "bilinear")
    np.testing.assert_allclose(network(images), enlarged, atol=1e-5)


@pytest.mark.parametrize("resolution", [0.0, -1.0, 1.5, float("nan")])
def test_a_resolution_that_is_no_share_is_refused(resolution):
    with pytest.raises(ValueError, match=r"a resolution of .*; give a number above 0 and up to 1"):
        narrow("unet_small", (32, 32, 3), resolution=resolution)


def test_dropout_is_at_the_end_of_the_contracting_path():
    network = narrow("unet", dropout=0.5)
    assert {name: network.get_layer(name).rate for name in kinds(network, keras.layers.Dropout)} == {
        "down4_dropout": 0.5, "bottom_dropout": 0.5
    }  # fmt: skip


def test_it_comes_back_from_a_file(tmp_path):
    network = narrow("unet_small", (20, 20, 3), width=0.25)
    images = pictures((20, 20, 3))
    np.testing.assert_array_equal(reloaded(network, tmp_path / "unet.keras")(images), network(images))


def test_multiply_adds_are_those_of_the_kernels():
    network = outlined("unet")
    doubled = [network.get_layer(name) for name in kinds(network, keras.layers.Conv2DTranspose)]
    upwards = sum(int(np.prod(layer.kernel.shape) * np.prod(layer.input.shape[1:-1])) for layer in doubled)
    assert macs(network) + upwards == get_model("unet").macs
    assert inspect("unet_small").macs == get_model("unet_small").macs


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet", "unet_small"])
def test_it_learns_eight_pictures_by_heart(name):
    width = {"unet": 0.125, "unet_small": 0.5}[name]
    assert learn(name, (32, 32, 1), 60, width=width) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"upsampling": "bilinear"}, {"resolution": 2 / 3}])
def test_its_files_answer_as_it_does(options, tmp_path):
    network = settled(narrow("unet_small", (40, 52, 3), width=0.25, **options))
    ours, phone, server = converted(network, tmp_path, pictures((40, 52, 3), 2))
    assert ours.std() > 0.01
    np.testing.assert_allclose(phone, ours, atol=1e-5)
    np.testing.assert_allclose(server, ours, atol=1e-5)
