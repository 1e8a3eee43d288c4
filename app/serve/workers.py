"""Several serving processes behind one port: started, watched, replaced when they die, asked together, ended together."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from multiprocessing.connection import Connection, wait
from typing import Any

from app.errors import UserError
from app.serve.log import Log
from app.serve.peers import Peers
from app.serve.refusal import busy
from app.serve.settings import Settings

SPAWN = multiprocessing.get_context("spawn")
PATIENCE_SECONDS = 60.0  # for what all processes are asked; loading takes its time
PAUSE_SECONDS = 1.0  # before a process is started again that died soon after it was
SOON_SECONDS = 5.0
TURN_SECONDS = 0.5
END_SECONDS = 45.0  # for processes to drain
Say = Callable[[str], None]


class Fellows(Peers):
    """What a process knows of the others, by a pipe to the supervisor.

    Args:
        board: a byte a process: whether it has loaded what it serves; the supervisor clears those of the dead.
    """

    def __init__(self, number: int, pipe: Connection, board: Any, unloaded: frozenset[str]) -> None:
        self._number, self._pipe, self._board, self.unloaded = number, pipe, board, unloaded
        self._numbers = count()
        self._asked: dict[int, asyncio.Future[list[Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def complete(self) -> bool:
        """See `Peers`."""
        return all(self._board)

    def listen(self, stop: Callable[[], None], look: Callable[[], None]) -> None:
        """See `Peers`; here the supervisor says what is to be done, and ends the service when it is gone."""
        self._commands = {"stop": stop, "look": look}
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._hear)

    def ready(self) -> None:
        """See `Peers`."""
        self._board[self._number] = 1

    async def ask(self, action: str, name: str = "") -> list[Any]:
        """See `Peers`; a process that died meanwhile answers nothing.

        Raises:
            Refusal: one of them takes too long.
        """
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        self._pipe.send(("ask", number, action, name))
        try:
            return await asyncio.wait_for(self._asked[number], PATIENCE_SECONDS)
        except TimeoutError:
            raise busy(f"the processes did not all answer within {PATIENCE_SECONDS:g} seconds") from None
        finally:
            del self._asked[number]

    def _hear(self) -> None:
        try:
            while self._pipe.poll():
                kind, *values = self._pipe.recv()
                if kind in self._commands:
                    self._commands[kind]()
                elif kind == "do":
                    task = asyncio.get_running_loop().create_task(self._do(*values))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                elif values[0] in self._asked and not self._asked[values[0]].done():
                    self._asked[values[0]].set_result(values[1])
        except (EOFError, OSError):  # the supervisor is gone, and nobody would end this process
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            self._commands["stop"]()

    async def _do(self, question: tuple[int, int], action: str, name: str) -> None:
        self._pipe.send(("did", question, await self.answer(action, name)))


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


@dataclass
class _Worker:
    """A process and the way to it."""

    process: Any
    pipe: Connection
    since: float


@dataclass
class _Question:
    """What is gathered for a process that asked.

    Args:
        missing: processes that have not answered yet.
    """

    missing: set[int]
    answers: list[Any] = field(default_factory=list)


class Supervisor:
    """Keeps the processes. It serves nothing itself, so it can hardly fail.

    Args:
        listener: that all of them take connections from.
    """

    def __init__(self, settings: Settings, listener: socket.socket, say: Say) -> None:
        self._settings, self._listener, self._say = settings, listener, say
        self._log = Log(settings.quiet)
        self._board = SPAWN.Array("b", settings.workers, lock=False)
        self._workers: dict[int, _Worker] = {}
        self._due: dict[int, float] = {}  # when one that died is started again
        self._unloaded: set[str] = set()
        self._questions: dict[tuple[int, int], _Question] = {}
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
        self._bell, bell = socket.socketpair()  # signals interrupt nothing but the wait for processes
        self._bell.setblocking(False)
        bell.setblocking(False)
        signal.set_wakeup_fd(bell.fileno())
        for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(one, lambda number, _: self._signals.append(number))
        self._due = dict.fromkeys(range(self._settings.workers), 0.0)
        try:
            while not self._stopping:
                self._turn()
            end = time.monotonic() + END_SECONDS
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
        arguments = (number, self._settings, self._listener, theirs, self._board, frozenset(self._unloaded))
        process = SPAWN.Process(target=work, args=arguments, name=f"convoy worker {number}", daemon=True)
        process.start()
        theirs.close()
        self._workers[number] = _Worker(process, ours, time.monotonic())

    def _turn(self) -> None:
        """Starts what is due, hears processes and signals, and buries the dead."""
        for number in [number for number, due in self._due.items() if due <= time.monotonic() and not self._stopping]:
            del self._due[number]
            self._start(number)
        pipes = {worker.pipe: number for number, worker in self._workers.items()}
        sentinels = {worker.process.sentinel: number for number, worker in self._workers.items()}
        events = wait([*pipes, *sentinels, self._bell], TURN_SECONDS)
        for event in events:
            if event in pipes:
                self._hear(pipes[event])  # type: ignore[index]
        if self._bell in events:
            self._bell.recv(4096)
        while self._signals:
            self._heed(self._signals.popleft())
        for sentinel in events:
            if sentinel in sentinels:
                self._bury(sentinels[sentinel])  # type: ignore[index]

    def _heed(self, number: int) -> None:
        """Does what a signal asks for."""
        if number != signal.SIGHUP:
            self._stopping = True
            self._listener.close()  # it listens until the last of the processes has ended that
        self._tell("look" if number == signal.SIGHUP else "stop")  # told to stop a second time, they do it at once

    def _hear(self, number: int) -> bool:
        """Does what a process asks for; gives whether it may say more."""
        try:
            kind, *values = self._workers[number].pipe.recv()
        except (EOFError, OSError):
            return False  # its sentinel tells
        if kind == "failed":
            if not self._opened:
                self._failed = self._failed or values[0]
                self._heed(signal.SIGTERM)
            else:
                self._log.error("a process cannot serve", worker=number, reason=values[0])
        elif kind == "said":
            self._hear_say(number, values[0])
        elif kind == "ask":
            question, action, name = (number, values[0]), values[1], values[2]
            if action == "unload":
                self._unloaded.add(name)
            elif action == "load":
                self._unloaded.discard(name)
            self._questions[question] = _Question(set(self._workers))
            for other, worker in self._workers.items():
                self._send(other, worker, ("do", question, action, name))
        elif kind == "did":
            self._answered(values[0], number, [values[1]])
        return True

    def _hear_say(self, number: int, line: str) -> None:
        """Repeats what all processes say once, when the last one has said it."""
        said = self._said.setdefault(line, set())
        said.add(number)
        if len(said) == self._settings.workers and not self._opened:
            self._opened = line.startswith("ready")
            self._say(line)

    def _answered(self, question: tuple[int, int], number: int, answers: list[Any]) -> None:
        waiting = self._questions.get(question)
        if waiting is None:
            return
        waiting.missing.discard(number)
        waiting.answers += answers
        if not waiting.missing:
            del self._questions[question]
            if asker := self._workers.get(question[0]):
                self._send(question[0], asker, ("answers", question[1], waiting.answers))

    def _send(self, number: int, worker: _Worker, message: tuple[Any, ...]) -> None:
        try:
            worker.pipe.send(message)
        except OSError:  # it died; what it was asked is answered without it
            if message[0] == "do":
                self._answered(message[1], number, [])

    def _bury(self, number: int) -> None:
        while self._hear(number):  # its last words
            pass
        worker = self._workers.pop(number)
        self._board[number] = 0
        worker.process.join()
        worker.pipe.close()
        if not self._stopping:
            self._log.error("a process died and is replaced", worker=number, exit_code=worker.process.exitcode)
        for question in list(self._questions):
            if question[0] == number:  # the one that takes its place asks its own
                del self._questions[question]
            else:
                self._answered(question, number, [])
        soon = time.monotonic() - worker.since < SOON_SECONDS
        self._due[number] = time.monotonic() + (PAUSE_SECONDS if soon else 0.0)

    def _tell(self, command: str) -> None:
        for number, worker in self._workers.items():
            self._send(number, worker, (command,))


def shared(settings: Settings) -> tuple[Settings, socket.socket | None]:
    """Settings with a port for gRPC that all processes can listen at, and what holds it until they do."""
    if settings.grpc_port != 0:
        return settings, None
    holder = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind((settings.host, 0))
    return replace(settings, grpc_port=holder.getsockname()[1]), holder
