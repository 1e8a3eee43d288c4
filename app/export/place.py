"""Where a release is made: beside the versions of its name, so that it appears whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from app.errors import UserError
from app.release import WITHDRAWN, Release, next_version, versions, write_release

PARTIAL = ".partial"


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """A hidden folder under the release's name, gone at the end unless it was published.

    A process that is killed leaves it; the next export under the name removes it.
    """
    partial = folder / f".{uuid.uuid4().hex[:12]}{PARTIAL}"
    with _locked(folder.parent):
        _sweep(folder)
        partial.mkdir(parents=True)
        # Held until this process ends, however it ends: so others tell work in progress from leftovers.
        lock = os.open(partial, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield partial
    finally:
        os.close(lock)
        with _locked(folder.parent):
            shutil.rmtree(partial, ignore_errors=True)
            if not any(folder.iterdir()):
                folder.rmdir()


def publish(release: Release, folder: Path) -> Release:
    """The release under the next number of its name, with its manifest, which is written last."""
    with _locked(folder.parent):
        numbered = replace(release, version=next_version(folder))
        write_release(numbered)
        return replace(numbered, folder=release.folder.rename(folder / str(numbered.version)))


def roll_back(folder: Path, to: int | None = None) -> int:
    """Makes a version the newest of its name, by moving later ones out of sight of whatever serves the folder; gives its number.

    A version that was withdrawn comes back when it is asked for.

    Args:
        to: the version; none: the one before the newest.
    Raises:
        UserError: there is no such version, or none before the newest.
    """
    if not versions(folder) + versions(folder / WITHDRAWN):
        raise UserError(f"no releases in '{folder}'; give the folder of a name, as in exported/lenet5-digits")
    with _locked(folder.parent):
        there, withdrawn = versions(folder), versions(folder / WITHDRAWN)
        if both := sorted(set(there) & set(withdrawn)):
            raise UserError(f"'{folder}' has version {both[0]} here and under {WITHDRAWN}/; remove one of them")
        if to is None and len(there) < 2:
            raise UserError(f"'{folder}' has no version before {there[-1] if there else 'the newest'}; nothing was changed")
        wanted = there[-2] if to is None else to
        if wanted not in there + withdrawn:
            known = ", ".join(map(str, sorted(there + withdrawn)))
            raise UserError(f"'{folder}' has no version {wanted}; it has {known}")
        (folder / WITHDRAWN).mkdir(exist_ok=True)
        if wanted in withdrawn:
            (folder / WITHDRAWN / str(wanted)).rename(folder / str(wanted))
        for number in there:
            if number > wanted:
                (folder / str(number)).rename(folder / WITHDRAWN / str(number))
        if not any((folder / WITHDRAWN).iterdir()):
            (folder / WITHDRAWN).rmdir()
    return wanted


def _sweep(folder: Path) -> None:
    """Removes what killed processes left."""
    for leftover in folder.glob(f".*{PARTIAL}"):
        lock = os.open(leftover, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(leftover, ignore_errors=True)
        except BlockingIOError:
            pass  # another export is at work in it
        finally:
            os.close(lock)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time: for choosing a number and for moving folders, never while converting."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
