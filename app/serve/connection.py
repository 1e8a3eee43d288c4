"""A connection that a slow or silent client cannot hold, and whose work ends when its client leaves.

uvicorn bounds how long a connection may be quiet after an answer. It does not bound how long a request may take to arrive, or
an answer to be read, which is what holds a server's connections with next to no traffic.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.serve.service import Service
from app.serve.settings import Limits
from app.serve.visit import Visit

LAST_SECONDS = 0.2  # for what is on its way when listening ends
HEAD_BYTES = 64 * 2**10  # of a request's first line and headers
UPGRADES = (b"connection", b"upgrade", b"http2-settings")


class Connection(HttpToolsProtocol):
    """uvicorn's, with a time limit on requests that arrive. `service` is set on a subclass by `limited`."""

    service: Service
    limits: Limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there, and has to say something."""
        super().connection_made(transport)
        self.joined = _Joined(transport)
        self.since: float | None = time.monotonic()  # a request began to arrive; None between requests
        self.received = 0
        self.arriving, self.leaving = _Pace(), _Pace()
        self.head = b""  # of a request that wants an upgrade, without that wish
        self.task: asyncio.Task[None] | None = None
        if len(self.connections) > self.limits.connections:
            self.refuse(503, f"{self.limits.connections} connections are open already; try again in a second")

    def data_received(self, data: bytes) -> None:
        """More of a request."""
        self.received += len(data)
        if self.since is None:
            self.since = time.monotonic()
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            [read] = upgrade.args
            self._parse_anew(data[read:])
        except httptools.HttpParserError:
            self.refuse(400, "the request is no HTTP that this service reads")
        if self.received > HEAD_BYTES:
            self._check_size()

    def on_headers_complete(self) -> None:
        """Headers are there. To what another protocol is offered (h2c, by Java's client for one) this one is the answer."""
        if self.received > HEAD_BYTES:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > HEAD_BYTES:
                self._refuse_head()
                raise ValueError("ends the parser's work")
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            line = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
            kept = [header for header in self.headers if header[0] not in UPGRADES]
            if any(name == b"connection" and b"close" in value.lower() for name, value in self.headers):
                kept.append((b"connection", b"close"))
            self.head = b"".join([line, b"\r\n", *(b"%s: %s\r\n" % header for header in kept), b"\r\n"])
        else:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request has arrived whole."""
        if self.head:
            return
        super().on_message_complete()
        self.since, self.received = None, 0
        if self.cycle.response_complete and self.timeout_keep_alive_task is None:
            # The answer came before the body, and what followed of it has stopped uvicorn's clock.
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _parse_anew(self, rest: bytes) -> None:
        """The parser leaves the body to the protocol that was offered; another one has to read it."""
        head, self.head = self.head, b""
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(head + rest)

    def _check_size(self) -> None:
        """Ends the connection if the head does not end, or what follows is more than any body takes on its way."""
        if self.scope is None or "method" not in self.scope:
            self._refuse_head()
        elif self.received > HEAD_BYTES + 2 * self.limits.body_bytes:
            self.refuse(413, f"the body is larger than the {self.limits.body_bytes >> 20} MB that are taken")

    def _refuse_head(self) -> None:
        self.refuse(431, f"the request's head is longer than {HEAD_BYTES >> 10} KB")

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        # As uvicorn does it, but the task is kept, and head and body of the answer go out together.
        if cycle.scope["method"] != "HEAD":
            cycle.transport = self.joined
        cycle.scope["queued"] = self.pipeline  # requests that this connection's end would leave without an answer
        self.task = self.loop.create_task(cycle.run_asgi(app))
        self.task.add_done_callback(self.tasks.discard)
        self.tasks.add(self.task)

    def shutdown(self) -> None:
        """Listening ends: what was sent before is still answered, though it was not read yet."""
        self.loop.call_later(LAST_SECONDS, self._end_if_quiet)

    def _end_if_quiet(self) -> None:
        # Else the answer says that it is the last, or `check` ends the wait for the rest of a request.
        if self.since is None or not self.received:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left: what runs for it has nobody to answer."""
        super().connection_lost(exc)
        if self.task and not self.task.done():
            self.task.cancel()

    def check(self, now: float) -> None:
        """Ends the connection if its request takes too long to arrive, or its answers too long to be read."""
        limits = self.limits
        if self.since is not None and not self.flow.read_paused and self.arriving.late(now, self.since, self.received, limits):
            self.refuse(408, f"the request did not arrive within {limits.stall_seconds:g} seconds and at "
                             f"{limits.sender_bytes_per_second >> 10} KB a second")  # fmt: skip
        unread = self.transport.get_write_buffer_size()
        if not unread:
            self.leaving = _Pace()
        elif self.leaving.late(now, 0.0, self.joined.written - unread, limits):
            self.transport.abort()  # to close it would wait for the same client

    def refuse(self, status: int, message: str) -> None:
        """A last word, if there was none yet, and the end of the connection."""
        self.since = None
        if self.transport.is_closing():
            return
        cycle = self.cycle
        # An answer that is complete was to the request before, unless it came before all of the body.
        if cycle is None or not cycle.response_started or (cycle.response_complete and not cycle.more_body):
            visit = Visit(self.service, "", self.client[0] if self.client else "")
            body = orjson.dumps({"error": message})
            head = b"content-type: application/json\r\nconnection: close\r\nx-request-id: %s\r\ncontent-length: %d\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head % (visit.number.encode(), len(body)) + body)
            visit.note(status, "", "")
        self.transport.close()


class _Pace:
    """How long bytes may still take: those that moved buy time, at the rate that is asked for, up to the longest silence."""

    __slots__ = ("_moved", "_of", "_until")

    def __init__(self) -> None:
        self._of: float | None = None
        self._moved, self._until = 0, 0.0

    def late(self, now: float, of: float, moved: int, limits: Limits) -> bool:
        """Whether they took too long; to be asked now and then.

        Args:
            of: when what moves began; another value begins anew.
            moved: bytes until now.
        """
        longest = now + limits.stall_seconds
        if of != self._of:
            self._of, self._moved, self._until = of, moved, min(longest, (of or now) + limits.stall_seconds)
        self._until = min(longest, self._until + (moved - self._moved) / limits.sender_bytes_per_second)
        self._moved = moved
        return now > self._until


class _Joined:
    """A transport that keeps an answer's head until its body comes: one call to the system, and one packet, instead of two."""

    __slots__ = ("_head", "_transport", "close", "is_closing", "written")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.written = 0
        self.close, self.is_closing = transport.close, transport.is_closing

    def write(self, data: bytes) -> None:
        if not self._head and data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 100"):
            self._head = data
        else:
            data = self._head + data
            self._head = b""
            self.written += len(data)
            self._transport.write(data)


def limited(service: Service) -> type[Connection]:
    """The class of connections to a service, with its limits, as uvicorn wants it."""
    return type("ServiceConnection", (Connection,), {"service": service, "limits": service.settings.limits})
