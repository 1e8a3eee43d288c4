"""Keeps the chatter of native libraries off the screen."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silenced() -> Iterator[None]:
    """Prints nothing while the block runs, not even from C++; if it fails, what was printed is a note on the error.

    Only the process's two descriptors are turned away, not `sys.stderr`: loggers that are set up in the block would keep
    whatever stood for it, and write into a closed file later.
    """
    _flush()
    with tempfile.TemporaryFile() as log:
        screen = {number: os.dup(number) for number in (1, 2)}
        try:
            for number in screen:
                os.dup2(log.fileno(), number)
            yield
        except Exception as error:
            _flush()
            log.seek(0)
            if printed := log.read().decode(errors="replace").strip():
                error.add_note(printed)
            raise
        finally:
            _flush()
            for number, saved in screen.items():
                os.dup2(saved, number)
                os.close(saved)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
