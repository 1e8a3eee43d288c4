"""What a served version counts: plain numbers, added up in the event loop, read by metrics and by Triton's clients."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

# Upper ends in seconds: from an answer in the same turn of the loop to the default deadline.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
Batches = dict[int, tuple[int, int]]


@dataclass
class Statistics:
    """Counts of one version since it was loaded.

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

    def answered(self, pictures: int, took_ns: int, now_ms: int) -> None:
        """A request was answered."""
        self.requests += 1
        self.pictures += pictures
        self.request_ns += took_ns
        self.latency[bisect_left(BUCKETS, took_ns / 1e9)] += 1
        self.last_inference_ms = now_ms

    def failed(self, status: int, took_ns: int) -> None:
        """A request was refused, or failed."""
        self.failures[status] = self.failures.get(status, 0) + 1
        self.failure_ns += took_ns

    def ran(self, size: int, took_ns: int) -> None:
        """The network ran once, on that many pictures."""
        count, total = self.batches.get(size, (0, 0))
        self.batches[size] = (count + 1, total + took_ns)
        self.run_ns += took_ns

    def to_json(self) -> dict[str, Any]:
        """For another process: `total` reads it."""
        return vars(self)


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
