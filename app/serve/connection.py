"""A connection that a slow or silent client cannot hold, and whose work ends when its client leaves.

uvicorn bounds how long a connection may be quiet after an answer. It does not bound how long a request may take to arrive,
which is what holds a server's connections with next to no traffic.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.serve.settings import Limits


class Connection(HttpToolsProtocol):
    """uvicorn's, with a time limit on requests that arrive. `limits` is set on a subclass by `limited`."""

    limits: Limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there, and has to say something."""
        super().connection_made(transport)
        self.since: float | None = time.monotonic()  # a request began to arrive; None between requests
        self.received = 0
        self.task: asyncio.Task[None] | None = None
        if len(self.connections) > self.limits.connections:
            self.refuse(503, f"{self.limits.connections} connections are open already; try again in a second")

    def data_received(self, data: bytes) -> None:
        """More of a request."""
        self.received += len(data)
        if self.since is None:
            self.since = time.monotonic()
        super().data_received(data)

    def on_message_complete(self) -> None:
        """A request has arrived whole."""
        super().on_message_complete()
        self.since, self.received = None, 0

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        before = set(self.tasks)
        super()._start_asgi_task(cycle, app)
        [self.task] = self.tasks - before

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left: what runs for it has nobody to answer."""
        super().connection_lost(exc)
        if self.task and not self.task.done():
            self.task.cancel()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        del msg  # uvicorn's words
        self.refuse(400, "the request is no HTTP that this service reads")

    def check(self, now: float) -> None:
        """Ends the connection if its request takes too long to arrive."""
        limits = self.limits
        if self.since is not None and now - self.since > limits.stall_seconds + self.received / limits.sender_bytes_per_second:
            self.refuse(408, f"the request did not arrive within {limits.stall_seconds:g} seconds and at "
                             f"{limits.sender_bytes_per_second >> 10} KB a second")  # fmt: skip

    def refuse(self, status: int, message: str) -> None:
        """A last word, if there was none yet, and the end of the connection."""
        self.since = None
        if self.transport.is_closing():
            return
        if self.cycle is None or not self.cycle.response_started:
            body = orjson.dumps({"error": message})
            head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()


def limited(limits: Limits) -> type[Connection]:
    """The class of connections with these limits, as uvicorn wants it."""
    return type("LimitedConnection", (Connection,), {"limits": limits})
