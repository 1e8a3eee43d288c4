import io

import keras
import numpy as np
import pytest
from PIL import Image

from app.deploy import grey_front, inference_model
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
