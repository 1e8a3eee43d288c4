"""A process of its own for one file: what it is asked over a pipe, and how it is started and asked."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from app.bench.engines import ENGINES, Array
from app.images import with_channels
from app.runners import Outputs, first_line

WARM_UPS = 3  # before every round: the other files have used the caches since
LIMIT_SECONDS = 600.0  # for one answer
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Task:
    """A file to be measured.

    Args:
        engine: a row of `app.bench.engines.ENGINES`.
        pictures: uint8 [N, H, W, C], sent one after the other.
    """

    path: Path
    engine: str
    threads: int
    pictures: Array


@dataclass(frozen=True)
class Opened:
    """What opening a file cost, up to its first answer.

    Args:
        memory_bytes: growth at its peak; None where the system does not tell.
    """

    load_seconds: float
    memory_bytes: int | None


@dataclass(frozen=True)
class Round:
    """Single pictures, one after the other.

    Args:
        seconds: of each picture.
        cpu_seconds: of a picture on the average, in all threads.
    """

    seconds: tuple[float, ...]
    cpu_seconds: float


class Broken(Exception):
    """Why a file cannot be measured, in one line."""


class Worker:
    """The file, inside its process. Its public methods are what can be asked for."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._next = 0

    def load(self) -> Opened:
        """Opens the file and lets it answer once."""
        engine = ENGINES[self._task.engine]
        import_module(engine.module)
        before = _status("VmRSS")
        start = time.perf_counter()
        self._session = engine.open(self._task.path, self._task.threads)
        self._session.answer(self._store(self._task.pictures[0]))
        seconds = time.perf_counter() - start
        peak = _status("VmHWM")
        self._stored = [self._store(picture) for picture in self._task.pictures]  # now: they are the client's, not the file's
        return Opened(seconds, None if before is None or peak is None else max(0, peak - before))

    def answers(self) -> Outputs:
        """What the file answers to the pictures."""
        parts = [self._session.read(self._session.answer(stored)) for stored in self._stored]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def round(self, count: int) -> Round:
        """The time of so many pictures, each alone."""
        for _ in range(WARM_UPS):
            self._session.answer(self._turn())
        seconds = []
        busy = time.process_time()
        for _ in range(count):
            stored = self._turn()
            start = time.perf_counter()
            self._session.answer(stored)
            seconds.append(time.perf_counter() - start)
        return Round(tuple(seconds), (time.process_time() - busy) / count)

    def batch(self, size: int, count: int) -> float:
        """Seconds for a batch of that size, from as many batches as hold `count` pictures, one at least."""
        images = np.concatenate([self._turn() for _ in range(size)])
        self._session.answer(images)  # memory for a new size is found in the first run
        times = max(1, count // size)
        start = time.perf_counter()
        for _ in range(times):
            self._session.answer(images)
        return (time.perf_counter() - start) / times

    def _store(self, picture: Array) -> Array:
        """A picture as the file takes it."""
        stored: Array = self._session.store(with_channels(picture[None], self._session.input_shape[2]).astype(np.float32))
        return stored

    def _turn(self) -> Array:
        self._next = (self._next + 1) % len(self._stored)
        return self._stored[self._next]


class Remote:
    """A worker's process, seen from here."""

    def __init__(self, task: Task) -> None:
        self._log = tempfile.NamedTemporaryFile(prefix="convoy-bench-")  # noqa: SIM115 - closed with the process
        context = multiprocessing.get_context("spawn")  # a fork would share the memory that is to be measured
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, task, self._log.name), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, what: str, *arguments: Any) -> Any:
        """The result of a worker's method.

        Raises:
            Broken: the method failed, the process ended, or it took too long.
        """
        try:
            self._pipe.send((what, arguments))
            if not self._pipe.poll(LIMIT_SECONDS):
                raise Broken(f"no answer in {LIMIT_SECONDS:g} seconds")
            good, result = self._pipe.recv()
        except (EOFError, OSError):
            raise Broken(self._end()) from None
        if not good:
            raise Broken(result)
        return result

    def close(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.terminate()
        self._process.join()
        self._log.close()

    def _end(self) -> str:
        """How a process ended that was not asked to."""
        self._process.join(5)
        code = self._process.exitcode
        how = f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"
        lines = Path(self._log.name).read_text(errors="replace").strip().splitlines()
        return f"its process ended {how}" + (f": {lines[-1][:200]}" if lines else "")


def work(pipe: Connection, task: Task, log: str) -> None:
    """The life of a worker's process: answers what it is asked, until the pipe is closed."""
    with open(log, "wb") as file:  # what native libraries print is kept for the case that they end the process
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # Read by TensorFlow when it is imported. Files are measured on the CPU.
    threads = str(task.threads)
    os.environ |= {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads, "CUDA_VISIBLE_DEVICES": ""}
    worker = Worker(task)
    while True:
        try:
            what, arguments = pipe.recv()
        except EOFError:
            sys.exit()
        try:
            pipe.send((True, getattr(worker, what)(*arguments)))
        except Exception as error:  # each runtime has exceptions of its own
            pipe.send((False, first_line(error)))


def _status(field: str) -> int | None:
    """Bytes of this process's memory: `VmRSS` now, `VmHWM` at its peak. Not getrusage's, which starts from the parent's."""
    if not STATUS.exists():
        return None
    rows: Sequence[str] = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:")]
    return int(rows[0].split()[1]) * 1024 if rows else None
