"""Requests and responses of HTTP: bodies within their limits, and the ways in."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import orjson

from app.serve.refusal import Refusal, malformed, too_large
from app.serve.served import Served
from app.serve.service import Service
from app.serve.visit import Visit

Headers = list[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
JSON = b"application/json"
PIECE_BYTES = 2**16
QUERY_BYTES = 4096  # that are looked at
WINDOWS = {b"gzip": zlib.MAX_WBITS | 16, b"x-gzip": zlib.MAX_WBITS | 16, b"deflate": zlib.MAX_WBITS}


@dataclass(slots=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    query_string: bytes
    headers: dict[bytes, bytes]
    receive: Receive
    visit: Visit

    @property
    def service(self) -> Service:
        """That was asked."""
        return self.visit.service

    def find(self, model: str, version: str) -> Served:
        """See `Repository.find`."""
        return self.visit.find(model, version)

    @property
    def query(self) -> Mapping[str, list[str]]:
        """The words behind the question mark."""
        return parse_qs(self.query_string[:QUERY_BYTES].decode("latin-1"), keep_blank_values=True)

    async def body(self) -> bytes:
        """All of the body, unpacked.

        Raises:
            Refusal: it is too large, or packed in a way that is not known.
        """
        packed = await self._packed()
        self.visit.arrived()
        encoding = self.headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding in (b"identity", b""):
            return packed
        if encoding not in WINDOWS:
            raise Refusal(415, "the body is encoded otherwise than by gzip or deflate")
        body = await self.visit.in_thread(inflated, packed, WINDOWS[encoding], self.service.settings.limits.body_bytes)
        self.visit.hold(len(body))
        return body

    async def _packed(self) -> bytes:
        limits = self.service.settings.limits
        length = self.headers.get(b"content-length")
        if length is not None and int(length) > limits.body_bytes:  # a number, says the parser
            raise self._too_long()
        message = await self.receive()
        if not message.get("more_body"):
            if message["type"] == "http.disconnect":
                raise asyncio.CancelledError
            body: bytes = message["body"]
            self.visit.hold(len(body))
            return body
        parts, size = [], 0
        while True:
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            self.visit.hold(len(parts[-1]))
            if size > limits.body_bytes:
                raise self._too_long()
            if not message.get("more_body"):
                return b"".join(parts)
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise asyncio.CancelledError

    def _too_long(self) -> Refusal:
        return too_large(f"the body is larger than the {self.service.settings.limits.body_bytes >> 20} MB that are taken")


@dataclass(slots=True)
class Response:
    """What a client gets."""

    body: bytes = b""
    status: int = 200
    content_type: bytes = JSON
    headers: Headers = field(default_factory=list)


Handler = Callable[..., Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """A way in.

    Args:
        method: GET answers HEAD too.
        path: names in braces are given to the handler; they hold no slash.
        open: needs no key.
    """

    method: str
    path: str
    handler: Handler
    open: bool = False

    def pattern(self) -> re.Pattern[str]:
        """What a path has to match; a slash at its end may be left out if a question mark says so."""
        parts = re.split(r"(\{\w+\}|/\?)", self.path)
        found = (f"(?P<{part[1:-1]}>[^/:]+)" if part[:1] == "{" else part if part == "/?" else re.escape(part) for part in parts)
        return re.compile("".join(found))


def json_response(values: Any, status: int = 200, headers: Headers | None = None) -> Response:
    """Values as JSON; NumPy's too."""
    return Response(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY), status, JSON, headers or [])


def inflated(packed: bytes, window: int, most: int) -> bytes:
    """A body unpacked, a piece at a time, so that one that grows without end is noticed early.

    Raises:
        Refusal: it grows beyond `most` bytes, or is not packed as it says.
    """
    parts, size, unpacker = [], 0, zlib.decompressobj(window)
    try:
        for start in range(0, len(packed), PIECE_BYTES):
            piece = packed[start : start + PIECE_BYTES]
            while piece:
                if unpacker.eof:  # gzip may have several members
                    unpacker = zlib.decompressobj(window)
                parts.append(unpacker.decompress(piece, PIECE_BYTES))
                piece = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
                size += len(parts[-1])
                if size > most:
                    raise too_large(f"the body grows beyond the {most >> 20} MB that are taken")
        parts.append(unpacker.flush())
    except zlib.error as error:
        raise malformed(f"the body is not packed as it says: {error}") from None
    if packed and not unpacker.eof:
        raise malformed("the packed body is truncated")
    return b"".join(parts)
