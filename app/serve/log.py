"""Lines of JSON on stderr: one for every request and every thing that happens to the service."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson

from app.serve.statistics import LEFT

STDERR = 2
FLUSH_BYTES = 16 * 2**10
READERS = ("PIL", "python_multipart")  # report what is wrong with what a client sent, and the client is told that by its answer
INFO, WARNING, ERROR = "info", "warning", "error"


class Log:
    """Writes what happens; requests' lines are gathered and written together, because each would cost a system call.

    Args:
        quiet: leave out what is as it should be.
        write: takes the lines' bytes.
    """

    def __init__(self, quiet: bool = False, write: Callable[[bytes], object] | None = None) -> None:
        self._quiet = quiet
        self._write = write or _to_stderr
        self._lines: list[bytes] = []
        self._bytes = 0

    def info(self, event: str, **values: Any) -> None:
        """Something as it should be."""
        if not self._quiet:
            self._event(INFO, event, values)

    def warning(self, event: str, **values: Any) -> None:
        """Something that the service can live with."""
        self._event(WARNING, event, values)

    def error(self, event: str, **values: Any) -> None:
        """Something that somebody should look at."""
        self._event(ERROR, event, values)

    def request(self, status: int, values: dict[str, Any]) -> None:
        """A request's line, which waits for others; those that went wrong are written though the log is quiet."""
        level = INFO if status < 400 or status == LEFT else WARNING if status < 500 or status in (503, 504) else ERROR
        if self._quiet and level == INFO:
            return
        line = orjson.dumps({"time": round(time.time(), 6), "level": level, "event": "request", "status": status} | values,
                            option=orjson.OPT_APPEND_NEWLINE)  # fmt: skip
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes > FLUSH_BYTES or level == ERROR:
            self.flush()

    def flush(self) -> None:
        """Writes the lines that wait."""
        if self._lines:
            lines, self._lines, self._bytes = b"".join(self._lines), [], 0
            self._write(lines)

    def _event(self, level: str, event: str, values: dict[str, Any]) -> None:
        self.flush()
        values = {"time": round(time.time(), 6), "level": level, "event": event} | values
        self._write(orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE))


class _Libraries(logging.Handler):
    """What libraries report as an error of theirs."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.ERROR)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.error("a library reports", source=record.name, reason=self.format(record))


def hear_libraries(log: Log) -> None:
    """Has what libraries report in this process written as lines of the log, and nothing of it beside them."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Libraries)]:
        root.removeHandler(handler)
    root.addHandler(_Libraries(log))
    logging.captureWarnings(True)
    for name in READERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _to_stderr(lines: bytes) -> None:
    with suppress(OSError):  # a full disk or a reader that left must not end a service
        while lines:
            lines = lines[os.write(STDERR, lines) :]  # Python's own stream would keep what it cannot write
