"""The figures as Markdown tables and as JSON."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any

from app.bench.measure import PROCESSOR
from tests.runtimes.environments import SERVED
from tests.serve.bench.figures import Goal, Memory
from tests.serve.bench.material import MOBILENET
from tests.serve.bench.measure import SHARE, Measured, Row
from tests.serve.bench.plan import CORES, bound_share, cpu_ratio
from tests.serve.bench.servers import OURS, RIVALS, Kind


@dataclass
class Report:
    """All that was measured.

    Args:
        memories: by network, kind and title of the case.
        starts: seconds, by network and title of the kind.
    """

    rounds: int
    seconds: int
    measured: list[Measured] = field(default_factory=list)
    memories: list[tuple[str, Kind, str, list[Memory]]] = field(default_factory=list)
    starts: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    date: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))

    def to_markdown(self) -> str:
        """A table for everything."""
        parts = [f"{self.date}. {machine()}. {versions()}.", f"Medians of {self.rounds} rounds of {self.seconds} s."]
        for measured in self.measured:
            parts += _load_parts(measured)
            parts += [f"Failed: {row.kind.title}, {row.case.title}: {row.failure}" for row in measured.failed]
        if self.memories:
            parts += ["### Memory", _markdown(MEMORY_HEADERS, _memory_rows(self.memories))]
        if self.starts:
            parts += ["### Start to ready", _markdown(START_HEADERS, _start_rows(self.starts))]
        if self.goals:
            parts += ["### Goals", _markdown(("goal", "measured", "bound", "met"), map(_goal_row, self.goals))]
        parts += [f"Failed: {failure}" for failure in self.failures]
        return "\n\n".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Everything, every round of it."""
        return {
            "date": self.date,
            "machine": machine(),
            "versions": versions(),
            "rounds": self.rounds,
            "seconds": self.seconds,
            "load": [_load_json(measured) for measured in self.measured],
            "memory": [
                {"network": network, "server": kind.title, "case": title, "found": [asdict(one) for one in found]}
                for network, kind, title, found in self.memories
            ],
            "start_seconds": self.starts,
            "goals": [asdict(goal) | {"met": goal.met} for goal in self.goals],
            "failures": [*self.failures, *(row.failure for measured in self.measured for row in measured.failed)],
        }


LOAD_HEADERS = (
    "request",
    "server",
    "requests/s",
    "CPU ms/request",
    "Convoy's CPU to its",
    "Convoy's rate to its",
    "p50 ms",
    "p99 ms",
)
LATENCY_HEADERS = ("request", "server", "sent/s", "CPU ms/request", "p50 ms", "p99 ms", "client late ms", "others' cores")
MEMORY_HEADERS = ("network", "request", "server", "1 client MB", "64 clients MB", "ratio", "resident MB")
START_HEADERS = ("network", "server", "seconds", "least", "most")


def machine() -> str:
    """The processor and how many of its cores this process may use."""
    lines = PROCESSOR.read_text(errors="replace").splitlines() if PROCESSOR.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {CORES} cores, {platform.system()}"


def versions() -> str:
    """Of Python and what serves."""
    pins = dict.fromkeys((*SERVED.values(), *RIVALS.pins))
    return ", ".join([f"Python {platform.python_version()}", *(pin.replace("==", " ") for pin in pins)])


def _load_parts(measured: Measured) -> Iterator[str]:
    network = measured.network
    others = median([one.others_cores for row in measured.rows for one in row.rounds] or [0.0])
    yield f"### {network.title}"
    yield (
        f"{network.connections} connections kept open, each asks again at once (wrk). "
        f"Everything else on the machine, wrk included, used {others:.2f} cores meanwhile (median)."
    )
    yield _markdown(LOAD_HEADERS, _load_rows(measured))
    yield (
        f"At {SHARE:.0%} of each one's own rate above: requests at random times, whether or not others were answered, on "
        f"{network.connections} connections (a client of our own, which may be late itself)."
    )
    yield _markdown(LATENCY_HEADERS, [_latency_row(row) for row in measured.rows if row.latencies])


