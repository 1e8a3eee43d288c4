"""Keeps the chatter of native libraries off the screen."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout


@contextmanager
def silenced() -> Iterator[None]:
    """Prints nothing while the block runs, not even from C++; if it fails, what was printed is a note on the error."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        screen = {number: os.dup(number) for number in (1, 2)}
        try:
            for number in screen:
                os.dup2(log.fileno(), number)
            with redirect_stdout(log), redirect_stderr(log):
                yield
        except Exception as error:
            log.seek(0)
            if printed := log.read().strip():
                error.add_note(printed)
            raise
        finally:
            for number, saved in screen.items():
                os.dup2(saved, number)
                os.close(saved)
