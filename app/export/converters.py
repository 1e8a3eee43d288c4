"""Inference graph -> files. A row for every variant of a release."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from app.deploy import INPUT
from app.images import with_channels
from models.lazy import keras

OPSET = 17  # tf2onnx writes 17 and 18; 19 and more it refuses
BATCH = "batch"


@dataclass(frozen=True)
class Graph:
    """What a converter starts from.

    Args:
        model: the inference model.
        calibration: training pictures, uint8 [N, H, W, C].
        notes: what an ONNX file says of itself: texts by name.
        work: a folder for what is needed on the way.
    """

    model: Any
    calibration: np.ndarray[Any, Any]
    notes: dict[str, str]
    work: Path

    @cached_property
    def static_saved_model(self) -> Path:
        """The graph for one picture: a free batch would make some layers fail on a phone."""
        folder = self.work / "static"
        write_saved_model(self.model, folder, batch=1)
        return folder


@dataclass(frozen=True)
class Variant:
    """A file of a release.

    Args:
        name: on the command line.
        path: in the release.
        format: a row of `app.runners.FORMATS`.
        write: makes the file.
    """

    name: str
    path: str
    format: str
    precision: str
    write: Callable[[Graph, Path], None]


def write_saved_model(model: Any, folder: Path, batch: int | None) -> None:
    """A SavedModel with the signature `serving_default`.

    Keras's archive finds the weights by the endpoint; tf.saved_model.save around the model leaves them out without a word.
    To `track` the model as well would write them twice.
    """
    import tensorflow as tf

    archive = keras.export.ExportArchive()
    signature = tf.TensorSpec((batch, *model.input_shape[1:]), tf.float32, name=INPUT)
    archive.add_endpoint("serving_default", lambda image: model(image), input_signature=[signature])
    archive.write_out(str(folder), verbose=False)


def count_operations(model: Any) -> int:
    """How many operations the graph of a model has."""
    import tensorflow as tf

    signature = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    operations = tf.function(lambda image: model(image)).get_concrete_function(signature).graph.get_operations()
    return sum(operation.type not in ("Const", "ReadVariableOp", "Placeholder", "NoOp", "Identity") for operation in operations)


def _saved_model(graph: Graph, path: Path) -> None:
    write_saved_model(graph.model, path, batch=None)


def _tflite(settings: Callable[[Any, Graph], None]) -> Callable[[Graph, Path], None]:
    """Writes a TFLite file with a converter that `settings` has changed."""

    def write(graph: Graph, path: Path) -> None:
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_saved_model(str(graph.static_saved_model))
        settings(converter, graph)
        path.write_bytes(converter.convert())

    return write


def _fp32(_converter: Any, _graph: Graph) -> None:
    """As it comes."""


def _fp16(converter: Any, _graph: Graph) -> None:
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _dynamic(converter: Any, _graph: Graph) -> None:
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def _int8(converter: Any, graph: Graph) -> None:
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: calibration(graph)
    converter.inference_input_type = tf.uint8


def calibration(graph: Graph) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    """The calibration pictures, one at a time.

    The first one gets a black and a white pixel: the range of the input must be 0..255, whatever was photographed, or a
    client's bytes would mean other brightnesses than they do.
    """
    for number, picture in enumerate(with_channels(graph.calibration, 3)):
        image = picture[None].astype(np.float32)
        if number == 0:
            image[0, 0, 0], image[0, -1, -1] = 0, 255
        yield {INPUT: image}


def _onnx(graph: Graph, path: Path) -> None:
    import onnx
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, *graph.model.input_shape[1:]), tf.float32, name=INPUT)]
    function = tf.function(lambda image: graph.model(image), input_signature=signature)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    for tensor in (*proto.graph.input, *proto.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = BATCH
    number_tensors(proto.graph)
    proto.graph.doc_string = ""  # names a function that is called otherwise every time
    onnx.helper.set_model_props(proto, graph.notes)
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))


def number_tensors(graph: Any) -> None:
    """Names everything inside by its place: tf2onnx counts on from what the process converted before."""
    public = {tensor.name for tensor in (*graph.input, *graph.output)}
    inner = [tensor.name for tensor in graph.initializer] + [name for node in graph.node for name in node.output]
    names = {name: f"t{place}" for place, name in enumerate(inner) if name and name not in public}
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for place, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{place}"
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    del graph.value_info[:]


def notes(objective: str, classes: list[str], contract: dict[str, Any]) -> dict[str, str]:
    """What an ONNX file says of itself, so that it can be used alone."""
    return {
        "objective": objective,
        "labels": json.dumps(classes, ensure_ascii=False),
        "input": json.dumps(contract, ensure_ascii=False),
    }


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("saved_model", "saved_model", "saved_model", "fp32", _saved_model),
        Variant("tflite-fp32", "model-fp32.tflite", "tflite", "fp32", _tflite(_fp32)),
        Variant("tflite-fp16", "model-fp16.tflite", "tflite", "fp16", _tflite(_fp16)),
        Variant("tflite-dynamic", "model-dynamic.tflite", "tflite", "dynamic", _tflite(_dynamic)),
        Variant("tflite-int8", "model-int8.tflite", "tflite", "int8", _tflite(_int8)),
        Variant("onnx-fp32", "model.onnx", "onnx", "fp32", _onnx),
    )
}
