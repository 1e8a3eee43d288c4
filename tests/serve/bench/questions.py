"""What the servers are asked, byte for byte, and how their answers are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

JSON, BINARY, PICTURE = "V2 JSON", "V2 binary", "picture"
LENGTH = "Inference-Header-Content-Length"
CLOSE = 1e-3  # in a probability: numbers as text, other orders of sums
Array = np.ndarray[Any, Any]
Reader = Callable[[bytes, Mapping[str, str]], dict[int, float]]


@dataclass(frozen=True)
class Question:
    """A request's body and headers.

    Args:
        expected: probabilities, as ONNX Runtime has them.
        read: from an answer's body and headers, with lower-case names, the probabilities that it tells, by class.
    """

    body: bytes
    headers: tuple[tuple[str, str], ...]
    expected: Array
    read: Reader

    def check(self, status: int, headers: Mapping[str, str], body: bytes) -> str | None:
        """What is wrong with an answer, if something is."""
        if status != 200:
            return f"status {status}: {body[:200].decode(errors='replace')}"
        try:
            told = self.read(body, headers)
            first = max(told, key=lambda number: told[number])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            return f"{type(error).__name__}: {error}, in {body[:200]!r}"
        if self.expected.max() - self.expected[first] > CLOSE:
            return f"class {first}, and not class {self.expected.argmax()}"
        if furthest := [number for number, value in told.items() if abs(value - self.expected[number]) > CLOSE]:
            return f"class {furthest[0]} at {told[furthest[0]]:.4f}, and not {self.expected[furthest[0]]:.4f}"
        return None


def tensor_as_json(image: Array, expected: Array) -> Question:
    """A picture as numbers, as tritonclient writes them without its binary mode.

    Shapes: float32 [1, H, W, C].
    """
    described = {"name": "image", "shape": list(image.shape), "datatype": "FP32", "data": image.ravel().tolist()}
    body = json.dumps({"inputs": [described]}, separators=(",", ":")).encode()
    return Question(body, (("Content-Type", "application/json"),), expected, _read_tensor)


def tensor_as_bytes(image: Array, expected: Array) -> Question:
    """A picture as the bytes of its numbers after a head of JSON, and the answer likewise: tritonclient's usual mode.

    Shapes: float32 [1, H, W, C].
    """
    data = image.astype("<f4").tobytes()
    described = {"name": "image", "shape": list(image.shape), "datatype": "FP32", "parameters": {"binary_data_size": len(data)}}
    wanted = {"name": "probabilities", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [described], "outputs": [wanted]}, separators=(",", ":")).encode()
    headers = (("Content-Type", "application/octet-stream"), (LENGTH, str(len(head))))
    return Question(head + data, headers, expected, _read_bytes)


def picture(data: bytes, classes: Sequence[str], expected: Array) -> Question:
    """A PNG or JPEG."""
    kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"

    def read(body: bytes, headers: Mapping[str, str]) -> dict[int, float]:
        return {classes.index(row["label"]): row["probability"] for row in json.loads(body)["labels"]}

    return Question(data, (("Content-Type", kind),), expected, read)


def _read_tensor(body: bytes, headers: Mapping[str, str]) -> dict[int, float]:
    [output] = json.loads(body)["outputs"]
    return dict(enumerate(np.ravel(output["data"]).tolist()))


def _read_bytes(body: bytes, headers: Mapping[str, str]) -> dict[int, float]:
    return dict(enumerate(np.frombuffer(body[int(headers[LENGTH.lower()]) :], "<f4").tolist()))
