"""The measurement, as a story: open every file in a process of its own, time them in turns, let them answer the samples."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from app.bench.engines import ENGINES, USUAL, Array, Engine
from app.bench.figures import FAILED, NOT_EXECUTED, PASSED, Benchmark, Row, throughput, timing
from app.bench.worker import Broken, Opened, Remote, Round, Task
from app.errors import UserError, unknown
from app.progress import Countdown
from app.release import Artifact, Release, check_artifact
from app.runners import Outputs

BATCHES = (4, 16, 64)
SLOW_SECONDS = 2.0  # a batch that took so long is the largest that is tried
PACKAGES = ("onnxruntime", "ai-edge-litert", "tensorflow", "numpy")
PROCESSOR = Path("/proc/cpuinfo")

Judge = Callable[[Artifact, Outputs], tuple[bool, str]]  # whether a file still answers the samples as recorded; and figures


def all_threads() -> tuple[int, ...]:
    """One, and as many as this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return tuple(sorted({1, usable}))


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Args:
        pictures: of a file, a round.
        threads: numbers of them, each measured.
        engines: rows of `app.bench.engines.ENGINES`.
    """

    pictures: int = 20
    rounds: int = 10
    threads: tuple[int, ...] = field(default_factory=all_threads)
    engines: tuple[str, ...] = USUAL

    def __post_init__(self) -> None:
        for name in self.engines:
            if name not in ENGINES:
                raise unknown("runtime", name, ENGINES)


class Station(Protocol):
    """What a file is measured by: `app.bench.worker.Remote`, or a test's stand-in."""

    def ask(self, what: str, *arguments: Any) -> Any: ...

    def close(self) -> None: ...


@dataclass
class Candidate:
    """A file in a runtime while it is measured.

    Args:
        stations: by their number of threads.
        rounds: by the number of threads.
        batches: seconds by size, on the most threads.
    """

    artifact: Artifact
    engine: Engine
    stations: dict[int, Station] = field(default_factory=dict)
    status: str = PASSED
    detail: str = ""
    opened: Opened | None = None
    rounds: dict[int, list[Round]] = field(default_factory=dict)
    batches: dict[int, list[float]] = field(default_factory=dict)

    def fail(self, reason: str) -> None:
        """Takes the file out of the measurement, with what was measured so far."""
        self.status, self.detail = FAILED, reason
        self.rounds.clear()
        self.batches.clear()


def benchmark(
    release: Release,
    pictures: Array,
    judge: Judge,
    settings: Settings,
    say: Callable[[str], None] = print,
    start: Callable[[Task], Station] = Remote,
) -> Benchmark:
    """Every file of a release in every runtime that takes it.

    Args:
        pictures: the release's samples, uint8 [N, H, W, C].
        judge: looks at what a file answers to them.
        start: makes the process of a file.
    Raises:
        UserError: no file of the release can be measured in these runtimes.
    """
    candidates = _candidates(release, settings)
    with ExitStack() as processes:
        _open(release, candidates, pictures, settings, say, lambda task: _kept(start(task), processes))
        _take_turns(candidates, settings, say)
        for candidate in candidates:
            _judge(candidate, judge)
    return Benchmark(
        release=release.name,
        version=release.version,
        metric=release.metric,
        machine=_machine(),
        settings={"pictures": settings.pictures, "rounds": settings.rounds, "threads": list(settings.threads)},
        rows=tuple(_row(candidate) for candidate in candidates),
    )


def _candidates(release: Release, settings: Settings) -> list[Candidate]:
    engines = [ENGINES[name] for name in settings.engines]
    found = [Candidate(file, engine) for file in release.files for engine in engines if engine.format == file.format]
    if not found:
        formats = ", ".join(sorted({file.format for file in release.files}))
        raise UserError(f"--runtimes {' '.join(settings.engines)}: none takes a file of this release, which has {formats}")
    return found


