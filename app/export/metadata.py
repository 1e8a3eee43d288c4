"""TFLite Model Metadata: what a file says of itself to MediaPipe Tasks, to Android Studio, and to whoever has the file alone.

`model = with_metadata(ordered_outputs(model, ["probabilities"]), Description(name=..., description=..., labels=classes))`

Source: metadata of TFLite models, https://ai.google.dev/edge/litert/conversion/tensorflow/metadata
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np

from app.errors import UserError
from app.export.metadata_schema import Fields, pack_metadata, unpack_metadata, write_vector
from app.release import HEAD, LABELS, labels_text

ENTRY = "TFLITE_METADATA"
MODEL_ID = b"TFL3"
WEIGHTS_ALIGNMENT = 16  # bytes: kernels read several numbers at once
GRAPH_BYTES = 2**20  # that most graphs do not need, beside the weights
PARSER = "1.0.0"  # the first version of the schema has everything that is written here
COLOUR_SPACES = {3: 1, 1: 2}  # RGB and grey, by channels
AXIS_LABELS, VALUE_LABELS = 2, 3  # a file that names the values on the last axis; or what a value means
CORNERS, SIDES = 1, (1, 0, 3, 2)  # of boxes: two corners, and where left, top, right and bottom stand among their numbers
BOXES, LABELS_OF_BOXES, SCORES, COUNT = "boxes", "classes", "scores", "count"
OLDEST = (1980, 1, 1, 0, 0, 0)  # that a ZIP archive can say


@dataclass(frozen=True)
class Description:
    """What a file says of itself; an empty text is left out.

    Args:
        labels: one for every value on the last axis of the output `labelled`; for every value that `classes` of boxes may have.
        labelled: an output's name in the file's signature; empty: no output has values that are of classes.
        threshold: MediaPipe leaves classes of a lower probability out, unless it is told otherwise; 0: none.
    """

    name: str
    description: str
    labels: tuple[str, ...]
    version: str = ""
    author: str = ""
    licence: str = ""
    labelled: str = "probabilities"
    threshold: float = 0.0


@dataclass(frozen=True)
class Metadata:
    """What was read from a file.

    Args:
        inputs, outputs: names of the tensors, in the order of the file's graph.
        normalisation: mean and deviation that a client takes off a float32 picture; none: the file does not say.
        min_parser_version: of the schema.
    """

    description: Description
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    normalisation: tuple[float, float] | None
    min_parser_version: str


def with_metadata(model: bytes, description: Description) -> bytes:
    """The same network with metadata and labels.txt inside; the same bytes every time.

    Args:
        model: a TFLite file whose signature names its tensors; metadata that it has is replaced.
    Raises:
        UserError: the labels are not as many as the output has values.
    """
    from ai_edge_litert import schema_py_generated as schema

    network = schema.ModelT.InitFromPackedBuf(model)
    graph, signature = network.subgraphs[0], network.signatureDefs[0]
    names = {mapped.tensorIndex: mapped.name.decode() for mapped in (*signature.inputs, *signature.outputs)}
    inputs = [_taken(names[place], graph.tensors[place].shape) for place in graph.inputs]
    outputs = [_answer(names[place], graph.tensors[place].shape, description) for place in graph.outputs]
    present = [output["name"] for output in outputs]
    if description.labelled and description.labelled not in present:
        raise UserError(f"no output '{description.labelled}' that the labels could name; there are: {', '.join(present)}")
    values = {
        "name": description.name,
        "description": description.description,
        "version": description.version,
        "author": description.author,
        "licence": description.licence,
        "subgraphs": [{"inputs": inputs, "outputs": outputs, "output_groups": _groups(present)}],
        "min_parser_version": PARSER,
    }
    _entry_buffer(network, schema).data = np.frombuffer(pack_metadata(values), np.uint8)
    return _with_file(_packed(network, schema), LABELS, labels_text(description.labels))


def read_metadata(model: bytes) -> Metadata | None:
    """What a TFLite file says of itself; none: it says nothing.

    Raises:
        UserError: its labels are missing, or not as many as the output has values: clients would open it and fail later.
    """
    from ai_edge_litert import schema_py_generated as schema

    network = schema.ModelT.InitFromPackedBuf(model)
    found = [entry.buffer for entry in network.metadata or () if entry.name == ENTRY.encode()]
    if not found:
        return None
    values = unpack_metadata(network.buffers[found[0]].data.tobytes())
    [graph, *_] = values.get("subgraphs") or [{}]
    inputs, outputs = graph.get("inputs", []), graph.get("outputs", [])
    options = {kind: kept for tensor in (*inputs, *outputs) for kind, kept in _options(tensor)}
    normalisation = options.get("NormalizationOptions")
    labels: tuple[str, ...] = ()
    labelled = ""
    for output, place in zip(outputs, network.subgraphs[0].outputs, strict=True):
        for file in output.get("files", ()):
            labels, labelled = tuple(_file_in(model, file["name"]).splitlines()), output["name"]
            if file.get("type") == AXIS_LABELS:
                check_labels(labels, labelled, network.subgraphs[0].tensors[place].shape)
    texts = {text: values.get(text, "") for text in ("name", "description", "version", "author", "licence")}
    threshold = options.get("ScoreThresholdingOptions", {}).get("threshold", 0.0)
    return Metadata(
        description=Description(**texts, labels=labels, labelled=labelled, threshold=threshold),
        inputs=tuple(tensor.get("name", "") for tensor in inputs),
        outputs=tuple(tensor.get("name", "") for tensor in outputs),
        normalisation=(normalisation["mean"][0], normalisation["std"][0]) if normalisation else None,
        min_parser_version=values.get("min_parser_version", ""),
    )


def check_labels(labels: Sequence[str], name: str, shape: Sequence[int]) -> None:
    """Refuses labels that are not one for every value of an output.

    Raises:
        UserError: says how many there are.
    """
    if len(labels) != int(shape[-1]):
        raise UserError(f"{len(labels)} labels for '{name}', which has {int(shape[-1])} values; one for each is needed")


def aligned(model: bytes) -> bytes:
    """The same network with its weights at multiples of 16 bytes in the file, which the converter promises and does not keep.

    A file with metadata has them there already.
    """
    from ai_edge_litert import schema_py_generated as schema

    return _packed(schema.ModelT.InitFromPackedBuf(model), schema)


def ordered_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """The same network with its outputs in this order, which clients rely on that take them by their place.

    The converter may write them in another one than the function has that was converted. Done before metadata are written,
    which tell of the outputs in their order.

    Args:
        names: all outputs of the file's signature.
    Raises:
        UserError: they are others.
    """
    from ai_edge_litert import schema_py_generated as schema

    data = bytearray(model)
    network = schema.Model.GetRootAs(data)
    signature = network.SignatureDefs(0)
    found = [signature.Outputs(place) for place in range(signature.OutputsLength())]
    places = {mapped.Name().decode(): mapped.TensorIndex() for mapped in found}
    outputs = network.Subgraphs(0).OutputsAsNumpy()
    if sorted(places) != sorted(names) or sorted(places.values()) != sorted(outputs):
        raise UserError(f"the file has the outputs {sorted(places)}, not {sorted(names)}")
    outputs[:] = [places[name] for name in names]  # in `data` itself
    return bytes(data)


def output_names(model: bytes) -> list[str]:
    """The outputs of a file's signature, sorted."""
    from ai_edge_litert import schema_py_generated as schema

    signature = schema.Model.GetRootAs(model).SignatureDefs(0)
    return sorted(signature.Outputs(place).Name().decode() for place in range(signature.OutputsLength()))


