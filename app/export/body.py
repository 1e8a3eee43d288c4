"""A detector's file without its end: what finding boxes costs is the time between the two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.export.onnx import floats_of

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


@dataclass(frozen=True)
class Step:
    """An operation of a graph, by the names or numbers of its tensors."""

    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    inside: bool


def write_body(source: Path, target: Path) -> None:
    """Writes a float file of a detector, ONNX or TFLite, up to its raw heads: of a whole network, for comparison alone."""
    (_onnx if source.suffix == ".onnx" else _tflite)(source, target)


def _onnx(source: Path, target: Path) -> None:
    import onnx

    model = onnx.load(source)
    outside = set(floats_of(model.graph))
    steps = [Step(tuple(node.input), tuple(node.output), node.name not in outside) for node in model.graph.node]
    kept = [node for node in model.graph.node if node.name not in outside]
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend(kept)
    for name in ends(steps):
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    target.write_bytes(model.SerializeToString())


def _tflite(source: Path, target: Path) -> None:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(source.read_bytes())
    graph, names = model.subgraphs[0], {code: name for name, code in vars(schema.BuiltinOperator).items()}
    kinds = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    maker = {int(tensor): place for place, operator in enumerate(graph.operators) for tensor in operator.outputs}
    chosen: set[int] = set()  # tensors after the first choice between boxes
    waiting = []
    for place, operator in enumerate(graph.operators):
        if kinds[operator.opcodeIndex] == "TOPK_V2" or chosen & set(map(int, operator.inputs)):
            chosen |= set(map(int, operator.outputs))
        elif kinds[operator.opcodeIndex] in WEIGHTED:
            waiting.append(place)
    body: set[int] = set()
    while waiting:
        place = waiting.pop()
        if place not in body:
            body.add(place)
            waiting += [maker[int(tensor)] for tensor in graph.operators[place].inputs if int(tensor) in maker]
    steps = [
        Step(tuple(map(int, operator.inputs)), tuple(map(int, operator.outputs)), place in body)
        for place, operator in enumerate(graph.operators)
    ]
    graph.operators = [operator for place, operator in enumerate(graph.operators) if place in body]
    graph.outputs = ends(steps)
    signature = model.signatureDefs[0]
    signature.outputs = [_mapped(schema, f"raw{number}", tensor) for number, tensor in enumerate(graph.outputs)]
    model.metadata = None
    builder = flatbuffers.Builder(source.stat().st_size)
    builder.Finish(model.Pack(builder), b"TFL3")
    target.write_bytes(bytes(builder.Output()))


def ends(steps: Sequence[Step]) -> list[Any]:
    """The tensors that leave the inside of a graph, in their order."""
    inside = {tensor for step in steps if step.inside for tensor in step.outputs}
    taken: Iterable[Any] = (tensor for step in steps if not step.inside for tensor in step.inputs if tensor in inside)
    return list(dict.fromkeys(taken))


def _mapped(schema: Any, name: str, tensor: int) -> Any:
    mapped = schema.TensorMapT()
    mapped.name, mapped.tensorIndex = name, tensor
    return mapped
