"""Which pictures run together, and where: slots that take what waits, and no timer.

A free slot takes what is there at once, up to the largest batch that makes a picture cheaper. So nothing waits while there is
a core for it, and batches grow by themselves when there is more to do than cores.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.runners import Outputs
from app.serve.refusal import Refusal, busy
from app.serve.statistics import Statistics
from app.serve.tuning import Tuning

Images = np.ndarray[Any, Any]
Run = Callable[[Images], Outputs]
Read = Callable[[], Images]


@dataclass(slots=True, eq=False)
class Ticket:
    """Pictures of one request that wait for their outputs.

    Shapes: uint8 or float32 [N, H, W, C].
    Args:
        images: or what gives them, called in the slot.
        count: N.
    """

    images: Images | Read
    count: int
    answer: asyncio.Future[Outputs]
    since_ns: int
    expiry: asyncio.TimerHandle | None = None


class Scheduler:
    """The queue of one version, and what runs it. Called in the event loop alone.

    Args:
        run: float32 [N, H, W, C] to outputs; may be called by several threads at once.
        slots: how many batches run at once, each in a thread; a network that is quicker than the way to a thread runs in the
            event loop instead, and gathers a batch from what one turn of the loop brings.
        most: pictures that may wait.
    """

    def __init__(self, name: str, run: Run, tuning: Tuning, slots: int, most: int, statistics: Statistics) -> None:
        self._name, self._run, self._batch, self._most = name, run, tuning.batch, most
        self._statistics = statistics
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Ticket] = deque()
        self._ready = threading.Condition()  # guards the queue, its length and the end
        self._closing = False
        self._turn = False  # whether a turn of the loop is asked for
        self.waiting = 0  # pictures
        self._threads = [] if tuning.inline else [self._thread() for _ in range(slots)]

    def submit(self, images: Images, seconds: float) -> asyncio.Future[Outputs]:
        """The outputs, once they are there.

        Shapes: uint8 or float32 [N, H, W, C].
        Args:
            seconds: until the answer is of no use; it is a Refusal then.
        Raises:
            Refusal: too much waits already.
        """
        return self._put(images, len(images), seconds)

    def submit_unread(self, read: Read, seconds: float) -> asyncio.Future[Outputs]:
        """The same for one picture that the slot itself decodes, which spares the way to another thread and back.

        Args:
            read: gives it; may raise a Refusal.
            seconds: until the answer is of no use; it is a Refusal then.
        Raises:
            Refusal: too much waits already.
        """
        return self._put(read, 1, seconds)

    def _put(self, images: Images | Read, count: int, seconds: float) -> asyncio.Future[Outputs]:
        # A request of more pictures than may wait is taken when none does: it could never come otherwise.
        if self.waiting and self.waiting + count > self._most:
            raise busy(f"{self._name} has {self.waiting} pictures waiting, and takes {self._most}; try again in a second")
        ticket = Ticket(images, count, self._loop.create_future(), time.perf_counter_ns())
        ticket.expiry = self._loop.call_later(seconds, self._expire, ticket.answer, seconds)
        if self._threads:
            with self._ready:
                self._queue.append(ticket)
                self.waiting += count
                self._ready.notify()
            if self._closing:  # a request found this version while it was served, and took until now to arrive
                self._threads.append(self._thread())
        else:
            self._queue.append(ticket)
            self.waiting += count
            if not self._turn:
                self._turn = True
                self._loop.call_soon(self._take_turn)
        return ticket.answer

    @property
    def alive(self) -> bool:
        """Whether every slot can still run."""
        return self._closing or all(thread.is_alive() for thread in self._threads)

    def revive(self) -> int:
        """Replaces slots that died; gives how many."""
        dead = [] if self._closing else [number for number, thread in enumerate(self._threads) if not thread.is_alive()]
        for number in dead:
            self._threads[number] = self._thread()
        return len(dead)

    def close(self) -> None:
        """What waits is still answered; then the slots end."""
        with self._ready:
            self._closing = True
            self._ready.notify_all()

    def _thread(self) -> threading.Thread:
        thread = threading.Thread(target=self._slot, name=f"slot of {self._name}", daemon=True)
        thread.start()
        return thread

    def _slot(self) -> None:
        while True:
            with self._ready:
                while not self._queue:
                    if self._closing:
                        return
                    self._ready.wait()
                tickets = self._next()
            if tickets:
                try:
                    self._loop.call_soon_threadsafe(self._deliver, *self._outputs(tickets))
                except RuntimeError:
                    if self._loop.is_closed():  # the service was told to end at once
                        return
                    raise
            del tickets  # pictures are held no longer than their requests, which the next ones may be long after

    def _take_turn(self) -> None:
        tickets = self._next()
        # Asked for before the run: requests that arrive meanwhile are then the next batch.
        self._turn = bool(self._queue)
        if self._turn:
            self._loop.call_soon(self._take_turn)
        if tickets:
            self._deliver(*self._outputs(tickets))

    def _next(self) -> list[Ticket]:
        """The tickets that run together, off the queue; what nobody waits for any more is dropped."""
        tickets: list[Ticket] = []
        size = 0
        while self._queue and (not tickets or size + self._queue[0].count <= self._batch):
            ticket = self._queue.popleft()
            self.waiting -= ticket.count
            if not ticket.answer.done():
                tickets.append(ticket)
                size += ticket.count
        return tickets

    def _outputs(self, tickets: list[Ticket]) -> tuple[list[Ticket], int, int, Outputs | BaseException]:
        """The tickets, when their run began, how long it took, and what it gave."""
        began = time.perf_counter_ns()
        parts, tickets = self._pictures(tickets)
        try:
            found: Outputs | BaseException = self._run(together(parts)) if parts else {}
        except Exception as error:  # the runtime's own; the tickets' owners are told, and the slot goes on
            found = error
        except BaseException as error:
            self._loop.call_soon_threadsafe(self._deliver, tickets, began, 0, error)
            raise
        return tickets, began, time.perf_counter_ns() - began, found

    def _pictures(self, tickets: list[Ticket]) -> tuple[list[Images], list[Ticket]]:
        """The pictures, and the tickets that have any: the owners of the others are told why not."""
        parts, good = [], []
        for ticket in tickets:
            try:
                parts.append(ticket.images() if callable(ticket.images) else ticket.images)
                good.append(ticket)
            except Exception as error:
                self._loop.call_soon_threadsafe(self._deliver, [ticket], 0, 0, error)
        return parts, good

    def _deliver(self, tickets: list[Ticket], began: int, took: int, found: Outputs | BaseException) -> None:
        start = 0
        for ticket in tickets:
            end = start + ticket.count
            if ticket.expiry:
                ticket.expiry.cancel()
            if not ticket.answer.done():
                if isinstance(found, Refusal):
                    ticket.answer.set_exception(found)
                elif isinstance(found, BaseException):
                    ticket.answer.set_exception(RuntimeError(f"{self._name} failed: {found!r}"))
                else:
                    self._statistics.queue_ns += began - ticket.since_ns
                    ticket.answer.set_result({name: values[start:end] for name, values in found.items()})
            start = end
        if tickets and not isinstance(found, BaseException):
            self._statistics.ran(start, took)

    def _expire(self, answer: asyncio.Future[Outputs], seconds: float) -> None:
        # Of the ticket the answer alone, so that the pictures of a client that left are not kept until then.
        if not answer.done():
            answer.set_exception(Refusal(504, f"{self._name} had no answer within {seconds:.2g} seconds", 1))


def together(parts: list[Images]) -> Images:
    """The pictures of several requests as the network takes them.

    Shapes: uint8 or float32 [N, H, W, C] each -> float32 [sum of N, H, W, C].
    """
    if len(parts) == 1:
        return parts[0].astype(np.float32, copy=False)
    batch = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), np.float32)
    start = 0
    for part in parts:
        batch[start : start + len(part)] = part
        start += len(part)
    return batch
