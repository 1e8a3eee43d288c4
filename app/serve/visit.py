"""A request as the service sees it, in whatever language it comes: its number, its key, what it holds, its line in the log."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable
from itertools import count
from os import getpid
from typing import Any, TypeVar

from app.serve.refusal import Refusal, busy
from app.serve.served import Served
from app.serve.service import Service

T = TypeVar("T")
NUMBER = re.compile(r"[\x21-\x7e]{1,128}")
_numbers = count(1)
_prefix = f"{getpid():x}-{int(time.time()) & 0xFFFFFF:x}-"  # other processes and later ones have others


class Visit:
    """One request, from its head to its answer.

    Args:
        number: the caller's own; a new one if it is none that a log and a header can hold.
        client: its address.
        served: the version that it is for, once that is known.
        until: when its answer is of no use any more, on the monotonic clock.
    """

    __slots__ = ("_began", "_held_bytes", "client", "number", "served", "service", "until")

    def __init__(self, service: Service, number: str, client: str) -> None:
        self._began = time.perf_counter()
        self._held_bytes = 0
        self.service, self.client = service, client
        self.number = number if NUMBER.fullmatch(number) else f"{_prefix}{next(_numbers)}"
        self.served: Served | None = None
        self.arrived()

    def find(self, name: str, version: str = "") -> Served:
        """See `Repository.find`."""
        self.served = self.service.find(name, version)
        return self.served

    def arrived(self) -> None:
        """All of it is here: from now on the service is what it waits for."""
        self.until = time.monotonic() + self.service.settings.limits.deadline_seconds

    @property
    def remaining(self) -> float:
        """Seconds until its deadline."""
        return self.until - time.monotonic()

    async def in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """See `Service.in_thread`; as long as there is time."""
        return await self.service.in_thread(self.remaining, work, *arguments)

    def check_key(self, authorization: str, alone: str) -> None:
        """Refuses a caller without the service's key.

        Args:
            authorization: of the kind Bearer.
            alone: the key by itself.
        Raises:
            Refusal: it is missing or wrong.
        """
        kind, _, token = authorization.partition(" ")
        given = token.strip() if kind.lower() == "bearer" else alone
        if not hmac.compare_digest(given.encode(), self.service.settings.api_key.encode()):
            raise Refusal(401, "the key is missing or wrong; give it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'")

    def hold(self, size: int) -> None:
        """Counts bytes as held by this request.

        Raises:
            Refusal: all requests together hold too much.
        """
        self._held_bytes += size
        self.service.held_bytes += size
        most = self.service.settings.limits.bodies_bytes
        if self.service.held_bytes > most:
            raise busy(f"requests of {most >> 20} MB are being read already; try again in a second")

    def failed(self, error: Exception) -> Refusal:
        """What the client is told of a fault of ours: a number to ask us about."""
        self.service.log.error("a request failed by a fault of the service", request_id=self.number, reason=repr(error))
        return Refusal(500, f"the service failed; its log has more under {self.number}")

    def end(self) -> None:
        """It holds nothing any more."""
        self.service.held_bytes -= self._held_bytes
        self._held_bytes = 0

    def note(self, status: int, method: str, path: str) -> None:
        """Its line in the log."""
        served = self.served
        self.service.log.request(status, {
            "request_id": self.number, "method": method, "path": path[:200],
            "ms": round((time.perf_counter() - self._began) * 1000, 3), "client": self.client,
            "model": served.name if served else "", "version": served.version if served else "",
        })  # fmt: skip
