"""The processes that serve the same: one alone, or several that a supervisor keeps."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

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
