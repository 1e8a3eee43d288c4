"""Load on a server: wrk in a closed loop, and a client of our own that sends at given times whatever comes back."""

from __future__ import annotations

import gc
import json
import random
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from app.errors import UserError
from tests.serve.bench.questions import Question

SCRIPT = Path(__file__).parent / "post.lua"
LIMIT_SECONDS = 30  # for one answer
LATE_SECONDS = 30.0  # after the last request was sent
PART = 65_536
HEAD_END = b"\r\n\r\n"


class LoadFailed(Exception):
    """A server did not answer everything with 200."""


@dataclass(frozen=True)
class Closed:
    """What came of a closed loop: every connection asks again as soon as it was answered."""

    requests: int
    seconds: float
    p50_seconds: float
    p99_seconds: float


@dataclass(frozen=True)
class Open:
    """What came of requests at random times.

    Args:
        latencies: seconds from the time at which a request was due, sorted. Waiting for a free connection counts.
        lateness_seconds: median by which our client was late where a connection was free.
    """

    latencies: tuple[float, ...]
    lateness_seconds: float

    def percentile(self, share: float) -> float:
        """Seconds within which that share of the requests was answered."""
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


def require_tools() -> None:
    """Refuses to go on without what the measurements need.

    Raises:
        UserError: this is not Linux, or the load generator is not installed.
    """
    if sys.platform != "linux":
        raise UserError(f"the system is {sys.platform}; CPU time and memory are counted as Linux tells them, so run it there")
    if which("wrk") is None:
        raise UserError("no program 'wrk', which makes the load; install it with: apt-get install wrk")


def closed_loop(url: str, question: Question, connections: int, seconds: int) -> Closed:
    """wrk with one thread.

    Raises:
        LoadFailed: an answer was no 200, or a connection broke.
    """
    with tempfile.NamedTemporaryFile() as body:
        body.write(question.body)
        body.flush()
        headers = [f"{name}: {value}" for name, value in question.headers]
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={LIMIT_SECONDS}s", "-s", str(SCRIPT), url]
        done = subprocess.run(
            [*command, "--", body.name, *headers], capture_output=True, text=True, timeout=seconds + 2 * LIMIT_SECONDS
        )
    if done.returncode:
        raise LoadFailed(f"wrk failed ({done.returncode}): {(done.stderr or done.stdout).strip()[-300:]}")
    return parse_wrk(done.stdout)


def parse_wrk(text: str) -> Closed:
    """The figures that post.lua prints after wrk's own.

    Raises:
        LoadFailed: an answer was no 200, a connection broke, or nothing was answered.
    """
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if not lines:
        raise LoadFailed(f"wrk told nothing: {text.strip()[-300:]}")
    told = json.loads(lines[-1])
    if not told["requests"]:
        raise LoadFailed(f"not one answer in {told['microseconds'] / 1e6:.1f} s")
    if told["refused"] or told["broken"]:
        raise LoadFailed(
            f"of {told['requests']} answers {told['refused']} were errors, and {told['broken']} times a connection broke"
        )
    return Closed(told["requests"], told["microseconds"] / 1e6, told["p50"] / 1e6, told["p99"] / 1e6)


def due_times(rate: float, seconds: float, seed: int) -> list[float]:
    """Seconds from the start at which clients ask that know nothing of each other: gaps are exponential."""
    chance, times = random.Random(seed), []
    now = chance.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += chance.expovariate(rate)
    return times


def open_loop(address: tuple[str, int], path: str, question: Question, due: list[float], connections: int) -> Open:
    """A client of our own, in one thread, that sends when a request is due and not when the one before was answered.

    Raises:
        LoadFailed: an answer was no 200, a connection broke, or answers did not come.
    """
    head = "".join(f"{name}: {value}\r\n" for name, value in question.headers)
    request = f"POST {path} HTTP/1.1\r\nHost: {address[0]}\r\n{head}Content-Length: {len(question.body)}\r\n\r\n".encode()
    request += question.body
    free = deque(socket.create_connection(address, LIMIT_SECONDS) for _ in range(connections))
    for connection in free:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    everyone = list(free)
    try:
        with _no_collection():
            return _send_all(request, free, deque(due))
    except (OSError, ValueError) as error:
        raise LoadFailed(f"a connection broke: {error}") from None
    finally:
        for connection in everyone:
            connection.close()


def _send_all(request: bytes, free: deque[socket.socket], due: deque[float]) -> Open:
    busy: dict[socket.socket, float] = {}
    parts: dict[socket.socket, bytes] = {}
    latencies, lateness = [], []
    start, last, waited = time.perf_counter(), due[-1], 0.0
    while due or busy:
        now = time.perf_counter() - start
        while due and due[0] <= now and free:
            connection = free.popleft()
            lateness.append(now - max(due[0], waited))
            busy[connection], parts[connection] = due.popleft(), b""
            connection.sendall(request)
            now = time.perf_counter() - start
        if not free:
            waited = time.perf_counter() - start
        if now > last + LATE_SECONDS:
            raise LoadFailed(f"{len(busy)} requests were not answered within {LATE_SECONDS:g} s")
        # select and not epoll, whose shortest wait is a millisecond.
        wait = max(0.0, due[0] - now) if due and free else 1.0
        for connection in select.select(list(busy), [], [], wait)[0]:
            parts[connection] += _receive(connection)
            if _is_whole(parts[connection]):
                latencies.append(time.perf_counter() - start - busy.pop(connection))
                free.append(connection)
    lateness.sort()
    return Open(tuple(sorted(latencies)), lateness[len(lateness) // 2])


def _receive(connection: socket.socket) -> bytes:
    part = connection.recv(PART)
    if not part:
        raise ConnectionError("the server closed it")
    return part


def _is_whole(answer: bytes) -> bool:
    """Whether an answer has all its bytes.

    Raises:
        LoadFailed: it is no 200.
    """
    end = answer.find(HEAD_END)
    if end < 0:
        return False
    head = answer[:end].lower()
    if not head.startswith(b"http/1.1 200"):
        raise LoadFailed(answer[:200].decode(errors="replace"))
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    return len(answer) >= end + len(HEAD_END) + length


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
