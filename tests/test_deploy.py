import io

import keras
import numpy as np
import pytest
from PIL import Image

from app.deploy import dense_model, grey_front, inference_model
from app.images import GREY, load_picture, with_channels
from models.registry import get_model


def test_grey_is_what_the_files_reader_makes_of_colour():
    colours = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    grey = np.asarray(grey_front()(colours.astype(np.float32)))
    np.testing.assert_allclose(grey, with_channels(colours, 1), atol=0.501)
    file = io.BytesIO()
    Image.fromarray(colours[0]).save(file, "PNG")
    np.testing.assert_allclose(grey[0], load_picture(file.getvalue(), (64, 64, 1)), atol=0.501)


def test_a_grey_picture_stays_as_it_is():
    levels = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1)
    np.testing.assert_allclose(grey_front()(np.repeat(levels, 3, axis=-1)), levels, atol=1e-4)
    assert sum(GREY) == 65_536


def test_a_grey_network_answers_a_grey_picture_as_before():
    network = get_model("lenet5").build((28, 28, 1), 10)
    pictures = np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1)).astype(np.float32)
    answers = inference_model(network, "classification")(np.repeat(pictures, 3, axis=-1))["probabilities"]
    np.testing.assert_allclose(answers, keras.ops.softmax(network(pictures)), atol=1e-5)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_answers_are_float32_whatever_the_network_is(precision):
    keras.config.set_dtype_policy(precision)
    try:
        network = get_model("mlp").build((8, 8, 1), 4)
    finally:
        keras.config.set_dtype_policy("float32")
    model = inference_model(network, "classification")
    assert (model.input.dtype, model.outputs[0].dtype) == ("float32", "float32")
    assert [tensor.name for tensor in model.inputs] == ["image"]
    assert list(model.output) == ["probabilities"]


def colour_pictures(count, side, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (count, side, side, 3)).astype(np.float32)


@pytest.mark.parametrize(("name", "side"), [("lenet5", 32), ("lenet5_1998", 32), ("cnn", 28), ("mlp", 9), ("resnet20", 32)])
def test_slid_over_a_picture_of_its_own_size_a_network_answers_as_ever(name, side):
    network = get_model(name).build((side, side, 1), 5)
    pictures = colour_pictures(3, side)
    dense, plain = (
        model(pictures)["probabilities"] for model in (dense_model(network), inference_model(network, "classification"))
    )
    np.testing.assert_allclose(dense, plain, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "side", "options"),
    [
        ("mlp", 9, {"activation": "maxout"}),
        ("cnn", 16, {"activation": "maxout", "maps": 4}),
        ("alexnet", 32, {"width": 0.0625}),
        ("vgg_a", 32, {"width": 0.0625}),
        ("googlenet", 17, {"width": 0.0625}),
    ],
)
def test_slid_over_its_own_size_a_network_answers_as_ever_whatever_comes_before_its_dense_layers(name, side, options):
    network = get_model(name).build((side, side, 3), 5, **options)
    generator = np.random.default_rng(1)
    for weight in network.weights:  # alive: the first weights of a classifier say nearly the same of every picture
        if weight.name == "kernel":
            weight.assign(generator.normal(0, 1.4 / np.sqrt(np.prod(weight.shape[:-1])), weight.shape))
    pictures = colour_pictures(3, side)
    dense, plain = (
        model(pictures)["probabilities"] for model in (dense_model(network), inference_model(network, "classification"))
    )
    np.testing.assert_allclose(dense, plain, atol=1e-5)
    assert np.ptp(np.asarray(plain), axis=0).max() > 1e-3


def test_slid_over_a_larger_picture_a_network_gives_the_mean_of_its_logits_at_all_places():
    network = get_model("cnn").build((16, 16, 3), 5, maps=4)
    # Pooled by four and padded inside: places four pixels apart see the same, but for their margins, which are black here.
    pictures = np.full((1, 24, 24, 3), 127.5, np.float32)
    pictures[:, 10:13, 11:14] = colour_pictures(1, 3)
    places = [pictures[:, row : row + 16, column : column + 16] for row in (0, 4, 8) for column in (0, 4, 8)]
    margins = network.get_layer("conv1").bias, network.get_layer("conv2").bias
    assert not any(np.asarray(bias).any() for bias in margins)
    expected = keras.ops.softmax(np.mean([np.asarray(network(place)) for place in places], axis=0))
    dense = dense_model(network)(pictures)["probabilities"]
    np.testing.assert_allclose(dense, expected, atol=1e-5)


def test_rows_that_are_steps_have_no_dense_form():
    with pytest.raises(ValueError, match="rows takes pictures of one size alone"):
        dense_model(get_model("rnn").build((28, 28, 1), 10))
