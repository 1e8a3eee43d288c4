"""The processes that serve the same: one alone, or several that a supervisor keeps."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

from app.serve.refusal import busy

PATIENCE_SECONDS = 60.0  # for what all processes are asked; loading takes its time
Answer = Callable[[str, str], Awaitable[Any]]


class Peers:
    """A process on its own: what all are asked, it answers.

    Args:
        answer: action and name to what this process says; set by the service.
        unloaded: names that were unloaded before this process began.
    """

    answer: Answer
    unloaded: frozenset[str] = frozenset()

    @property
    def complete(self) -> bool:
        """Whether all processes live and have loaded what they serve."""
        return True

    @property
    def others_ready(self) -> bool:
        """Whether there are others that answer while this process cannot."""
        return False

    def listen(self, stop: Callable[[], None], look: Callable[[], None]) -> None:
        """Obeys: signals, where there is nobody else to hear them. Call it in the event loop.

        Args:
            stop: ends the service; the second time at once.
            look: looks for new versions.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop)
        loop.add_signal_handler(signal.SIGINT, stop)
        loop.add_signal_handler(signal.SIGHUP, look)

    def ready(self) -> None:
        """This process has loaded what it serves."""

    async def ask(self, action: str, name: str = "") -> list[Any]:
        """What every process answers."""
        return [await self.answer(action, name)]


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
        self._loaded = asyncio.Event()

    @property
    def complete(self) -> bool:
        """See `Peers`."""
        return all(self._board)

    @property
    def others_ready(self) -> bool:
        """See `Peers`."""
        return any(self._board)

    def listen(self, stop: Callable[[], None], look: Callable[[], None]) -> None:
        """See `Peers`; here the supervisor says what is to be done, and ends the service when it is gone."""
        self._commands = {"stop": stop, "look": look}
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._hear)

    def ready(self) -> None:
        """See `Peers`."""
        self._board[self._number] = 1
        self._loaded.set()

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

    async def _do(self, question: int, action: str, name: str) -> None:
        """Answers, whatever happens: the one that asks would wait for it."""
        try:
            if action != "statistics":
                await self._loaded.wait()  # what is not there yet can be neither unloaded nor loaded anew
            answer = await self.answer(action, name)
        except Exception:
            logging.getLogger(__name__).exception("a question of another process is not answered")
            answer = (500, "a process failed; its log says how")
        self._pipe.send(("did", question, answer))