def _load_rows(measured: Measured) -> Iterator[Sequence[str]]:
    ours = {row.case.title: row for row in measured.rows if row.kind is OURS}
    for row in measured.rows:
        mine = ours.get(row.case.title)
        own = row.kind is OURS
        yield (
            row.case.title,
            row.kind.title,
            f"{row.capacity:,.0f}",
            _milliseconds([one.cpu_seconds for one in row.rounds]),
            f"{cpu_ratio(mine, row):.3f}" if mine and not own else "",
            f"{_rate_ratio(mine, row):.2f}" if mine and not own else "",
            _milliseconds([one.p50_seconds for one in row.rounds]),
            _milliseconds([one.p99_seconds for one in row.rounds]),
        )
    for bound in measured.bounds:
        title = f"ONNX Runtime alone, {bound.sessions} x {bound.threads} threads"
        yield "tensor", title, f"{median(bound.rates):,.0f}", _milliseconds(bound.cpu_seconds), "", "", "", ""
    for title, mine in ours.items() if measured.network.title == MOBILENET else ():
        busy = median([one.cpu_seconds for one in mine.rounds]) / min(median(bound.cpu_seconds) for bound in measured.bounds)
        share = f"{bound_share(mine, measured):.1%}"
        yield title, "Convoy to ONNX Runtime alone, the best each round", share, f"x {busy:.2f}", *[""] * 4


def _rate_ratio(row: Row, other: Row) -> float:
    return median(mine.rate / theirs.rate for mine, theirs in zip(row.rounds, other.rounds, strict=True))


def _latency_row(row: Row) -> Sequence[str]:
    p50, p99 = ([getattr(one, name) for one in row.latencies] for name in ("p50_seconds", "p99_seconds"))
    return (
        row.case.title,
        row.kind.title,
        f"{row.latencies[0].rate:,.0f}",
        _milliseconds([one.cpu_seconds for one in row.latencies]),
        _milliseconds(p50),
        _milliseconds(p99),
        _milliseconds([one.lateness_seconds for one in row.latencies]),
        f"{median(one.others_cores for one in row.latencies):.2f}",
    )


def _memory_rows(memories: Sequence[tuple[str, Kind, str, list[Memory]]]) -> Iterator[Sequence[str]]:
    for network, kind, title, (few, many) in memories:
        sizes = [f"{size / 1e6:.0f}" for size in (few.once, many.once)]
        ratio = f"{many.once / few.once:.2f}"
        yield network, title, kind.title, *sizes, ratio, f"{few.resident / 1e6:.0f} -> {many.resident / 1e6:.0f}"


def _start_rows(starts: Mapping[str, Mapping[str, list[float]]]) -> Iterator[Sequence[str]]:
    for network, kinds in starts.items():
        for title, seconds in kinds.items():
            if seconds:
                yield network, title, *(f"{value:.2f}" for value in (median(seconds), min(seconds), max(seconds)))


def _goal_row(goal: Goal) -> Sequence[str]:
    sign = "at most" if goal.at_most else "at least"
    return goal.title, f"{goal.value:.3f}", f"{sign} {goal.bound:.3f}", "yes" if goal.met else "**no**"


def _load_json(measured: Measured) -> dict[str, Any]:
    return {
        "network": measured.network.title,
        "release": measured.network.release.name,
        "connections": measured.network.connections,
        "rows": [
            {
                "server": row.kind.title,
                "case": row.case.title,
                "rounds": [asdict(one) for one in row.rounds],
                "latencies": [asdict(one) for one in row.latencies],
            }
            for row in measured.rows
        ],
        "alone": [asdict(bound) for bound in measured.bounds],
    }


def _milliseconds(seconds: Sequence[float]) -> str:
    """The median, with three digits."""
    value = 1000 * median(seconds)
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _markdown(headers: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]] | Any) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
