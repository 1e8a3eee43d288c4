"""Requests that were right, changed at random: bytes, values of JSON, headers, paths. The same seed gives the same."""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tests.serve.corpus.pictures import PREDICT, picture
from tests.serve.corpus.tensors import RIGHT
from tests.serve.test_infer import INFER, binary, pictures
from tests.serve.wire import request

MODEL = "/v2/models/tiny"
# What readers of bytes trip over.
TOKENS = [b"", b"\0", b"\xff", b"\r\n", b"--B", b"--B--", b'"', b"{", b"[", b"]", b"}", b",", b":", b"\\u0000", b"\\ud800", b"-1",
b"1e400",
          b"9" * 30, b"NaN", b"null", b"true", b"[[[[", b'"data"', b"\xef\xbb\xbf", b"\xc0\xaf", b"%00", b"../", b"; ",
          b"="]  # fmt: skip
VALUES: list[Any] = [None, True, False, 0, -1, 1, 3, 64, 65, 255, 256, 2**31, 2**63, 2**64, 10**30, 0.5, 1e308, "", "image",
"FP32", "UINT8", "BYTES",
                     "x" * 300, "\0", "\u2028", [], [[]], {}, {"": {}}, [1] * 48, [[[[1] * 3] * 4] * 4], [None] * 48]  # fmt: skip
WORDS = ["", "0", "-1", "1", "4", "9" * 40, "gzip", "deflate", "identity", "br", "application/json", "multipart/form-data",
"image/png", "text/plain",
         "multipart/form-data; boundary=B", "multipart/form-data; boundary=", "*/*", "q=0", "gzip;q=", "Bearer ", "100-continue",
         "\xff", "a" * 500,
         "application/openmetrics-text; version=x", "boundary=\"", "application/json; charset=utf-16", ";", ",", "=",
         "keep-alive"]  # fmt: skip
NAMES = ["content-type", "content-encoding", "accept", "accept-encoding", "inference-header-content-length", "x-request-id",
"authorization",
         "origin", "expect", "accept-language", "x-api-key", "cookie", "range", "if-none-match", "forwarded", "te"]  # fmt: skip
METHODS = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"]
LETTERS = "/:.%?&=;+*~-_aZ09" + "".join(f"%{number:02x}" for number in (0, 9, 10, 13, 0x2F, 0x2E, 0x5C, 0xFF, 0xC3, 0x25))


@dataclass(frozen=True)
class Asked:
    """A request in its parts.

    Args:
        values: of a body that is JSON; its bytes else.
    """

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    values: Any = None


def right() -> list[Asked]:
    """Requests of every kind that changes nothing which stays."""
    image, head = picture(), ("content-type", "application/json")
    form = b"".join(
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\nContent-Type: image/png\r\n\r\n%s\r\n'
        % (name, image)
        for name in (b"one.png", b"two.png")
    )
    body, headers = binary(pictures())
    file = base64.b64encode(image).decode()
    return [
        Asked("POST", INFER, values=RIGHT),
        Asked("POST", INFER, values=RIGHT | {
            "id": "x", "parameters": {"timeout": 10_000_000, "binary_data_output": True},
            "outputs": [{"name": "probabilities", "parameters": {"binary_data": False, "classification": 3}}]}),
        Asked("POST", INFER, body, tuple(headers.items())),
        Asked("POST", INFER, pictures(2).tobytes(), (("inference-header-content-length", "0"),)),
        Asked("POST", INFER, gzip.compress(json.dumps(RIGHT).encode()), (("content-encoding", "gzip"),)),
        Asked("POST", f"{MODEL}/versions/2/infer", values=RIGHT),
        *(Asked("POST", f"{PREDICT}?top=3", picture(kind), (("content-type", "image/*"),)) for kind in ("PNG", "JPEG", "GIF",
        "WEBP", "BMP", "TIFF")),
        Asked("POST", PREDICT, form + b"--B--\r\n", (("content-type", "multipart/form-data; boundary=B"),)),
        Asked("POST", PREDICT, values={"instances": [{"b64": file}, {"b64": file}]}, headers=(head,)),
        Asked("POST", PREDICT, values={"instances": pictures().tolist()}, headers=(head,)),
        Asked("POST", "/v2/repository/index", values={"ready": True}, headers=(head,)),
        *(Asked("GET", path) for path in ("/v2", MODEL, f"{MODEL}/config", f"{MODEL}/stats", f"{MODEL}/versions/2/ready",
        "/v1/models", "/metrics",
                                          "/page/main.js", "/openapi.json", "/docs")),
    ]  # fmt: skip


def fuzzed(seed: int, count: int) -> Iterator[bytes]:
    """Requests, byte for byte; the length of each is told rightly, so that each gets an answer at once."""
    chance, seeds = random.Random(seed), right()
    for _ in range(count):
        asked = chance.choice(seeds)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            asked = chance.choice(CHANGES)(chance, asked)
        body = asked.body if asked.values is None else json.dumps(asked.values).encode()
        if asked.values is not None and chance.random() < 0.3:
            body = changed_bytes(chance, body)
        yield request(asked.method, asked.path, body, [*asked.headers, ("content-length", str(len(body)))])


def changed_bytes(chance: random.Random, body: bytes) -> bytes:
    start = chance.randrange(len(body) + 1)
    end = min(len(body), start + chance.choice((0, 1, 1, 2, 8, 100)))
    return chance.choice((
        lambda: body[:start],
        lambda: body[start:],
        lambda: body[:start] + body[end:],
        lambda: body[:start] + chance.choice(TOKENS) + body[end:],
        lambda: body[:start] + chance.randbytes(max(1, end - start)) + body[end:],
        lambda: body[:end] + body[start:],
        lambda: body[:start] + bytes([chance.randrange(256)]) * chance.choice((1, 10, 1000)) + body[end:],
    ))()  # fmt: skip


def changed_value(chance: random.Random, value: Any) -> Any:
    """A copy with one of the values inside replaced, left out, doubled, or renamed."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(list(value))
        if chance.random() < 0.6:
            return value | {name: changed_value(chance, value[name])}
        return {chance.choice(TOKENS).decode("latin-1") if one == name else one: inside for one, inside in value.items()}
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        if chance.random() < 0.6:
            return [*value[:place], changed_value(chance, value[place]), *value[place + 1 :]]
        return value[:place] + (value * 2)[place + 1 : chance.randrange(2 * len(value)) + 1]
    return chance.choice(VALUES)


def _body(chance: random.Random, asked: Asked) -> Asked:
    if asked.values is not None:
        return replace(asked, values=changed_value(chance, asked.values))
    return replace(asked, body=changed_bytes(chance, asked.body))


def _headers(chance: random.Random, asked: Asked) -> Asked:
    kept = [header for header in asked.headers if chance.random() < 0.7]
    return replace(
        asked, headers=(*kept, (chance.choice(NAMES), chance.choice(WORDS) + chance.choice(("", chance.choice(WORDS)))))
    )


def _path(chance: random.Random, asked: Asked) -> Asked:
    start = chance.randrange(1, len(asked.path) + 1)
    inside = "".join(chance.choice(LETTERS) for _ in range(chance.choice((0, 1, 3, 30))))
    return replace(asked, path=asked.path[:start] + inside + asked.path[start + chance.choice((0, 1, 5)) :])


def _method(chance: random.Random, asked: Asked) -> Asked:
    return replace(asked, method=chance.choice(METHODS))


CHANGES: tuple[Callable[[random.Random, Asked], Asked], ...] = (_body, _body, _body, _body, _headers, _headers, _path, _method)
