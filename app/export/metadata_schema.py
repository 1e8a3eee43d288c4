"""Tables of TFLite Model Metadata as FlatBuffers: dictionaries in, bytes out, and back.

Source: the schema of TFLite Model Metadata, file identifier M001; the layout of FlatBuffers, https://flatbuffers.dev/internals
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import number_types
from flatbuffers.table import Table

IDENTIFIER = b"M001"
ROOT = "ModelMetadata"

# The schema: fields of each table by their numbers, with their types. "A|B" is a union: which of them, then, in the field
# after it, the table. Numbers that are missing are fields that nobody needs here.
SCHEMA: dict[str, dict[int, tuple[str, str]]] = {
    "ModelMetadata": {
        0: ("name", "string"),
        1: ("description", "string"),
        2: ("version", "string"),
        3: ("subgraphs", "[SubGraphMetadata]"),
        4: ("author", "string"),
        5: ("licence", "string"),
        7: ("min_parser_version", "string"),
    },
    "SubGraphMetadata": {
        2: ("inputs", "[TensorMetadata]"),
        3: ("outputs", "[TensorMetadata]"),
        8: ("output_groups", "[TensorGroup]"),
    },
    "TensorGroup": {0: ("name", "string"), 1: ("tensors", "[string]")},
    "TensorMetadata": {
        0: ("name", "string"),
        1: ("description", "string"),
        3: ("content", "Content"),
        4: ("process_units", "[ProcessUnit]"),
        5: ("stats", "Stats"),
        6: ("files", "[AssociatedFile]"),
    },
    "Content": {0: ("properties", "FeatureProperties|ImageProperties|BoundingBoxProperties"), 2: ("range", "ValueRange")},
    "ValueRange": {0: ("min", "int"), 1: ("max", "int")},
    "FeatureProperties": {},
    "BoundingBoxProperties": {0: ("index", "[uint]"), 1: ("type", "byte"), 2: ("coordinates", "byte")},
    "ImageProperties": {0: ("color_space", "byte")},
    "ProcessUnit": {0: ("options", "NormalizationOptions|ScoreCalibrationOptions|ScoreThresholdingOptions")},
    "NormalizationOptions": {0: ("mean", "[float]"), 1: ("std", "[float]")},
    "ScoreCalibrationOptions": {},
    "ScoreThresholdingOptions": {0: ("threshold", "float")},
    "Stats": {0: ("max", "[float]"), 1: ("min", "[float]")},
    "AssociatedFile": {0: ("name", "string"), 1: ("description", "string"), 2: ("type", "byte")},
}
Fields = dict[str, Any]
SCALARS = {"byte": number_types.Int8Flags, "int": number_types.Int32Flags, "float": number_types.Float32Flags}
NUMBERS = {"[float]": "<f4", "[uint]": "<u4"}  # vectors, and how their numbers are stored


def pack_metadata(values: Fields) -> bytes:
    """A FlatBuffer with this root table; a union's value is a pair of its kind and its fields, what is empty is left out."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(_pack(builder, ROOT, values), IDENTIFIER)
    return bytes(builder.Output())


def unpack_metadata(data: bytes) -> Fields:
    """The fields that are set, and in `SCHEMA`, of the root table."""
    return _unpack(Table(data, int.from_bytes(data[:4], "little")), ROOT)


def write_vector(builder: Any, values: np.ndarray[Any, Any], alignment: int) -> int:
    """Writes numbers at a multiple of `alignment` bytes; gives where."""
    builder.StartVector(values.itemsize, values.size, alignment)
    start = builder.head - values.nbytes
    builder.head = start
    builder.Bytes[start : start + values.nbytes] = values.tobytes()
    return int(builder.EndVector())


def _pack(builder: Any, table: str, values: Fields) -> int:
    """Writes a table, what it points to first."""
    slots: list[tuple[str, int, Any]] = []
    for number, (name, kind) in SCHEMA[table].items():
        if not (value := values.get(name)):
            continue
        if kind in ("byte", "int", "float"):
            slots.append((kind, number, value))
        elif "|" in kind:
            slots.append(("byte", number, 1 + kind.split("|").index(value[0])))
            slots.append(("offset", number + 1, _pack(builder, *value)))
        else:
            slots.append(("offset", number, _pack_value(builder, kind, value)))
    builder.StartObject(1 + max((number for _, number, _ in slots), default=-1))
    write = {
        "byte": builder.PrependInt8Slot,
        "int": builder.PrependInt32Slot,
        "float": builder.PrependFloat32Slot,
        "offset": builder.PrependUOffsetTRelativeSlot,
    }
    for kind, number, value in slots:
        write[kind](number, value, 0)
    return int(builder.EndObject())


def _pack_value(builder: Any, kind: str, value: Any) -> int:
    if kind == "string":
        return int(builder.CreateString(value))
    if kind in NUMBERS:
        return write_vector(builder, np.asarray(value, NUMBERS[kind]), 4)
    if kind == "[string]":
        return _vector_of_tables(builder, [int(builder.CreateString(one)) for one in value])
    if not kind.startswith("["):
        return _pack(builder, kind, value)
    return _vector_of_tables(builder, [_pack(builder, kind[1:-1], one) for one in value])


def _vector_of_tables(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _unpack(table: Any, name: str) -> Fields:
    """The fields of a table that are set."""
    found: Fields = {}
    for number, (field, kind) in SCHEMA[name].items():
        if at := table.Offset(4 + 2 * number):
            place = table.Pos + at
            if "|" in kind:
                members = kind.split("|")
                if (member := table.Get(number_types.Uint8Flags, place)) <= len(members):
                    value = table.Pos + table.Offset(6 + 2 * number)
                    found[field] = (members[member - 1], _unpack_table(table, value, members[member - 1]))
            else:
                found[field] = _unpack_value(table, at, kind)
    return found


def _unpack_value(table: Any, at: int, kind: str) -> Any:
    place = table.Pos + at
    if kind == "string":
        return table.String(place).decode()
    if kind in SCALARS:
        return table.Get(SCALARS[kind], place)
    if not kind.startswith("["):
        return _unpack_table(table, place, kind)
    places = [table.Vector(at) + 4 * number for number in range(table.VectorLen(at))]
    if kind in NUMBERS:
        flags = number_types.Float32Flags if kind == "[float]" else number_types.Uint32Flags
        return [table.Get(flags, place) for place in places]
    if kind == "[string]":
        return [table.String(place).decode() for place in places]
    return [_unpack_table(table, place, kind[1:-1]) for place in places]


def _unpack_table(table: Any, place: int, name: str) -> Fields:
    return _unpack(Table(table.Bytes, table.Indirect(place)), name)
