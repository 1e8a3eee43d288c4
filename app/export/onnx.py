"""Inference graph -> ONNX files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from app.deploy import INPUT
from app.export.graph import Graph, Notes

OPSET = 17  # tf2onnx writes 17 and 18; 19 and more it refuses
BATCH = "batch"


def fp32(graph: Graph, path: Path) -> str:
    """Everything in float32."""
    shutil.copyfile(_source(graph), path)
    return ""


def fp16(graph: Graph, path: Path) -> str:
    """Weights and arithmetic in float16; what goes in and comes out stays float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    network = OnnxModel(convert_float_to_float16(onnx.load(_source(graph)), keep_io_types=True))
    network.topological_sort()  # the casts at both ends come last otherwise, which the format forbids
    return _finish(network.model, graph.notes, path)


def int8(graph: Graph, path: Path) -> str:
    """Weights in int8, one scale a channel, and activations between pairs of quantise and dequantise nodes."""
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared, quantised = graph.work / "prepared.onnx", graph.work / "quantised.onnx"
    quant_pre_process(_source(graph), prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        quantised,
        _Calibration(graph),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
    )
    _finish(onnx.load(quantised), graph.notes, path)
    return f"per channel, {len(graph.calibration)} calibration pictures"


class _Calibration:
    """The calibration pictures, as ONNX Runtime reads them."""

    def __init__(self, graph: Graph) -> None:
        self._pictures: Iterator[dict[str, np.ndarray[Any, Any]]] = graph.calibrating()

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        return next(self._pictures, None)


def _source(graph: Graph) -> Path:
    """The float32 file, which the others are made from."""
    path = graph.work / "fp32.onnx"
    if not path.exists():
        _convert(graph, path)
    return path


def _convert(graph: Graph, path: Path) -> None:
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, *graph.model.input_shape[1:]), tf.float32, name=INPUT)]
    function = tf.function(lambda image: graph.model(image), input_signature=signature)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    for tensor in (*proto.graph.input, *proto.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = BATCH
    _finish(proto, graph.notes, path)


def _finish(proto: Any, notes: Notes, path: Path) -> str:
    """Writes a network with its notes, and with names that follow from its graph alone."""
    import onnx

    share_constants(proto.graph)
    number_tensors(proto.graph)
    proto.graph.doc_string = ""  # names a function that is called otherwise every time
    onnx.helper.set_model_props(proto, properties(notes))
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))
    return ""


def share_constants(graph: Any) -> None:
    """Leaves one of equal constants: every tensor that is quantised has zero points of its own, and most are the same."""
    import onnx

    kept: dict[tuple[Any, ...], Any] = {}
    names = {}
    for tensor in list(graph.initializer):
        content = tensor.data_type, tuple(tensor.dims), onnx.numpy_helper.to_array(tensor).tobytes()
        one = kept.setdefault(content, tensor)
        if one is not tensor:
            names[tensor.name] = one.name
            graph.initializer.remove(tensor)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]


def number_tensors(graph: Any) -> None:
    """Names everything inside by its place: tf2onnx counts on from what the process converted before."""
    public = {tensor.name for tensor in (*graph.input, *graph.output)}
    inner = [tensor.name for tensor in graph.initializer] + [name for node in graph.node for name in node.output]
    names = {name: f"t{place}" for place, name in enumerate(inner) if name and name not in public}
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for place, node in enumerate(graph.node):
        node.name = f"n{place}"
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    del graph.value_info[:]


def properties(notes: Notes) -> dict[str, str]:
    """What an ONNX file says of itself, as its `metadata_props`."""
    texts = {"name": notes.name, "description": notes.description, "licence": notes.licence, "objective": notes.objective}
    values = {
        "labels": notes.classes,
        "input": notes.contract,
        "threshold": notes.threshold,
        "versions": notes.versions,
    }
    return texts | {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
