"""Texts that are no JSON, or other JSON, and bodies that are not packed as they say."""

import gzip
import json
import zlib
from collections.abc import Iterator

from tests.serve.corpus.case import Case
from tests.serve.corpus.tensors import COUNT, RIGHT
from tests.serve.test_infer import INFER
from tests.serve.wire import request

BODY = json.dumps(RIGHT).encode()


def texts() -> Iterator[Case]:
    data = json.dumps([1] * COUNT)
    whole = '{"inputs": [{"name": "image", "shape": [1, 4, 4, 3], "datatype": "FP32", "data": %s}]}'
    wrong = {
        "nothing": b"", "a space": b" ", "null": b"null", "a number": b"7", "a string": b'"inputs"', "a list": b"[]",
        "true": b"true",
        "half": BODY[:-20], "an end more": BODY + b"}", "two": BODY * 2, "a comma more": BODY[:-1] + b",}",
        "quotes": b"{'inputs': []}",
        "no quotes": b"{inputs: []}", "a comment": b"/* */" + BODY, "a mark in front": b"\xef\xbb\xbf" + BODY,
        "a zero byte": BODY + b"\0",
        "zero bytes": bytes(100), "UTF-16": BODY.decode().encode("utf-16"), "Latin-1": b'{"id": "caf\xe9", ' + BODY[1:],
        "half a letter": b'{"id": "\xe2\x82", ' + BODY[1:], "an overlong letter": b'{"id": "\xc0\xaf", ' + BODY[1:],
        "half a pair": b'{"id": "\\ud800", ' + BODY[1:], "a bad escape": b'{"id": "\\x41", ' + BODY[1:],
        "a control character": b'{"id": "\n", ' + BODY[1:], "deep lists": b'{"inputs": ' + b"[" * 100_000,
        "deep lists that end": b'{"inputs": ' + b"[" * 5000 + b"]" * 5000 + b"}", "deep objects": b'{"a":' * 50_000,
        "deep data": (whole % ("[" * 900 + "]" * 900)).encode(), "a name twice, the last wrong": BODY[:-1] + b', "inputs": []}',
        "a picture": b"\x89PNG\r\n\x1a\n" + bytes(50), "a form": b"inputs=1&name=image", "XML": b"<inputs/>",
        "long": b"[" + b"1," * 50_000,
    }  # fmt: skip
    for number in (
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "0x10",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "--1",
        "1_0",
        "\u0661",
        "9" * 5000 + "x",
    ):
        wrong[f"data {number[:20]}"] = (whole % data.replace("1", number, 1)).encode()
    for name, body in wrong.items():
        yield Case(name, request("POST", INFER, body), 400)


def encodings() -> Iterator[Case]:
    packed, deflated = gzip.compress(BODY), zlib.compress(BODY)
    wrong = {
        "gzip that is none": ("gzip", BODY), "deflate that is none": ("deflate", BODY), "gzip for deflate": ("deflate", packed),
        "deflate for gzip": ("gzip", deflated), "raw deflate": ("deflate", deflated[2:-4]),
        "half of gzip": ("gzip", packed[:-30]),
        "gzip without its end": ("gzip", packed[:-8]), "gzip with a wrong sum": ("gzip", packed[:-8] + bytes(8)),
        "gzip and more": ("gzip", packed + b"more"), "gzip twice": ("gzip", gzip.compress(packed)),
        "half of deflate": ("deflate", deflated[:40]),
        "a gzip header": ("gzip", packed[:10]), "gzip of nothing": ("gzip", gzip.compress(b"")), "nothing": ("gzip", b""),
        "gzip bytes": ("gzip", b"\x1f\x8b" * 100),
    }  # fmt: skip
    for name, (encoding, body) in wrong.items():
        yield Case(name, request("POST", INFER, body, {"content-encoding": encoding}), 400)
    for encoding in ("br", "zstd", "gzip, gzip", "gzip;q=1", "utf-8", "chunked", "gzip\xa0", "*"):
        yield Case(f"encoded by {encoding}", request("POST", INFER, packed, {"content-encoding": encoding}), 415)
    for encoding, bomb in (("gzip", gzip.compress(bytes(40 << 20))), ("deflate", zlib.compress(bytes(40 << 20)))):
        yield Case(f"40 MB of zeros by {encoding}", request("POST", INFER, bomb, {"content-encoding": encoding}), 413)
