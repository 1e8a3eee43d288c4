"""Tensors as clients write them: datatype, shape and numbers, checked against what a model takes."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from app.release import LARGEST_BATCH
from app.serve.refusal import malformed, shortened, too_large
from app.serve.served import BYTE, FLOAT, Served

Array = np.ndarray[Any, Any]
# A picture's numbers come as floats, or as the bytes that they were: a quarter of the size.
TAKEN: dict[str, np.dtype[Any]] = {FLOAT: np.dtype("<f4"), BYTE: np.dtype("u1")}
KNOWN = {
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
    "BF16",
}
NESTED = 3  # lists in the list of [N, H, W, C]


def checked_shape(served: Served, name: Any, datatype: Any, shape: Any) -> tuple[int, ...]:
    """The shape of an input, if the model takes it.

    Raises:
        Refusal: another name, datatype or shape is needed, or the batch is too large.
    """
    wanted = f"{served.name} takes '{served.input_name}', {FLOAT} or {BYTE}, [-1, {', '.join(map(str, served.picture_shape))}]"
    if name != served.input_name:
        raise malformed(f"no input '{shortened(name)}'; {wanted}")
    if not isinstance(datatype, str) or datatype not in TAKEN:
        known = "is not taken" if isinstance(datatype, str) and datatype in KNOWN else "is no datatype"
        raise malformed(f"'{shortened(datatype)}' {known}; {wanted}")
    if not isinstance(shape, list | tuple) or not all(type(side) is int for side in shape):
        raise malformed(f"the shape of '{name}' is no list of whole numbers; {wanted}")
    if tuple(shape[1:]) != served.picture_shape or shape[0] < 1:
        raise malformed(f"'{name}' has the shape {shortened(list(shape))}; {wanted}")
    if shape[0] > LARGEST_BATCH:
        raise too_large(f"{shape[0]} pictures in one request; {served.name} takes {LARGEST_BATCH}")
    return tuple(shape)


def from_numbers(data: Any, datatype: str, shape: tuple[int, ...]) -> Array:
    """A tensor from numbers of JSON, flat or nested.

    Raises:
        Refusal: they are no numbers, of the wrong count, or do not fit the datatype.
    """
    if not isinstance(data, list):
        raise malformed("'data' is no list of numbers")
    flat = flattened(data, shape)
    if len(flat) != prod(shape):
        raise malformed(f"'data' has {len(flat)} numbers; the shape {list(shape)} needs {prod(shape)}")
    try:
        # Nearly all pictures are whole numbers in 0..255, which this reads four times as fast as anything else.
        return np.frombuffer(bytes(flat), np.uint8).reshape(shape)
    except (TypeError, ValueError):
        pass
    if datatype == BYTE:
        raise malformed(f"'data' has values that are no whole numbers in 0..255, as {BYTE} needs them")
    try:
        found = np.frombuffer(array("f", flat), np.float32).reshape(shape)
    except (TypeError, OverflowError):
        raise malformed("'data' has values that are no numbers") from None
    return finite(found)


def from_bytes(raw: memoryview | bytes, datatype: str, shape: tuple[int, ...]) -> Array:
    """A tensor from its bytes, little-endian.

    Raises:
        Refusal: there are more or fewer than the shape needs.
    """
    kind = TAKEN[datatype]
    if len(raw) != prod(shape) * kind.itemsize:
        raise malformed(f"{len(raw)} bytes; {datatype} of the shape {list(shape)} has {prod(shape) * kind.itemsize}")
    found: Array = np.frombuffer(raw, kind).reshape(shape)
    return found if datatype == BYTE else finite(found)


def flattened(data: list[Any], shape: Sequence[int]) -> list[Any]:
    """Nested lists as one; each level must be as long as the shape says."""
    for level in range(NESTED):
        if not data or type(data[0]) is not list:
            return data
        inner = prod(shape[level + 1 :][:1])
        if not all(type(part) is list and len(part) == inner for part in data) or len(data) != prod(shape[: level + 1]):
            raise malformed(f"'data' is nested otherwise than the shape {list(shape)}")
        data = list(chain.from_iterable(data))
    return data


def finite(values: Array) -> Array:
    """The values, if all of them are numbers.

    Raises:
        Refusal: one is infinite or none.
    """
    if not np.isfinite(values).all():
        raise malformed("there are values that are infinite or no numbers (NaN)")
    return values


def strings(values: Sequence[str]) -> bytes:
    """BYTES as the protocol has them: each with its length in front, 4 bytes, little-endian."""
    return b"".join(len(text := value.encode()).to_bytes(4, "little") + text for value in values)
