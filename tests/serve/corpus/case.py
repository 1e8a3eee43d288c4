"""One request that is wrong."""

from typing import NamedTuple


class Case(NamedTuple):
    """A request's bytes, and the status that it gets."""

    name: str
    sent: bytes
    status: int
