"""What was measured of a release, and the figures that are made of it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import truediv
from typing import Any

import numpy as np

PASSED, FAILED, NOT_EXECUTED = "passed", "failed", "not executed"


@dataclass(frozen=True)
class Timing:
    """Single pictures on a number of threads. Every figure is the median over the rounds of that of a round.

    Args:
        cpu_ms: the time that all cores together spend on a picture.
        rounds_ms: the medians of the rounds, in their order: how far they lie apart tells how busy the machine was.
    """

    threads: int
    median_ms: float
    p95_ms: float
    cpu_ms: float
    rounds_ms: tuple[float, ...]


@dataclass(frozen=True)
class Throughput:
    """Pictures a second with the batch that gives most, on the most threads that were measured."""

    pictures_per_second: float
    batch: int
    threads: int


@dataclass(frozen=True)
class Row:
    """A file in a runtime. What was not measured, because it could not run, is None or empty.

    Args:
        metric, agreement: as the release has them, of its held-out pictures.
        detail: of the status.
        load_ms: to the first answer, the runtime's own start left out.
        memory_bytes: growth at its peak, for one picture at a time on one thread; None also where the system does not tell.
    """

    path: str
    format: str
    precision: str
    runtime: str
    bytes: int
    metric: float
    agreement: float
    status: str
    detail: str
    load_ms: float | None = None
    memory_bytes: int | None = None
    timings: tuple[Timing, ...] = ()
    throughput: Throughput | None = None


@dataclass(frozen=True)
class Ratio:
    """How long an int8 file takes, as a share of the time of the float32 file in the same runtime."""

    path: str
    to: str
    runtime: str
    threads: int
    ratio: float


@dataclass(frozen=True)
class Cost:
    """What a detector spends on its boxes: decoding what the network answers, and taking out those that overlap a better one.

    Args:
        whole_ms, body_ms: of a picture, with and without that, measured in turns.
        share: of the pictures a second that it costs.
    """

    path: str
    runtime: str
    threads: int
    whole_ms: float
    body_ms: float
    share: float


@dataclass(frozen=True)
class Benchmark:
    """A release, measured.

    Args:
        costs: of finding boxes, of the float32 files of a detector.
        machine: processor, cores and versions.
        settings: pictures a round, rounds, threads.
    """

    release: str
    version: int
    metric: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    rows: tuple[Row, ...]
    costs: tuple[Cost, ...] = ()

    @property
    def ratios(self) -> tuple[Ratio, ...]:
        """Of every int8 file, on every number of threads."""
        return tuple(ratio for row in self.rows if row.precision == "int8" for ratio in _ratios(row, self.rows))

    def to_json(self) -> dict[str, Any]:
        """`{"release", "version", "metric", "machine", "settings", "files": [...], "costs": [...], "ratios": [...]}`"""
        values = asdict(self)
        values["files"] = values.pop("rows")
        return values | {"ratios": [asdict(ratio) for ratio in self.ratios]}


def timing(threads: int, rounds: Sequence[tuple[Sequence[float], float]]) -> Timing:
    """The figures of rounds: the seconds of every picture, and the processor's seconds for one."""
    medians = [1000 * percentile(seconds, 50) for seconds, _ in rounds]
    return Timing(
        threads=threads,
        median_ms=_rounded(statistics.median(medians)),
        p95_ms=_rounded(statistics.median(1000 * percentile(seconds, 95) for seconds, _ in rounds)),
        cpu_ms=_rounded(statistics.median(1000 * busy for _, busy in rounds)),
        rounds_ms=tuple(map(_rounded, medians)),
    )


def cost(path: str, runtime: str, threads: int, rounds: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Cost:
    """What finding boxes costs, by the seconds of every picture with and without it, round by round."""
    whole, body = ([1000 * percentile(seconds, 50) for seconds in one] for one in zip(*rounds, strict=True))
    share = 1 - statistics.median(map(truediv, body, whole))  # of a round, because what slows a round down slows both
    return Cost(path, runtime, threads, _rounded(statistics.median(whole)), _rounded(statistics.median(body)), _rounded(share))


def throughput(threads: int, median_ms: float, batches: Mapping[int, Sequence[float]]) -> Throughput:
    """The best of single pictures and of batches, by the seconds that each size took in every round."""
    rates = {1: 1000 / median_ms} | {size: size / statistics.median(seconds) for size, seconds in batches.items()}
    best = max(rates, key=lambda size: rates[size])
    return Throughput(float(f"{rates[best]:.4g}"), best, threads)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many per cent of the values do not exceed, between two of them by their distance."""
    return float(np.percentile(values, percent))


def _ratios(row: Row, rows: Sequence[Row]) -> list[Ratio]:
    plain = next((other for other in rows if (other.runtime, other.precision) == (row.runtime, "fp32")), None)
    if plain is None:
        return []
    # Round by round, because what slows a round down slows both.
    found = []
    for ours, theirs in zip(row.timings, plain.timings, strict=False):
        ratio = statistics.median(map(truediv, ours.rounds_ms, theirs.rounds_ms))
        found.append(Ratio(row.path, plain.path, row.runtime, ours.threads, _rounded(ratio)))
    return found


def _rounded(value: float) -> float:
    """To four digits: timings have no more."""
    return float(f"{value:.4g}")
