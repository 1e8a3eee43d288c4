"""Inference graph -> ONNX files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from app.deploy import INPUT, check_divisible
from app.export.graph import Graph, Notes

OPSET = 17  # tf2onnx writes 17 and 18; 19 and more it refuses
BATCH = "batch"
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def fp32(graph: Graph, path: Path) -> str:
    """Everything in float32."""
    shutil.copyfile(_source(graph), path)
    return ""


def fp16(graph: Graph, path: Path) -> str:
    """Weights and arithmetic in float16; what goes in and comes out stays float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    plain = onnx.load(_source(graph))
    blocked = floats_of(plain.graph) if graph.notes.objective == "detection" else []
    network = convert_float_to_float16(plain, keep_io_types=True, node_block_list=blocked)
    drop_repeated(network.graph)
    drop_round_trips(network.graph)
    return _finish(network, graph.notes, path)


def int8(graph: Graph, path: Path) -> str:
    """Weights in int8, one scale a channel, and activations between pairs of quantise and dequantise nodes."""
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if graph.notes.objective == "detection":
        check_divisible(graph.network)
    prepared, quantised = graph.work / "prepared.onnx", graph.work / "quantised.onnx"
    quant_pre_process(_source(graph), prepared, skip_symbolic_shape=True)
    floats = floats_of(onnx.load(prepared).graph, heads=True) if graph.notes.objective == "detection" else []
    quantize_static(
        prepared,
        quantised,
        _Calibration(graph),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=floats,
    )
    _finish(onnx.load(quantised), graph.notes, path)
    return f"per channel, {len(graph.calibration)} calibration pictures" + ("; heads and boxes in float32" if floats else "")


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
    order_nodes(proto.graph)
    number_tensors(proto.graph)
    proto.graph.doc_string = ""  # names a function that is called otherwise every time
    onnx.helper.set_model_props(proto, properties(notes))
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))
    return ""


def floats_of(graph: Any, *, heads: bool = False) -> list[str]:
    """The names of a detector's nodes that have to stay in float32: all that come after its last layers with weights, and all
    that come after the first choice between boxes.

    Coordinates and the choice do not survive in float16, whose steps are half a pixel beyond 512, nor in steps of 1/256.

    Args:
        heads: also its last convolutions, where each looks at one place alone: values for places and for classes would share
            one scale.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    maker = {name: node for node in graph.node for name in node.output}
    after_choice: set[str] = set()  # tensors; nodes of a graph stand in the order in which they can be computed
    weighted: list[Any] = []
    for node in graph.node:
        if node.op_type == "TopK" or after_choice & set(node.input):
            after_choice |= set(node.output)
        elif node.op_type in WEIGHTED and constants.keys() & set(node.input):
            weighted.append(node)
    body = _with_ancestors(weighted, maker)
    if heads:
        inner = _with_ancestors([maker[name] for node in weighted for name in node.input if name in maker], maker)
        last = [node for node in weighted if node.name not in inner and list(constants[node.input[1]].dims[2:]) == [1, 1]]
        kept = [node for node in weighted if node not in last]
        body = _with_ancestors([*kept, *(maker[node.input[0]] for node in last)], maker)
    return [node.name for node in graph.node if node.name not in body]


def _with_ancestors(nodes: list[Any], maker: dict[str, Any]) -> set[str]:
    """The names of nodes, and of all that they are computed from."""
    reached: set[str] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node.name not in reached:
            reached.add(node.name)
            waiting += [maker[name] for name in node.input if name in maker]
    return reached


def drop_repeated(graph: Any) -> None:
    """Leaves one of equal casts: the conversion to float16 writes one for every node that stays in float32, under one name."""
    made: set[str] = set()
    for node in list(graph.node):
        if node.output[0] in made:
            graph.node.remove(node)
        made |= set(node.output)


def drop_round_trips(graph: Any) -> None:
    """Lets nodes that stay in float32 take each other's results: the conversion to float16 rounds each of them on its way.

    The casts themselves are left for `order_nodes`, which drops what no result needs.
    """
    import onnx

    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
    rounded = {name: node.input[0] for name, node in casts.items() if node.attribute[0].i == onnx.TensorProto.FLOAT16}
    exact = {name: rounded[node.input[0]] for name, node in casts.items() if node.input[0] in rounded}
    results = {output.name for output in graph.output}
    for node in graph.node:
        if node.output[0] in results and node.output[0] in exact:  # its name is to stay
            node.op_type = "Identity"
            del node.attribute[:]
            node.input[0] = exact[node.output[0]]
        else:
            node.input[:] = [exact.get(name, name) for name in node.input]


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


def order_nodes(graph: Any) -> None:
    """Puts nodes and constants where the results, traced back, first need them; what no result needs goes.

    tf2onnx sorts nodes by names that hold the number of what the process converted before: t_9 comes after t_10. The conversion
    to float16 puts casts last that the format wants before their results are used.
    """
    import onnx

    maker = {name: node for node in graph.node for name in node.output}
    place: dict[str, int] = {}  # a tensor's, in the order in which they can be computed
    opened: set[str] = set()  # whose node waits for what it is computed from
    waiting = [output.name for output in reversed(graph.output)]
    while waiting:
        name = waiting[-1]
        if name in maker and name not in opened:
            opened.add(name)
            waiting += reversed(maker[name].input)
        else:
            place.setdefault(waiting.pop(), len(place))

    def first(item: Any) -> int | None:
        names = item.output if isinstance(item, onnx.NodeProto) else [item.name]
        return min((place[name] for name in names if name in place), default=None)

    for field in (graph.node, graph.initializer):
        for item in [item for item in field if first(item) is None]:
            field.remove(item)
        field.sort(key=first)


def number_tensors(graph: Any) -> None:
    """Names everything inside by its place."""
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
