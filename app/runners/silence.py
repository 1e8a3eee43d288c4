"""Keeps the chatter of native libraries off the screen, and loads the one that chatters most."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import UserError


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


def load_keras() -> None:
    """Keras and its backend, without the notes that TensorFlow's C++ parts write while they load.

    Raises:
        UserError: the backend is not installed, or there is none of that name.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with silenced():
            import keras  # noqa: F401
    except (ImportError, ValueError) as error:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        advice = "install it by `make setup`, or for JAX by `make setup BACKEND=jax`"
        raise UserError(f"KERAS_BACKEND={backend} cannot be used ({error}); {advice}") from None