def _groups(outputs: Sequence[str]) -> list[Fields]:
    """Outputs of which the values at one place belong together."""
    return [{"name": "detections", "tensors": [BOXES, LABELS_OF_BOXES, SCORES]}] if BOXES in outputs else []


def _taken(name: str, shape: Sequence[int]) -> Fields:
    """A picture; or, in the second file of a detector, what the first one gives."""
    if name.startswith(HEAD):
        return {"name": name, "content": {"properties": ("FeatureProperties", {})}}
    *_, height, width, channels = (int(side) for side in shape)
    return {
        "name": name,
        "description": f"A picture of {width} x {height} pixels from 0 to 255, stretched to this size.",
        "content": {"properties": ("ImageProperties", {"color_space": COLOUR_SPACES[channels]})},
        # The network scales inside. MediaPipe refuses a float32 input that does not say so.
        "process_units": [{"options": ("NormalizationOptions", {"mean": [0.0], "std": [1.0]})}],
        "stats": {"max": [255.0], "min": [0.0]},
    }


def _answer(name: str, shape: Sequence[int], description: Description) -> Fields:
    fields: Fields = {"name": name, "content": {"properties": ("FeatureProperties", {})}}
    if name == BOXES:
        corners = {"index": list(SIDES), "type": CORNERS}
        return fields | {"content": {"properties": ("BoundingBoxProperties", corners), "range": {"min": 2, "max": 2}}}
    if name in (LABELS_OF_BOXES, SCORES):
        fields["content"]["range"] = {"min": 2, "max": 2}
    if name != description.labelled:
        return fields
    file = {"name": LABELS, "description": "A class a line, in the order of the values.", "type": AXIS_LABELS}
    if name == LABELS_OF_BOXES:
        return fields | {"files": [file | {"type": VALUE_LABELS}]}
    check_labels(description.labels, name, shape)
    fields |= {"stats": {"max": [1.0], "min": [0.0]}, "files": [file]}
    if description.threshold:
        fields["process_units"] = [{"options": ("ScoreThresholdingOptions", {"threshold": description.threshold})}]
    return fields


