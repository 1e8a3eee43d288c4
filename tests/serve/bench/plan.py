"""What is compared with what, and the goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.bench.measure import all_threads
from tests.serve.bench.figures import Goal, Memory, paired_ratio
from tests.serve.bench.material import LARGE, LENET, MOBILENET, PNG, SMALL
from tests.serve.bench.measure import Measured, Row
from tests.serve.bench.questions import BINARY, JSON
from tests.serve.bench.servers import FASTAPI, INLINE, INLINE_TUNED, LITSERVE_PICTURES, LITSERVE_TENSORS, OURS, TUNED, Kind

CORES = max(all_threads())
ASKED: Mapping[str, Sequence[tuple[Kind, str]]] = {
    LENET: (
        (OURS, JSON),
        (FASTAPI, JSON),
        (INLINE, JSON),
        (INLINE_TUNED, JSON),
        (LITSERVE_TENSORS, JSON),
        (OURS, BINARY),
        (OURS, PNG),
        (FASTAPI, PNG),
        (LITSERVE_PICTURES, PNG),
    ),
    MOBILENET: (
        (OURS, SMALL),
        (FASTAPI, SMALL),
        (TUNED, SMALL),
        (LITSERVE_PICTURES, SMALL),
        (OURS, LARGE),
        (FASTAPI, LARGE),
        (LITSERVE_PICTURES, LARGE),
    ),
}
# Latency takes longer, and is measured for some.
TIMED = {LENET: (JSON,), MOBILENET: (SMALL,)}
# ONNX Runtime alone: sessions and threads.
SHAPES: Mapping[str, Sequence[tuple[int, int]]] = {
    LENET: ((CORES, 1),),
    MOBILENET: ((CORES, 1), (1, CORES)),
}
REMEMBERED: Sequence[tuple[str, Kind, str]] = (
    (LENET, OURS, JSON),
    (LENET, FASTAPI, JSON),
    (LENET, LITSERVE_TENSORS, JSON),
    (MOBILENET, OURS, SMALL),
    (MOBILENET, FASTAPI, SMALL),
    (MOBILENET, LITSERVE_PICTURES, SMALL),
    (MOBILENET, OURS, JSON),
    (MOBILENET, FASTAPI, JSON),
    (MOBILENET, LITSERVE_TENSORS, JSON),
)
STARTED = (OURS, FASTAPI, LITSERVE_PICTURES)
CPU_GOALS = ((FASTAPI, 1 / 3), (INLINE, 1 / 3), (LITSERVE_TENSORS, 1 / 8))
THROUGHPUT_GOAL = 0.85
MEMORY_GOAL = 1.5


def load_goals(measured: Measured) -> list[Goal]:
    """The goals of throughput and CPU time, where both sides were measured."""
    network = measured.network.title
    rows = {(row.kind, row.case.title): row for row in measured.rows}
    goals = []
    if network == LENET:
        for rival, bound in CPU_GOALS:
            if (OURS, JSON) in rows and (rival, JSON) in rows:
                ratio = cpu_ratio(rows[OURS, JSON], rows[rival, JSON])
                goals.append(Goal(f"{network}, {JSON}: CPU time of a request to that of {rival.title}", ratio, bound, True))
    elif (OURS, SMALL) in rows:
        share = bound_share(rows[OURS, SMALL], measured)
        goals.append(Goal(f"{network}, {SMALL}: pictures a second to ONNX Runtime's alone", share, THROUGHPUT_GOAL, False))
    return goals


def memory_goals(network: str, kind: Kind, title: str, found: Sequence[Memory]) -> list[Goal]:
    """The goal of memory, for our service."""
    if kind is not OURS:
        return []
    few, many = found
    name = f"{network}, {title}: memory with {many.connections} clients to that with {few.connections}"
    return [Goal(name, many.once / few.once, MEMORY_GOAL, True)]


def cpu_ratio(row: Row, other: Row) -> float:
    """A row's CPU time of a request to another's."""
    return paired_ratio([one.cpu_seconds for one in row.rounds], [one.cpu_seconds for one in other.rounds])


def bound_share(row: Row, measured: Measured) -> float:
    """A row's answers a second to the most that ONNX Runtime alone ran in the same round."""
    best = [max(rates) for rates in zip(*(bound.rates for bound in measured.bounds), strict=True)]
    return paired_ratio([one.rate for one in row.rounds], best)
