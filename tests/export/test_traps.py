"""Conversions that go wrong without an error: each is walked into here, and has to stop the release."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from app.errors import UserError
from app.export import tflite
from app.export.converters import VARIANTS
from app.export.export import export
from app.export.graph import Graph
from app.export.metadata import Description, with_metadata
from app.runs import Run

CLASSES = tuple("0123456789")


def convert(graph: Graph, path: Path, function: Callable, batch: int | None = 1, **settings: object) -> str:
    """A TFLite file of any function of the pictures."""
    signature = tf.TensorSpec((batch, *graph.model.input_shape[1:]), tf.float32, name="image")
    archive = keras.export.ExportArchive()
    archive.track(graph.model)
    archive.add_endpoint("serving_default", function, input_signature=[signature])
    archive.write_out(str(graph.work / "trap"), verbose=False)
    return write(path, tf.lite.TFLiteConverter.from_saved_model(str(graph.work / "trap")), **settings)


def write(path: Path, converter: tf.lite.TFLiteConverter, **settings: object) -> str:
    for name, value in settings.items():
        setattr(converter, name, value)
    path.write_bytes(converter.convert())
    return ""


def lost_weights(graph: Graph, path: Path) -> str:
    signature = tf.TensorSpec((1, *graph.model.input_shape[1:]), tf.float32, name="image")
    function = tf.function(lambda image: graph.model(image)).get_concrete_function(signature)
    return write(path, tf.lite.TFLiteConverter.from_concrete_functions([function], graph.model))


def weights_lost_on_the_way(graph: Graph, path: Path) -> str:
    """The model saved as if it were a module of TensorFlow's."""
    module = tf.Module()
    module.model = graph.model
    signature = tf.TensorSpec((1, *graph.model.input_shape[1:]), tf.float32, name="image")
    module.serve = tf.function(lambda image: graph.model(image), input_signature=[signature])
    tf.saved_model.save(module, str(graph.work / "module"), signatures={"serving_default": module.serve})
    return write(path, tf.lite.TFLiteConverter.from_saved_model(str(graph.work / "module")))


def operator_of_tensorflow(graph: Graph, path: Path) -> str:
    def function(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.math.cumprod(graph.model(image)["probabilities"])}

    operators = tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS
    settings = tf.lite.TargetSpec(supported_ops=operators)
    return convert(graph, path, function, target_spec=settings)


def class_number(graph: Graph, path: Path) -> str:
    return convert(graph, path, lambda image: {"probabilities": tf.argmax(graph.model(image)["probabilities"], axis=-1)})


def logits(graph: Graph, path: Path) -> str:
    return convert(graph, path, lambda image: {"probabilities": tf.math.log(graph.model(image)["probabilities"])})


def pixels_up_to_one(graph: Graph, path: Path) -> str:
    return convert(graph, path, lambda image: graph.model(image * 255))


def a_class_too_many(graph: Graph, path: Path) -> str:
    def function(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.pad(graph.model(image)["probabilities"], ((0, 0), (0, 1)))}

    return convert(graph, path, function)


def a_label_too_few(graph: Graph, path: Path) -> str:
    tflite.fp32(graph, path)
    path.write_bytes(with_metadata(path.read_bytes(), Description("a", "b", labels=CLASSES[:9])))
    return ""


def any_number_of_pictures(graph: Graph, path: Path) -> str:
    return convert(graph, path, lambda image: graph.model(image), batch=None)


def bytes_for_an_input(graph: Graph, path: Path) -> str:
    """A network whose own input is of bytes, and casts them: the file is not of integers alone any more."""
    image = keras.Input(graph.model.input_shape[1:], name="image", dtype="uint8")
    model = keras.Model(image, graph.model(keras.ops.cast(image, "float32")))
    archive = keras.export.ExportArchive()
    signature = tf.TensorSpec((1, *model.input_shape[1:]), tf.uint8, name="image")
    archive.add_endpoint("serving_default", lambda image: model(image), input_signature=[signature])
    archive.write_out(str(graph.work / "bytes"), verbose=False)
    return write(path, tf.lite.TFLiteConverter.from_saved_model(str(graph.work / "bytes")))


TRAPS = {
    lost_weights: r"has the operator .*VAR.*: its weights are missing",
    weights_lost_on_the_way: r"has the operator .*VAR.*: its weights are missing|too small to hold",
    operator_of_tensorflow: r"needs the operator FlexCumprod, which phones do not have",
    class_number: r"gives 1 probabilities for 10 classes",
    logits: r"gives probabilities that do not add up to 1; the softmax has to be inside",
    pixels_up_to_one: r"an output is [\d.]+ from Keras; the bound for fp32 is 0.0001",
    a_class_too_many: r"gives 11 probabilities for 10 classes",
    a_label_too_few: r"9 labels for 'probabilities', which has 10 values",
    any_number_of_pictures: r"takes \[-1, 28, 28, 3\], -1 being any; phones and browsers need a fixed size",
    bytes_for_an_input: r"takes uint8 with scale and zero point \(0.0, 0\)",
}


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
def test_a_conversion_that_went_wrong_in_silence_stops_the_release(run: Run, tmp_path, monkeypatch, trap):
    monkeypatch.setitem(VARIANTS, "tflite-fp32", replace(VARIANTS["tflite-fp32"], write=trap))
    monkeypatch.setattr("app.export.export.VARIANTS", {"tflite-fp32": VARIANTS["tflite-fp32"]})
    with pytest.raises(UserError, match=f"^model-fp32.tflite.*({TRAPS[trap]})"):
        export(run, tmp_path, say=lambda line: None)
    assert not list(tmp_path.rglob("*"))
