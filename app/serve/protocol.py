"""Bodies of the Open Inference Protocol over HTTP, with binary tensors and classification as Triton extends it.

Source: KServe's "Open Inference Protocol" and Triton's "Binary Tensor Data" and "Classification" extensions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from app.release import LARGEST_BATCH
from app.runners import Outputs
from app.serve.refusal import malformed, shortened, too_large
from app.serve.served import FLOAT, PROBABILITIES, Served
from app.serve.tensors import TAKEN, Array, checked_shape, from_bytes, from_numbers, strings

EXTENSIONS = ("binary_tensor_data", "classification", "model_repository", "model_configuration", "statistics")
HEADER_LENGTH = b"inference-header-content-length"
NUMBER_BYTES, OTHER_BYTES = 64, 2**20  # that a number of JSON may take, with what is around it, and all else
LENGTH_DIGITS = 20  # what has more is no length, and Python reads no number of thousands of digits


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output that a client asks for.

    Args:
        binary: as bytes behind the JSON.
        best: so many of its likeliest classes as strings instead of numbers; 0 for the numbers.
    """

    name: str
    binary: bool = False
    best: int = 0


@dataclass(frozen=True, slots=True)
class Inference:
    """What a client asks of a model.

    Args:
        id: the client's own, which the answer repeats.
        seconds: that the client waits; None if it did not say.
    """

    images: Array
    wanted: tuple[Wanted, ...]
    id: str | None = None
    seconds: float | None = None


def parse(body: bytes, header_length: bytes | None, served: Served) -> Inference:
    """The request in a body: JSON alone, JSON with tensors behind it, or the bytes of the one input alone.

    Args:
        header_length: how long the JSON is, where something is behind it; 0 if there is none.
    Raises:
        Refusal: says what is wrong with it.
    """
    if header_length is None:
        return _request(_bounded(body, served), memoryview(b""), served)
    if not header_length.isdigit() or len(header_length) > LENGTH_DIGITS or int(header_length) > len(body):
        raise malformed("Inference-Header-Content-Length is no length of JSON within the body")
    length, view = int(header_length), memoryview(body)
    if length == 0:
        return Inference(_bare(view, served), tuple(Wanted(name, True) for name in served.output_shapes))
    return _request(_bounded(view[:length], served), view[length:], served)


def answer(served: Served, asked: Inference, outputs: Outputs) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of the JSON if tensors are behind it."""
    told: dict[str, Any] = {"model_name": served.name, "model_version": served.version}
    if asked.id is not None:
        told["id"] = asked.id
    rows, raw = [], []
    for wanted in asked.wanted:
        datatype, shape, values = shown(served, wanted, outputs)
        row: dict[str, Any] = {"name": wanted.name, "datatype": datatype, "shape": shape}
        if wanted.binary:
            raw.append(packed(values))
            row["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            row["data"] = values if isinstance(values, list) else np.ascontiguousarray(values).ravel()
        rows.append(row)
    told["outputs"] = rows
    text = orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY)
    return (text + b"".join(raw), len(text)) if raw else (text, None)


def shown(served: Served, wanted: Wanted, outputs: Outputs) -> tuple[str, Sequence[int], Array | list[str]]:
    """Datatype, shape and values of an output: its numbers, or the likeliest classes if those are wanted."""
    values = outputs[wanted.name]
    if not wanted.best:
        return FLOAT, values.shape, values
    texts = classified(values, wanted.best, served.release.classes)
    return "BYTES", (len(values), len(texts) // len(values)), texts


def packed(values: Array | list[str]) -> bytes:
    """An output's bytes as the protocol has them."""
    return strings(values) if isinstance(values, list) else values.astype("<f4", copy=False).tobytes()


def classified(values: Array, best: int, classes: tuple[str, ...]) -> list[str]:
    """`probability:number:class` of the likeliest classes of every picture."""
    order = np.argsort(-values, axis=1, kind="stable")[:, :best]
    return [f"{row[c]:f}:{c}:{classes[c]}" for row, chosen in zip(values, order, strict=True) for c in chosen]


def _bounded(text: bytes | memoryview, served: Served) -> dict[str, Any]:
    """The object in a body that is no longer than all the numbers a model takes: reading it keeps all others waiting.

    Raises:
        Refusal: it is longer, or there is none.
    """
    most = OTHER_BYTES + NUMBER_BYTES * LARGEST_BATCH * math.prod(served.picture_shape)
    if len(text) > most:
        raise too_large(f"{len(text)} bytes of JSON; {LARGEST_BATCH} pictures of {served.name} have less than {most}")
    return json_object(text)


