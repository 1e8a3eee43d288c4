"""What the service does, whatever language it is asked in: HTTP and gRPC are two ways to these functions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from app.serve.log import Log
from app.serve.peers import Peers
from app.serve.refusal import Refusal, busy
from app.serve.repository import Repository
from app.serve.served import Served
from app.serve.settings import Settings, cores
from app.serve.statistics import Statistics, total

NAME = "convoy"
T = TypeVar("T")
TEND_SECONDS = 1.0
WAITING_JOBS = 256  # for the threads that decode


class Service:
    """The releases, the threads that decode, and what is known of the other processes.

    Args:
        peers: the processes that serve the same, this one included.
    """

    def __init__(self, settings: Settings, log: Log, peers: Peers) -> None:
        self.settings, self.log, self.peers = settings, log, peers
        self.repository = Repository(settings, log)
        self.draining = False
        self.held_bytes = 0  # of all bodies that are being read or worked on
        self._pool = ThreadPoolExecutor(cores(), "decode")
        self._jobs = 0
        self._changes: dict[tuple[str, str], asyncio.Task[list[Any]]] = {}  # under way; who asks for the same waits with it
        peers.answer = self._told

    @property
    def ready(self) -> bool:
        """Whether requests are welcome: everything is loaded, no slot and no process is dead, and it is not the end."""
        return not self.draining and self.repository.ready and self.peers.complete

    def find(self, name: str, version: str = "") -> Served:
        """See `Repository.find`."""
        return self.repository.find(name, version)

    async def in_thread(self, seconds: float, work: Callable[..., T], *arguments: Any) -> T:
        """What a function gives that takes long enough to keep others waiting.

        Args:
            seconds: until it is of no use.
        Raises:
            Refusal: too many wait for a thread, or this one waited too long.
        """
        if self._jobs >= WAITING_JOBS:
            raise busy(f"{self._jobs} requests wait to be decoded; try again in a second")
        self._jobs += 1
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        except TimeoutError:
            limit = self.settings.limits.deadline_seconds
            raise Refusal(504, f"the request was not decoded within {limit:g} seconds", 1) from None
        finally:
            self._jobs -= 1

    async def load(self, name: str) -> None:
        """Loads a name anew, in every process. Raises Refusal if one of them cannot."""
        await self._everywhere("load", name)

    async def unload(self, name: str) -> None:
        """Serves a name no more, in any process."""
        await self._everywhere("unload", name)

    async def statistics(self) -> dict[tuple[str, str], Statistics]:
        """What all processes counted, by name and version."""
        found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for rows in await self.peers.ask("statistics"):
            for name, version, counts in rows:
                found.setdefault((name, version), []).append(counts)
        return {key: total(parts) for key, parts in found.items()}

    async def open(self) -> None:
        """Loads everything. Raises UserError if a source is no release."""
        await self.repository.open()
        for name in self.peers.unloaded:
            with suppress(Refusal):  # it is not there any more
                await self.repository.unload(name)
        self.peers.ready()

    async def tend(self) -> None:
        """Looks after slots and the log, for ever."""
        while True:
            await asyncio.sleep(TEND_SECONDS)
            self.log.flush()
            self.repository.tend()

    async def follow(self) -> None:
        """Looks for new versions, for ever."""
        while True:
            await asyncio.sleep(self.settings.poll_seconds)
            if not self.draining:
                try:
                    await self.repository.follow()
                except Exception as error:  # what is served goes on
                    self.log.error("new versions were not looked at, by a fault of the service", reason=repr(error))

    def close(self) -> None:
        """Ends the threads; nothing is asked for any more."""
        self.repository.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.log.flush()

    async def _everywhere(self, action: str, name: str) -> None:
        change = self._changes.get((action, name))
        if change is None:
            # Of its own, not of the request: a client that leaves must not leave it half done.
            change = self._changes[action, name] = asyncio.create_task(self.peers.ask(action, name))
            change.add_done_callback(lambda _: self._changes.pop((action, name)))
        for refused in await asyncio.shield(change):
            if refused:
                raise Refusal(*refused)

    async def _told(self, action: str, name: str) -> Any:
        """What this process answers itself and the others."""
        if action == "statistics":
            return [(*key, counts.to_json()) for key, counts in self.repository.statistics.items()]
        try:
            await (self.repository.load(name) if action == "load" else self.repository.unload(name))
        except Refusal as refusal:
            return refusal.status, refusal.message
        return None
