"""What a served version counts: plain numbers, added up in the event loop, read by metrics and by Triton's clients."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from app.serve.refusal import Refusal

# Upper ends in seconds: from an answer in the same turn of the loop to the default deadline.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LEFT = 499  # in place of a status: the client did not wait for one
Batches = dict[int, tuple[int, int]]


@dataclass
class Statistics:
    """Counts of one version since the process serves it.

    Args:
        latency: requests by the bucket of their time; the last one is beyond all buckets.
        batches: by size, how many ran and their nanoseconds.
        last_inference_ms: since 1970.
    """

    requests: int = 0
    pictures: int = 0
    failures: dict[int, int] = field(default_factory=dict)
    request_ns: int = 0
    failure_ns: int = 0
    queue_ns: int = 0
    run_ns: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    batches: Batches = field(default_factory=dict)
    last_inference_ms: int = 0

    def ran(self, size: int, took_ns: int) -> None:
        """The network ran once, on that many pictures."""
        count, total = self.batches.get(size, (0, 0))
        self.batches[size] = (count + 1, total + took_ns)
        self.run_ns += took_ns

    def to_json(self) -> dict[str, Any]:
        """For another process: `total` reads it."""
        return vars(self)


class Counted:
    """Counts what happens inside `with` as one request.

    Args:
        pictures: how many it has; set inside.
    """

    __slots__ = ("_began", "_statistics", "pictures")

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self.pictures = 0

    def __enter__(self) -> Self:
        self._began = time.perf_counter_ns()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        found, took = self._statistics, time.perf_counter_ns() - self._began
        if error is None:
            found.requests += 1
            found.pictures += self.pictures
            found.request_ns += took
            found.latency[bisect_left(BUCKETS, took / 1e9)] += 1
            found.last_inference_ms = time.time_ns() // 10**6
        else:
            status = error.status if isinstance(error, Refusal) else LEFT if isinstance(error, asyncio.CancelledError) else 500
            found.failures[status] = found.failures.get(status, 0) + 1
            found.failure_ns += took


def total(parts: Iterable[dict[str, Any]]) -> Statistics:
    """The sum of what several processes counted."""
    found = Statistics()
    for part in parts:
        for name in ("requests", "pictures", "request_ns", "failure_ns", "queue_ns", "run_ns"):
            setattr(found, name, getattr(found, name) + part[name])
        found.latency = [one + other for one, other in zip(found.latency, part["latency"], strict=True)]
        for status, count in part["failures"].items():
            found.failures[status] = found.failures.get(status, 0) + count
        for size, (count, took) in part["batches"].items():
            known, before = found.batches.get(size, (0, 0))
            found.batches[size] = (known + count, before + took)
        found.last_inference_ms = max(found.last_inference_ms, part["last_inference_ms"])
    return found
