"""Tensors that are not as they should be, as JSON and as bytes."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.serve.corpus.case import Case
from tests.serve.test_infer import HEADER, INFER, binary, pictures, tensor
from tests.serve.tiny import SHAPE
from tests.serve.wire import request

MISSING = object()
RIGHT = {"inputs": [tensor(pictures())]}
COUNT = int(np.prod(SHAPE))
# By where they stand in a right request: values that are wrong there.
VALUES: dict[tuple[Any, ...], list[Any]] = {
    ("id",): [7, True, [], {}, 1.5],
    ("parameters",): [7, "x", [], True],
    ("parameters", "timeout"): [-1, "soon", 1.5, True, [], 2**70],
    ("parameters", "binary_data_output"): [1, "true", [], {}],
    ("outputs",): [7, "probabilities", {}, [7], ["probabilities"], [None], [[]], [{}], True],
    ("outputs", 0, "name"): ["nobody", 7, [], "", "probabilities\0", "PROBABILITIES"],
    ("outputs", 0, "parameters"): [7, "x", []],
    ("outputs", 0, "parameters", "binary_data"): [1, "yes", {}],
    ("outputs", 0, "parameters", "classification"): [-1, "2", 1.5, True, [2], {}],
    ("inputs",): [MISSING, None, 7, "x", {}, [], [7], [None], [[]], RIGHT["inputs"] * 2, True],
    ("inputs", 0, "name"): [MISSING, None, 7, "", "images", "Image", "image\0", [], {}, "x" * 10_000],
    ("inputs", 0, "datatype"): [MISSING, None, 7, "", "fp32", "FLOAT", "BYTES", "INT64", "FP64", "BOOL", "BF16", "FP32 ", [], {}],
    ("inputs", 0, "shape"): [
        MISSING, None, 7, "x", {}, [], [1], list(SHAPE), [0, *SHAPE], [-1, *SHAPE], [1, 4, 4], [1, 4, 4, 1], [1, 3, 4, 4], [2,
        *SHAPE],
        [1, 4, 4, 3, 1], [1.0, 4, 4, 3], ["1", 4, 4, 3], [True, 4, 4, 3], [None, 4, 4, 3], [[1], 4, 4, 3], [1, 4, 4, -3], [10**30,
        4, 4, 3],
    ],
    ("inputs", 0, "data"): [
        MISSING, None, 7, "x", {}, [], [1], [1] * (COUNT - 1), [1] * (COUNT + 1), ["1"] * COUNT, [None] * COUNT, [[]] * COUNT,
        [{}] * COUNT,
        [[1] * COUNT], [[[[1] * 3] * 4] * 3], [[[[1] * 3] * 4] * 5], [[[[1] * 4] * 4] * 3], [[[[1] * 3] * 4] * 4, 7],
        [[[[[1]] * 3] * 4] * 4],
        [*[1] * (COUNT - 1), "x"], [*[1] * (COUNT - 1), [1]], [1e39] * COUNT, [-1e300] * COUNT, "A" * COUNT,
    ],
    ("inputs", 0, "parameters"): [7, "x", [], True],
    ("inputs", 0, "parameters", "binary_data_size"): [0, -1, 192, "192", 1.5, True, 10**30, [], {}],
    ("inputs", 0, "parameters", "shared_memory_region"): [MISSING],
}  # fmt: skip


def values() -> Iterator[Case]:
    for place, wrong in VALUES.items():
        for value in wrong:
            if value is MISSING and place[-1] == "shared_memory_region":  # its data lies in memory that is not ours
                changed = placed(placed(RIGHT, place, "region"), ("inputs", 0, "data"), MISSING)
            else:
                changed = placed(RIGHT, place, value)
            shown = "missing" if value is MISSING else json.dumps(value)[:40]
            yield Case(f"{'.'.join(map(str, place))} = {shown}", request("POST", INFER, json.dumps(changed).encode()), 400)
    for count in (65, 1000, 2**63, 10**25):
        changed = placed(RIGHT, ("inputs", 0, "shape"), [count, *SHAPE])
        # Numbers beyond 64 bits are floats to the reader of JSON.
        yield Case(f"{count} pictures", request("POST", INFER, json.dumps(changed).encode()), 413 if count < 2**64 else 400)
    for wrong in ([256] * COUNT, [-1] * COUNT, [1.5] * COUNT, [10**25] * COUNT):
        changed = placed(placed(RIGHT, ("inputs", 0, "datatype"), "UINT8"), ("inputs", 0, "data"), wrong)
        yield Case(f"UINT8 {wrong[0]}", request("POST", INFER, json.dumps(changed).encode()), 400)


def placed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """A copy of nested values with another one at a place; what is missing on the way is made."""
    first, *rest = place
    if isinstance(value, list):
        return [placed(one, tuple(rest), new) if number == first and rest else new if number == first else one
                for number, one in enumerate(value or [{"name": "probabilities"}])]  # fmt: skip
    if not rest:
        return {**value, first: new} if new is not MISSING else {name: one for name, one in value.items() if name != first}
    empty: Any = [{"name": "probabilities"}] if first == "outputs" else {}
    return {**value, first: placed(value.get(first, empty), tuple(rest), new)}


def binaries() -> Iterator[Case]:
    """Bytes behind the JSON, or alone."""
    images = pictures()
    body, headers = binary(images)
    length, raw = int(headers[HEADER]), images.tobytes()
    head = body[:length]
    for value in (
        "-1",
        "x",
        "1.5",
        "",
        "0x10",
        "1e2",
        str(length - 1),
        str(length + 1),
        str(len(body) + 1),
        "9" * 30,
        "9" * 5000,
        "+5",
        "²",
    ):
        yield Case(f"the JSON is {value[:10]} long", request("POST", INFER, body, {HEADER: value}), 400)
    yield Case("no length of the JSON", request("POST", INFER, body), 400)
    yield Case("no bytes", request("POST", INFER, head, headers), 400)
    yield Case("a byte less", request("POST", INFER, body[:-1], headers), 400)
    yield Case("a byte more", request("POST", INFER, body + b"x", headers), 400)
    yield Case("bytes and data", request("POST", INFER, *both(images)), 400)
    unsized = json.dumps({"inputs": [{name: one for name, one in tensor(images).items() if name != "data"}]}).encode()
    yield Case("bytes without a size", request("POST", INFER, unsized + raw, {HEADER: str(len(unsized))}), 400)
    unnamed = json.dumps(RIGHT).encode()
    yield Case("bytes that nobody takes", request("POST", INFER, unnamed + raw, {HEADER: str(len(unnamed))}), 400)
    for number in (np.nan, np.inf, -np.inf):
        changed = images.copy()
        changed[0, 3, 3, 2] = number
        body, headers = binary(changed)
        yield Case(f"bytes of {number}", request("POST", INFER, body, headers), 400)
        yield Case(f"bytes alone of {number}", request("POST", INFER, changed.tobytes(), {HEADER: "0"}), 400)
    for size in (0, 1, len(raw) - 1, len(raw) + 4):
        yield Case(f"{size} bytes alone", request("POST", INFER, (raw * 2)[:size], {HEADER: "0"}), 400)
    yield Case("65 pictures as bytes alone", request("POST", INFER, raw * 65, {HEADER: "0"}), 413)


def both(images: Any) -> tuple[bytes, dict[str, str]]:
    row = tensor(images, parameters={"binary_data_size": images.nbytes})
    head = json.dumps({"inputs": [row]}).encode()
    return head + images.tobytes(), {HEADER: str(len(head))}
