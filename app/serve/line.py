"""The way to another process, on which nobody waits: threads write what is said and read what is heard."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any

Message = tuple[Any, ...]


class Line:
    """A pipe whose other end may be stopped, in the middle of a message too, and its owner goes on.

    Args:
        ring: called, in a thread, when something was heard.
    """

    def __init__(self, pipe: Connection, ring: Callable[[], None]) -> None:
        self._pipe, self._ring = pipe, ring
        self.heard: deque[Message] = deque()
        self._said: SimpleQueue[Message | None] = SimpleQueue()
        self._threads = [Thread(target=one, daemon=True) for one in (self._read, self._write)]
        for thread in self._threads:
            thread.start()

    def say(self, *message: Any) -> None:
        """Sends it in its turn; what is said to the dead is lost."""
        self._said.put(message)

    def end(self) -> None:
        """Call it when the other process has ended: then its last words are among those `heard`."""
        self._said.put(None)
        for thread in self._threads:
            thread.join()
        self._pipe.close()

    def _read(self) -> None:
        with suppress(EOFError, OSError):  # it ended
            while True:
                self.heard.append(self._pipe.recv())
                self._ring()

    def _write(self) -> None:
        with suppress(OSError):
            while (message := self._said.get()) is not None:
                self._pipe.send(message)