def json_object(text: bytes | memoryview) -> dict[str, Any]:
    """The object in a body.

    Raises:
        Refusal: there is none.
    """
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise malformed(f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise malformed("the body is no JSON object")
    return found


def _request(values: dict[str, Any], raw: memoryview, served: Served) -> Inference:
    name, parameters = values.get("id"), _parameters(values, "the request")
    if name is not None and not isinstance(name, str):
        raise malformed("'id' is no string")
    inputs = values.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise malformed(f"'inputs' is no list with one input; {served.name} takes '{served.input_name}'")
    images = _images(inputs[0], raw, served)
    binary = parameters.get("binary_data_output", False)
    if not isinstance(binary, bool):
        raise malformed("'binary_data_output' is neither true nor false")
    wanted = values.get("outputs")
    if wanted is None:
        wanted = []
    if not isinstance(wanted, list) or not all(isinstance(one, dict) for one in wanted):
        raise malformed("'outputs' is no list of outputs")
    asked = asked_outputs(wanted, served, binary)
    served.check_json(len(images), [one.name for one in asked if not one.binary and not one.best])
    return Inference(images, asked, name, seconds(parameters))


def _images(given: dict[str, Any], raw: memoryview, served: Served) -> Array:
    datatype = given.get("datatype")
    shape = checked_shape(served, given.get("name"), datatype, given.get("shape"))
    assert isinstance(datatype, str)
    size = _parameters(given, "the input").get("binary_data_size")
    if size is None:
        if len(raw):
            raise malformed(f"there are {len(raw)} bytes behind the JSON, and no 'binary_data_size' that takes them")
        if "data" not in given:
            raise malformed(f"'{served.input_name}' has neither 'data' nor 'binary_data_size'")
        return from_numbers(given["data"], datatype, shape)
    if "data" in given:
        raise malformed(f"'{served.input_name}' has both 'data' and 'binary_data_size'")
    if type(size) is not int or size != len(raw):
        raise malformed(f"'binary_data_size' is {shortened(size)}; there are {len(raw)} bytes behind the JSON")
    return from_bytes(raw, datatype, shape)


def asked_outputs(given: list[dict[str, Any]], served: Served, binary: bool = False) -> tuple[Wanted, ...]:
    """The outputs that a client asks for by name and parameters; all of them if it asks for none.

    Args:
        binary: whether those are binary that do not say.
    Raises:
        Refusal: says what is wrong with one.
    """
    return tuple(_wanted(given, binary, served) if given else (Wanted(name, binary) for name in served.output_shapes))


def _wanted(given: list[dict[str, Any]], binary: bool, served: Served) -> Iterator[Wanted]:
    seen: set[str] = set()
    for one in given:
        name, parameters = one.get("name"), _parameters(one, "an output")
        if not isinstance(name, str) or name not in served.output_shapes:
            raise malformed(f"no output '{shortened(name)}'; {served.name} gives {', '.join(served.output_shapes)}")
        if name in seen:
            raise malformed(f"the output '{name}' is asked for twice")
        seen.add(name)
        own, best = parameters.get("binary_data", binary), parameters.get("classification", 0)
        if not isinstance(own, bool):
            raise malformed("'binary_data' is neither true nor false")
        if type(best) is not int or best < 0:
            raise malformed("'classification' is no number of classes")
        if best and name != PROBABILITIES:
            raise malformed(
                f"'classification' names classes by their probabilities; {served.name} is for {served.objective.name}"
            )
        yield Wanted(name, own, best)


def _parameters(values: dict[str, Any], owner: str) -> dict[str, Any]:
    found = values.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise malformed(f"the 'parameters' of {owner} are no object")
    return found


def seconds(parameters: dict[str, Any]) -> float | None:
    """How long the client waits, from the parameter `timeout` in microseconds; 0 is for as long as the service does."""
    given = parameters.get("timeout")
    if given is None or given == 0:
        return None
    if type(given) is not int or given < 0:
        raise malformed("'timeout' is no number of microseconds")
    return given / 1e6


def _bare(raw: memoryview, served: Served) -> Array:
    """The input's bytes without a word about them: floats, as many pictures as they give."""
    one = int(np.prod(served.picture_shape)) * TAKEN[FLOAT].itemsize
    if not len(raw) or len(raw) % one:
        raise malformed(f"{len(raw)} bytes are no pictures of {one} bytes each ({FLOAT}, {list(served.picture_shape)})")
    shape = checked_shape(served, served.input_name, FLOAT, [len(raw) // one, *served.picture_shape])
    return from_bytes(raw, FLOAT, shape)
