"""A folder of things that take long to make, each keyed by what made it: `CONVOY_CACHE`, or ~/.cache/convoy."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from app.errors import UserError

STALE_SECONDS = 86_400  # a half-written entry that nothing was added to for so long was left by a kill


def cache_folder() -> Path:
    """Where the cache lies. Everything in it can be deleted at any time; it is made again when needed."""
    return Path(os.environ.get("CONVOY_CACHE") or Path.home() / ".cache" / "convoy")


def cached(key: str, fill: Callable[[Path], None]) -> Path:
    """The folder that `fill` wrote for this key, now or at an earlier time; half-written ones are never seen.

    Raises:
        UserError: the cache cannot be written.
    """
    place = cache_folder() / key
    if place.exists():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(place)
        partial = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    except OSError as error:
        raise UserError(
            f"cannot write the cache {cache_folder()} ({error.strerror}); set CONVOY_CACHE to another folder"
        ) from None
    try:
        fill(partial)
        try:
            partial.rename(place)
        except OSError:
            if not place.exists():  # else another process was faster, with the same content
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return place


def _remove_stale(place: Path) -> None:
    for partial in place.parent.glob(f".{place.name}.*"):
        if partial.stat().st_mtime < time.time() - STALE_SECONDS:
            shutil.rmtree(partial, ignore_errors=True)