def _entry_buffer(network: Any, schema: Any) -> Any:
    """The buffer of the model's metadata entry; a new one if it has none."""
    network.metadata = network.metadata or []
    for entry in network.metadata:
        if entry.name == ENTRY.encode():
            return network.buffers[entry.buffer]
    network.metadata.append(schema.MetadataT(ENTRY, len(network.buffers)))
    network.buffers.append(schema.BufferT())
    return network.buffers[-1]


def _packed(network: Any, schema: Any) -> bytes:
    """A model's bytes, as the generated code would write them but for three things.

    Weights lie at multiples of 16; equal scales and zero points, of which every channel has one, are written once; and what
    the converter joined has the name of one operation, not of all.
    """
    written: dict[tuple[str, bytes], int] = {}

    class Aligned(schema.BufferT):  # type: ignore[misc]
        def Pack(self, builder: Any) -> int:
            start = write_vector(builder, self.data, WEIGHTS_ALIGNMENT) if self.data is not None else None
            schema.BufferStart(builder)
            if start is not None:
                schema.BufferAddData(builder, start)
            return int(schema.BufferEnd(builder))

    class Shared(schema.QuantizationParametersT):  # type: ignore[misc]
        def Pack(self, builder: Any) -> int:
            starts = [_shared(builder, values, kind, written) for values, kind in ((self.scale, "<f4"), (self.zeroPoint, "<i8"))]
            schema.QuantizationParametersStart(builder)
            schema.QuantizationParametersAddScale(builder, starts[0])
            schema.QuantizationParametersAddZeroPoint(builder, starts[1])
            schema.QuantizationParametersAddQuantizedDimension(builder, self.quantizedDimension)
            return int(schema.QuantizationParametersEnd(builder))

    network.buffers = [Aligned(buffer.data) for buffer in network.buffers]
    for tensor in (tensor for graph in network.subgraphs for tensor in graph.tensors):
        tensor.name = tensor.name.split(b";")[0]
        scales = tensor.quantization
        if scales is not None and scales.details is None and scales.min is None and scales.scale is not None:
            tensor.quantization = Shared(
                scale=scales.scale, zeroPoint=scales.zeroPoint, quantizedDimension=scales.quantizedDimension
            )
    weights = sum(buffer.data.nbytes for buffer in network.buffers if buffer.data is not None)
    builder = flatbuffers.Builder(weights + GRAPH_BYTES)  # it doubles what is too little
    builder.Finish(network.Pack(builder), MODEL_ID)
    return bytes(builder.Output())


def _shared(builder: Any, values: Any, kind: str, written: dict[tuple[str, bytes], int]) -> int:
    """Where a vector starts, which is written where it was not yet."""
    array = np.asarray(values, kind)
    key = (kind, array.tobytes())
    if key not in written:
        written[key] = write_vector(builder, array, array.itemsize)
    return written[key]


def _with_file(model: bytes, name: str, text: str) -> bytes:
    """A file with a plain ZIP archive after it: readers of archives start at the end, readers of models at the start."""
    whole = io.BytesIO(model)
    with zipfile.ZipFile(whole, "a") as archive:
        entry = zipfile.ZipInfo(name, OLDEST)
        entry.create_system = 3  # on every system, for the same bytes
        archive.writestr(entry, text)
    return whole.getvalue()


def _file_in(model: bytes, name: str) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            return archive.read(name).decode()
    except (zipfile.BadZipFile, KeyError):
        raise UserError(f"the metadata name the file '{name}', which is missing or damaged; export it again") from None


def _options(tensor: Fields) -> list[tuple[str, Fields]]:
    return [unit["options"] for unit in tensor.get("process_units", ()) if "options" in unit]