def _open(
    release: Release,
    candidates: Sequence[Candidate],
    pictures: Array,
    settings: Settings,
    say: Callable[[str], None],
    start: Callable[[Task], Station],
) -> None:
    """Gives every file its processes; what cannot be opened is out."""
    for candidate in candidates:
        artifact, engine = candidate.artifact, candidate.engine
        if find_spec(engine.package) is None:
            candidate.status, candidate.detail = NOT_EXECUTED, f"{engine.title} is not installed here"
            continue
        say(f"opening {artifact.path} in {engine.title}")
        name = next(key for key, row in ENGINES.items() if row is engine)
        try:
            check_artifact(release, artifact)
            for threads in settings.threads:
                station = start(Task(release.folder / artifact.path, name, threads, pictures))
                candidate.stations[threads] = station
                opened = station.ask("load")
                candidate.opened = candidate.opened or opened
        except (UserError, Broken) as error:
            candidate.fail(str(error))


def _take_turns(candidates: Sequence[Candidate], settings: Settings, say: Callable[[str], None]) -> None:
    """A round of every file, then the next: a machine that is busy for a while is so for all of them."""
    places = [(candidate, threads) for candidate in candidates for threads in settings.threads if candidate.stations]
    countdown = Countdown(settings.rounds * len(places), "measurements", say)
    for number in range(settings.rounds):
        # Every other round goes backwards, or each file would always find the caches as the same other one left them.
        for candidate, threads in places if number % 2 == 0 else places[::-1]:
            if candidate.status == PASSED:
                try:
                    _measure(candidate, threads, settings)
                except Broken as error:
                    candidate.fail(str(error))
            countdown.add(1)


def _measure(candidate: Candidate, threads: int, settings: Settings) -> None:
    station = candidate.stations[threads]
    timed = station.ask("round", settings.pictures)
    candidate.rounds.setdefault(threads, []).append(timed)
    if not candidate.engine.batches or threads != max(settings.threads):
        return
    for size in BATCHES:
        seconds = station.ask("batch", size, settings.pictures)
        candidate.batches.setdefault(size, []).append(seconds)
        if seconds > SLOW_SECONDS:
            break


def _judge(candidate: Candidate, judge: Judge) -> None:
    for station in candidate.stations.values():
        if candidate.status != PASSED:
            return
        try:
            good, candidate.detail = judge(candidate.artifact, station.ask("answers"))
        except Broken as error:
            candidate.fail(str(error))
        else:
            candidate.status = PASSED if good else FAILED


def _row(candidate: Candidate) -> Row:
    artifact, opened = candidate.artifact, candidate.opened
    timings = tuple(
        timing(threads, [(one.seconds, one.cpu_seconds) for one in rounds]) for threads, rounds in candidate.rounds.items()
    )
    return Row(
        path=artifact.path,
        format=artifact.format,
        precision=artifact.precision,
        runtime=candidate.engine.title,
        bytes=artifact.bytes,
        metric=artifact.metric,
        agreement=artifact.agreement,
        status=candidate.status,
        detail=candidate.detail,
        load_ms=round(1000 * opened.load_seconds, 2) if opened else None,
        memory_bytes=opened.memory_bytes if opened else None,
        timings=tuple(sorted(timings, key=lambda one: one.threads)),
        throughput=throughput(timings[-1].threads, timings[-1].median_ms, candidate.batches) if timings else None,
    )


def _kept(station: Station, processes: ExitStack) -> Station:
    """The station, closed at the end whatever happens."""
    processes.callback(station.close)
    return station


def _machine() -> dict[str, Any]:
    names = [line.split(":", 1)[1].strip() for line in _lines(PROCESSOR) if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": max(all_threads()),
        "system": platform.system(),
        "versions": {"python": platform.python_version()} | dict(_versions()),
    }


def _lines(file: Path) -> list[str]:
    return file.read_text(errors="replace").splitlines() if file.exists() else []


def _versions() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue
