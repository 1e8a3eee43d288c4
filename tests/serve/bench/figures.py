"""From rounds to figures: medians, and ratios of what was measured in the same round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Round:
    """A load of some seconds on one server.

    Args:
        rate: answers a second.
        cpu_seconds: of an answer, in all processes of the server.
        others_cores: that the rest of the machine used meanwhile, load generator included.
    """

    rate: float
    cpu_seconds: float
    p50_seconds: float
    p99_seconds: float
    others_cores: float


@dataclass(frozen=True)
class Latency:
    """A load of some seconds below the capacity.

    Args:
        rate: requests a second that were sent.
        lateness_seconds: median by which the client was late.
        others_cores: as of a round, the client not included.
    """

    rate: float
    cpu_seconds: float
    p50_seconds: float
    p99_seconds: float
    lateness_seconds: float
    others_cores: float


@dataclass(frozen=True)
class Memory:
    """The largest memory seen while so many clients asked: in bytes, see `tests.serve.bench.processes.Tree.memory_bytes`."""

    connections: int
    resident: int
    once: int


@dataclass(frozen=True)
class Goal:
    """What was to be reached.

    Args:
        at_most: whether the bound is one from above.
    """

    title: str
    value: float
    bound: float
    at_most: bool

    @property
    def met(self) -> bool:
        """Whether it was."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median of the ratios of what was measured in the same round, so that a busy minute does not count against one of them."""
    return median(mine / other for mine, other in zip(ours, theirs, strict=True))


def turns(count: int, rounds: int) -> list[list[int]]:
    """The order of so many candidates in each round: every other one backwards, as each would always follow the same one."""
    forwards = list(range(count))
    return [forwards if number % 2 == 0 else forwards[::-1] for number in range(rounds)]
