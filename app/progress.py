"""How far long work is, for people."""

from __future__ import annotations

import time
from collections.abc import Callable

PAUSE_SECONDS = 5.0  # between two lines


class Countdown:
    """Says every few seconds how much of some work is done and how long the rest will take.

    Args:
        what: is counted, in the plural.
    """

    def __init__(self, total: int, what: str, say: Callable[[str], None]) -> None:
        self.total, self.what, self.say = total, what, say
        self.done = 0
        self._began = self._said = time.monotonic()

    def add(self, count: int) -> None:
        """So many more are done."""
        self.done += count
        now = time.monotonic()
        if now - self._said >= PAUSE_SECONDS and self.done < self.total:
            self._said = now
            left = (now - self._began) / self.done * (self.total - self.done)
            self.say(f"{self.done:,} of {self.total:,} {self.what}, {duration(left)} left")


def duration(seconds: float) -> str:
    """`4.2 s`, `48 s`, `2 min 14 s` or `3 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
