"""Why a request is not answered: a sentence for the client, and the status that says what kind of trouble it is."""

from __future__ import annotations


class Refusal(Exception):
    """A request that gets no answer.

    Args:
        status: as in HTTP: 4xx the client's, 5xx the service's.
        message: one sentence.
        retry_after_seconds: when it may go better; None where trying again is no use.
        allowed: the methods that are answered instead.
    """

    def __init__(self, status: int, message: str, retry_after_seconds: int | None = None, allowed: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after_seconds = retry_after_seconds
        self.allowed = allowed


def malformed(message: str) -> Refusal:
    """The client has to change the request."""
    return Refusal(400, message)


def too_large(message: str) -> Refusal:
    """More bytes, pixels or pictures than the service takes."""
    return Refusal(413, message)


def busy(message: str, retry_after_seconds: int = 1) -> Refusal:
    """The request is right, and there is no room for it now."""
    return Refusal(503, message, retry_after_seconds)


def shortened(value: object, length: int = 60) -> str:
    """What a client sent, short enough for a sentence."""
    text = str(value)
    return text if len(text) <= length else f"{text[: length - 3]}..."
