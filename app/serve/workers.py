"""Several serving processes behind one port: started, watched, replaced when they die, asked together, ended together."""

from __future__ import annotations

import math
import multiprocessing
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any

from app.errors import UserError
from app.serve.address import bound
from app.serve.line import Line
from app.serve.log import Log
from app.serve.peers import PATIENCE_SECONDS, Fellows
from app.serve.questions import Questions, Worker
from app.serve.settings import Settings

SPAWN = multiprocessing.get_context("spawn")
PAUSE_SECONDS = 1.0  # before a process is started again that died soon after it was
SOON_SECONDS = 5.0
TURN_SECONDS = 0.5
END_SECONDS = 45.0  # for processes to end, once they have drained
Say = Callable[[str], None]


def work(
    number: int, settings: Settings, listener: socket.socket, pipe: Connection, board: Any, unloaded: frozenset[str]
) -> None:
    """What one of the processes does."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a terminal and systemd send them to the supervisor too
        signal.signal(one, signal.SIG_IGN)
    from app.serve.server import run

    try:
        run(settings, listener, Fellows(number, pipe, board, unloaded), lambda line: pipe.send(("said", line)))
    except UserError as error:
        pipe.send(("failed", str(error)))


class Supervisor:
    """Keeps the processes. It serves nothing itself, so it can hardly fail.

    Args:
        listener: that all of them take connections from.
        patience_seconds: after which a process that says nothing is killed.
    """

    def __init__(self, settings: Settings, listener: socket.socket, say: Say, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._settings, self._listener, self._say, self._patience = settings, listener, say, patience_seconds
        self._log = Log(settings.quiet)
        self._board = SPAWN.Array("b", settings.workers, lock=False)
        self._workers: dict[int, Worker] = {}
        self._questions = Questions(self._workers)
        self._due: dict[int, float] = {}  # when one that died is started again
        self._looked = time.monotonic()
        self._signals: deque[int] = deque()  # that came and were not heeded yet
        self._stopping = False
        self._opened = False
        self._failed = ""
        self._said: dict[str, set[int]] = {}

    def run(self) -> None:
        """Serves until a signal ends it.

        Raises:
            UserError: what the processes were told to serve cannot be served.
        """
        self._bell, self._rope = socket.socketpair()  # signals and what is heard interrupt nothing but the wait for processes
        self._bell.setblocking(False)
        self._rope.setblocking(False)
        signal.set_wakeup_fd(self._rope.fileno())
        for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(one, lambda number, _: self._signals.append(number))
        self._due = dict.fromkeys(range(self._settings.workers), 0.0)
        try:
            while not self._stopping:
                self._turn()
            end = time.monotonic() + self._settings.drain_seconds + END_SECONDS
            while self._workers and time.monotonic() < end:
                self._turn()
        finally:
            for worker in self._workers.values():
                worker.process.kill()
        if self._failed:
            raise UserError(self._failed)

    def _start(self, number: int) -> None:
        ours, theirs = SPAWN.Pipe()
        self._board[number] = 0
        arguments = (number, self._settings, self._listener, theirs, self._board, frozenset(self._questions.unloaded))
        process = SPAWN.Process(target=work, args=arguments, name=f"convoy worker {number}", daemon=True)
        process.start()
        theirs.close()
        self._workers[number] = Worker(process, Line(ours, self._ring), time.monotonic())
        self._questions.join(number)

    def _turn(self) -> None:
        """Starts what is due, hears processes and signals, and buries the dead."""
        for number in [number for number, due in self._due.items() if due <= time.monotonic() and not self._stopping]:
            del self._due[number]
            self._start(number)
        sentinels = {worker.process.sentinel: number for number, worker in self._workers.items()}
        events = wait([*sentinels, self._bell], TURN_SECONDS)
        if self._bell in events:
            self._bell.recv(4096)
        for number, worker in self._workers.items():
            self._hear(number, worker)
        while self._signals:
            self._heed(self._signals.popleft())
        for sentinel in events:
            if sentinel in sentinels:
                self._bury(sentinels[sentinel])  # type: ignore[index]
        self._look_after()

    def _look_after(self) -> None:
        """Asks processes that were long silent, and kills those that do not answer."""
        # The time in which this process itself was stopped, by a terminal perhaps, is nobody's silence.
        passed, self._looked = min(time.monotonic() - self._looked, 2 * TURN_SECONDS), time.monotonic()
        for number, worker in self._workers.items():
            worker.silent += passed
            if worker.silent > self._patience:
                self._log.error("a process does not answer and is killed", worker=number)
                self._board[number] = 0
                worker.process.kill()
                worker.silent = -math.inf
            elif worker.silent > self._patience / 4 and not worker.prompted:
                worker.prompted = True
                self._questions.ask(None, 0, "statistics", "", [number])

    def _ring(self) -> None:
        with suppress(BlockingIOError):  # it rings already
            self._rope.send(b"\0")

    def _heed(self, number: int) -> None:
        """Does what a signal asks for."""
        if number != signal.SIGHUP:
            self._stopping = True
            self._listener.close()  # it listens until the last of the processes has ended that
        self._tell("look" if number == signal.SIGHUP else "stop")  # told to stop a second time, they do it at once

    def _hear(self, number: int, worker: Worker) -> None:
        """Does what a process asks for."""
        while worker.line.heard:
            kind, *values = worker.line.heard.popleft()
            worker.silent, worker.prompted = 0.0, False
            if kind == "failed":
                if not self._opened:
                    self._failed = self._failed or values[0]
                    self._heed(signal.SIGTERM)
                else:
                    self._log.error("a process cannot serve", worker=number, reason=values[0])
            elif kind == "said":
                self._hear_say(number, values[0])
            elif kind == "ask":
                self._questions.ask(worker, values[0], values[1], values[2], list(self._workers))
            elif kind == "did":
                self._questions.answered(values[0], number, [values[1]])

    def _hear_say(self, number: int, line: str) -> None:
        """Repeats what all processes say once, when the last one has said it."""
        said = self._said.setdefault(line, set())
        said.add(number)
        if len(said) == self._settings.workers and not self._opened:
            self._opened = line.startswith("ready")
            self._say(line)

    def _bury(self, number: int) -> None:
        worker = self._workers[number]
        self._board[number] = 0
        worker.process.join()
        worker.line.end()
        self._hear(number, worker)  # its last words
        del self._workers[number]
        if not self._stopping:
            self._log.error("a process died and is replaced", worker=number, exit_code=worker.process.exitcode)
        self._questions.bury(number, worker)
        soon = time.monotonic() - worker.since < SOON_SECONDS
        self._due[number] = time.monotonic() + (PAUSE_SECONDS if soon else 0.0)

    def _tell(self, command: str) -> None:
        for worker in self._workers.values():
            worker.line.say(command)


def shared(settings: Settings) -> tuple[Settings, socket.socket | None]:
    """Settings with a port for gRPC that all processes can listen at, and what holds it until they do.

    Raises:
        UserError: the port is taken, by another service of several processes too, or the host is none of this machine's.
    """
    host, port = settings.host, settings.grpc_port
    if port is None:
        return settings, None
    # Alone first, for SO_REUSEPORT would share it with whoever set that as well.
    bound(host, "--grpc-port", port, socket.SO_REUSEADDR).close()  # a service that ended leaves connections for a minute
    holder = bound(host, "--grpc-port", port, socket.SO_REUSEPORT)
    return replace(settings, grpc_port=holder.getsockname()[1]), holder
