"""The measurements: rounds that go from server to server, latency below the capacity, memory, and the time to start."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.serve.bench.ceiling import Ceiling
from tests.serve.bench.figures import Latency, Memory, Round, turns
from tests.serve.bench.load import LoadFailed, Open, closed_loop, due_times, open_loop
from tests.serve.bench.material import Case, Network
from tests.serve.bench.processes import machine_seconds
from tests.serve.bench.servers import HOST, Kind, Server, Unready

SHARE = 0.8  # of the capacity, at which latency is measured
LATENCY_ROUNDS = 3
WARM_UP_SECONDS = 1
SAMPLE_SECONDS = 0.1
CLIENTS = (1, 64)

Say = Callable[[str], None]


@dataclass
class Row:
    """A server and a way to ask it, while they are measured.

    Args:
        latencies: at 80 % of the capacity.
        failure: why it was not measured any further, if so.
    """

    kind: Kind
    case: Case
    rounds: list[Round] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    failure: str = ""

    @property
    def capacity(self) -> float:
        """Median of answers a second."""
        return median(one.rate for one in self.rounds)


@dataclass
class Bound:
    """ONNX Runtime alone: so many sessions of so many threads at once."""

    sessions: int
    threads: int
    rates: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)

    def add(self, ceiling: Ceiling, seconds: int) -> None:
        """Measures it once more."""
        rate, cpu_seconds = ceiling.measure(self.sessions, self.threads, seconds)
        self.rates.append(rate)
        self.cpu_seconds.append(cpu_seconds)


@dataclass(frozen=True)
class Measured:
    """A network's rows, and what bounds them.

    Args:
        failed: rows that could not be measured.
    """

    network: Network
    rows: tuple[Row, ...]
    bounds: tuple[Bound, ...]
    failed: tuple[Row, ...]


def measure_load(
    network: Network,
    asked: Sequence[tuple[Kind, str]],
    timed: Sequence[str],
    shapes: Sequence[tuple[int, int]],
    rounds: int,
    seconds: int,
    say: Say,
) -> Measured:
    """Throughput and CPU time of servers side by side, then their latency at 80 % of what they can.

    Args:
        asked: kinds and titles of cases.
        timed: titles of those whose latency is measured.
        shapes: sessions and threads of ONNX Runtime alone.
    """
    rows = [Row(kind, network.cases[title]) for kind, title in asked]
    bounds = [Bound(*shape) for shape in shapes]
    with ExitStack() as started:
        servers = _start_all(network, rows, started, say)
        ceiling = Ceiling(network.model)
        started.callback(ceiling.stop)
        for number, order in enumerate(turns(len(bounds) + len(rows), rounds), 1):
            say(f"{network.title}: round {number} of {rounds}")
            for place in order:
                if place < len(bounds):  # just before or after the first row, which is ours
                    bounds[place].add(ceiling, seconds)
                elif not (row := rows[place - len(bounds)]).failure:
                    with _noted(row):
                        row.rounds.append(_load(servers[row.kind], row.case, network.connections, seconds))
        waiting = [row for row in rows if row.case.title in timed]
        for number, order in enumerate(turns(len(waiting), LATENCY_ROUNDS)):
            say(f"{network.title}: latency, round {number + 1} of {LATENCY_ROUNDS}")
            for row in (waiting[place] for place in order if not waiting[place].failure):
                with _noted(row):
                    row.latencies.append(_latency(servers[row.kind], row, network.connections, 2 * seconds, number))
    good = tuple(row for row in rows if not row.failure)
    return Measured(network, good, tuple(bounds), tuple(row for row in rows if row.failure))


def measure_memory(network: Network, kind: Kind, title: str, seconds: int, say: Say) -> list[Memory]:
    """The memory of a fresh server with one client, then with many."""
    case = network.cases[title]
    say(f"{network.title}: memory of {kind.title}, {title}")
    found = []
    with _served(kind, network) as server:
        server.check(case.form, case.question)
        for connections in CLIENTS:
            with _watched(server) as seen:
                closed_loop(server.url(case.form), case.question, connections, seconds)
            found.append(Memory(connections, *map(max, zip(*seen, strict=True))))
    return found


def measure_start(network: Network, kinds: Sequence[Kind], rounds: int, say: Say) -> dict[str, list[float]]:
    """Seconds from a process's start until it is ready, by the kind's title."""
    found: dict[str, list[float]] = {kind.title: [] for kind in kinds}
    for number, order in enumerate(turns(len(kinds), rounds + 1)):
        say(f"{network.title}: start, round {number} of {rounds}" if number else f"{network.title}: start, files into memory")
        for place in order:
            with _served(kinds[place], network) as server:
                if number:
                    found[kinds[place].title].append(server.ready_seconds)
    return found


def _start_all(network: Network, rows: Sequence[Row], started: ExitStack, say: Say) -> dict[Kind, Server]:
    """A server of each kind, checked, warm, and paused."""
    servers = {}
    for kind in dict.fromkeys(row.kind for row in rows):
        say(f"{network.title}: starting {kind.title}, and checking its answers")
        own = [row for row in rows if row.kind is kind]
        with _noted(*own):
            server = servers[kind] = started.enter_context(_served(kind, network))
            with _awake(server):
                for row in own:
                    for case in network.checks:
                        if case.form == row.case.form:
                            server.check(case.form, case.question)
                    closed_loop(server.url(row.case.form), row.case.question, network.connections, WARM_UP_SECONDS)
    return servers


def _load(server: Server, case: Case, connections: int, seconds: int) -> Round:
    with _awake(server):
        busy, machine = server.tree.cpu_seconds(), machine_seconds()
        closed = closed_loop(server.url(case.form), case.question, connections, seconds)
        busy, machine = server.tree.cpu_seconds() - busy, machine_seconds() - machine
    return Round(
        rate=closed.requests / closed.seconds,
        cpu_seconds=busy / closed.requests,
        p50_seconds=closed.p50_seconds,
        p99_seconds=closed.p99_seconds,
        others_cores=max(0.0, machine - busy) / closed.seconds,
    )


def _latency(server: Server, row: Row, connections: int, seconds: int, seed: int) -> Latency:
    rate = SHARE * row.capacity
    due = due_times(rate, seconds, seed)
    with _awake(server):
        busy, machine, client, start = server.tree.cpu_seconds(), machine_seconds(), time.process_time(), time.perf_counter()
        found: Open = open_loop((HOST, server.port), server.path(row.case.form), row.case.question, due, connections)
        took, client = time.perf_counter() - start, time.process_time() - client
        busy, machine = server.tree.cpu_seconds() - busy, machine_seconds() - machine
    return Latency(
        rate=rate,
        cpu_seconds=busy / len(due),
        p50_seconds=found.percentile(0.5),
        p99_seconds=found.percentile(0.99),
        lateness_seconds=found.lateness_seconds,
        others_cores=max(0.0, machine - busy - client) / took,
    )


@contextmanager
def _noted(*rows: Row) -> Iterator[None]:
    """Notes why rows failed, if they do now."""
    try:
        yield
    except (LoadFailed, Unready) as error:
        for row in rows:
            row.failure = str(error)


@contextmanager
def _awake(server: Server) -> Iterator[None]:
    """A server that runs while it is asked, and does nothing while others are: some use a core without any request."""
    server.tree.resume()
    try:
        yield
        server.tree.settle()
    finally:
        server.tree.pause()


@contextmanager
def _served(kind: Kind, network: Network) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as place:
        server = Server(kind, network.release, Path(place) / "log")
        try:
            yield server
        finally:
            server.tree.stop()


@contextmanager
def _watched(server: Server) -> Iterator[list[tuple[int, int]]]:
    """Memory, looked at until the block ends."""
    seen = [server.tree.memory_bytes()]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            seen.append(server.tree.memory_bytes())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
        time.sleep(SAMPLE_SECONDS)
    finally:
        ended.set()
        thread.join()
