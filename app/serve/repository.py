"""The releases that are served: found in folders, loaded aside, swapped in, and let go after their last answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.errors import UserError
from app.release import MANIFEST, find_release, read_release, versions
from app.serve.log import Log
from app.serve.refusal import Refusal, malformed, shortened
from app.serve.served import Served, prepare
from app.serve.settings import Settings
from app.serve.statistics import Statistics

READY, UNAVAILABLE = "READY", "UNAVAILABLE"
Stamp = tuple[int, int]  # of a manifest: its inode and time
Unread = dict[Path, UserError]  # versions whose manifest cannot be read, and why


@dataclass(frozen=True)
class Found:
    """A version in a folder."""

    name: str
    number: int
    folder: Path


class Repository:
    """What is served under which name and version. Used in the event loop; loading happens in a thread.

    Args:
        settings: where the releases lie, and which of their versions are served.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings, self._log = settings, log
        self._served: dict[str, dict[int, Served]] = {}
        self._unloaded: set[str] = set()
        # Of every version that ever was served: what is counted never goes back, as monitors expect.
        self.statistics: dict[tuple[str, str], Statistics] = {}
        self._refused: dict[Path, tuple[Stamp, str]] = {}  # what could not be loaded, and is not tried again as it is
        self._trouble = ""  # with the folders, at the last look
        self._busy = asyncio.Lock()
        self.complete = False  # whether what was asked for at the start is loaded

    async def open(self) -> None:
        """Loads all that the sources hold.

        Raises:
            UserError: one of them is no release, or was altered.
        """
        async with self._busy:
            for name, found in (await asyncio.to_thread(scan, self._settings)).items():
                for one in found:
                    await self._load(name, one)
            self.complete = True

    async def follow(self) -> None:
        """Serves the versions that came since, and lets go those that left; what cannot be loaded is logged and left.

        A name whose folder is gone altogether is served on, until it is unloaded: a disk that cannot be seen for a moment
        must not end a service.
        """
        async with self._busy:
            unread: Unread = {}
            try:
                wanted = await asyncio.to_thread(scan, self._settings, unread)
            except (UserError, OSError) as error:
                if str(error) != self._trouble:  # told once, not at every look
                    self._trouble = str(error)
                    self._log.warning("the folders cannot be read", reason=self._trouble)
                return
            self._trouble = ""
            self._refused = {folder: known for folder, known in self._refused.items() if (folder / MANIFEST).exists()}
            for folder, why in unread.items():
                self._refuse(folder, why)
            broken = {folder.parent.name for folder in unread}
            for name, found in wanted.items():
                if name not in self._unloaded:
                    await self._follow(name, found, name in broken)

    async def load(self, name: str) -> None:
        """Loads a name anew from its folder, beside what is served until then.

        Raises:
            Refusal: there is no such release, or it was altered.
        """
        async with self._busy:
            unread: Unread = {}
            try:
                found = (await asyncio.to_thread(scan, self._settings, unread)).get(name, [])
                for folder, error in unread.items():
                    if folder.parent.name == name:
                        raise error
                if not found:
                    raise malformed(f"there is no release '{shortened(name)}' in the folders that are served")
                for one in found:
                    await self._load(name, one)
            except UserError as error:
                raise malformed(str(error)) from None
            self._unloaded.discard(name)
            self._leave(name, {one.number for one in found})

    async def unload(self, name: str) -> None:
        """Serves a name no more, until it is loaded again.

        Raises:
            Refusal: it is not known.
        """
        async with self._busy:
            if name not in self._served and name not in self._unloaded:
                raise self._missing(name)
            self._unloaded.add(name)
            self._leave(name, set())

    def find(self, name: str, version: str = "") -> Served:
        """What answers for a name: its newest version, unless one is asked for.

        Raises:
            Refusal: nothing does.
        """
        numbers = self._served.get(name)
        if not numbers:
            if name in self._unloaded or not self.complete:
                raise Refusal(503, f"'{name}' is not loaded{'' if self.complete else ' yet'}", 1)
            raise self._missing(name)
        if not version:
            return next(reversed(numbers.values()))
        for number, served in numbers.items():
            if str(number) == version:
                return served
        raise Refusal(404, f"'{name}' has no version {shortened(version)}; there is: {shortened(', '.join(map(str, numbers)))}")

    def versions(self, name: str) -> list[str]:
        """The served versions of a name, in their order."""
        return [str(number) for number in self._served.get(name, ())]

    def all(self) -> Iterator[Served]:
        """Every version that is served."""
        return (served for numbers in self._served.values() for served in numbers.values())

    def index(self) -> list[dict[str, str]]:
        """Every version that is served or was given up, and why, as Triton tells it."""
        rows = [{"name": one.name, "version": one.version, "state": READY, "reason": ""} for one in self.all()]
        rows += [{"name": name, "version": "", "state": UNAVAILABLE, "reason": "unloaded"} for name in sorted(self._unloaded)]
        for folder, (_, reason) in self._refused.items():
            rows.append({"name": folder.parent.name, "version": folder.name, "state": UNAVAILABLE, "reason": reason})
        return rows

    def tend(self) -> None:
        """Replaces slots that died."""
        for served in self.all():
            if replaced := served.scheduler.revive():
                self._log.error("slots died and were replaced", model=served.name, slots=replaced)

    @property
    def ready(self) -> bool:
        """Whether all that was asked for is there and can answer."""
        return self.complete and all(served.scheduler.alive for served in self.all())

    def close(self) -> None:
        """Takes no more pictures; what waits is still answered."""
        for served in self.all():
            served.close()

    async def _follow(self, name: str, found: list[Found], broken: bool) -> None:
        served = self._served.get(name, {})
        for one in found:
            known = self._refused.get(one.folder)
            try:
                if one.number not in served and (known is None or known[0] != stamp(one.folder)):
                    await self._load(name, one)
            except UserError:
                pass  # noted, and told, where it happened
            except OSError as error:  # it left while it was looked at
                self._log.warning("a version left while it was loaded", model=name, version=one.number, reason=str(error))
        numbers = {one.number for one in found}
        if numbers <= set(self._served.get(name, ())) and not broken:
            self._leave(name, numbers)

    async def _load(self, name: str, found: Found) -> None:
        """The version, ready, then in its place; what was there lives on until its last answer."""
        try:
            release = await asyncio.to_thread(read_release, found.folder)
            prepared = await asyncio.to_thread(prepare, release, self._settings)
        except UserError as error:
            self._refuse(found.folder, error)
            raise
        self._refused.pop(found.folder, None)
        numbers = self._served.get(name, {})
        replaced = numbers.get(found.number)
        counted = self.statistics.setdefault((name, str(found.number)), Statistics())
        ready = Served(prepared, self._settings, counted)
        self._served[name] = dict(sorted((numbers | {found.number: ready}).items()))
        if replaced:
            replaced.close()
        tuning = prepared.tuning
        self._log.info(
            "loaded", model=name, version=found.number, file=prepared.artifact.path, batch=tuning.batch, inline=tuning.inline,
            picture_ms=round(tuning.picture_seconds * 1000, 4),
        )  # fmt: skip

    def _refuse(self, folder: Path, error: UserError) -> None:
        """Notes why a version cannot be served, and tells it if that is new."""
        known, reason = self._refused.get(folder), str(error)
        try:
            self._refused[folder] = (stamp(folder), reason)
        except OSError:  # it left while it was looked at
            return
        if known != self._refused[folder]:
            self._log.error("a version cannot be served", model=folder.parent.name, version=folder.name, reason=reason)

    def _leave(self, name: str, numbers: set[int]) -> None:
        """Serves no other versions of the name than these."""
        served = self._served.get(name, {})
        for number in [number for number in served if number not in numbers]:
            served.pop(number).close()
            self._log.info("unloaded", model=name, version=number)
        if not served:
            self._served.pop(name, None)

    def _missing(self, name: str) -> Refusal:
        known = ", ".join(sorted(self._served)) or "none"
        return Refusal(404, f"there is no model '{shortened(name)}'; there is: {shortened(known, 400)}")


def stamp(folder: Path) -> Stamp:
    """Changes when a version's manifest is another one."""
    status = (folder / MANIFEST).stat()
    return status.st_ino, status.st_mtime_ns


def scan(settings: Settings, unread: Unread | None = None) -> dict[str, list[Found]]:
    """The versions that are to be served, by name, in the order of their numbers.

    Args:
        unread: takes the versions that cannot be read, and they are left out.
    Raises:
        UserError: a source holds no release, or two hold the same version, or one cannot be read and nothing takes it.
    """
    wanted: dict[str, dict[int, Found]] = {}
    for source in settings.sources:
        for one in _versions(Path(source), settings.all_versions, unread):
            other = wanted.setdefault(one.name, {}).setdefault(one.number, one)
            if other.folder.resolve() != one.folder.resolve():
                raise UserError(f"{one.folder} and {other.folder} are both {one.name} version {one.number}; give one of them")
    return {name: [found for _, found in sorted(numbers.items())] for name, numbers in wanted.items()}


def _versions(folder: Path, every: bool, unread: Unread | None) -> list[Found]:
    """What a source means: a version, a name, or a folder of names."""
    folders = [folder]
    if not (folder / MANIFEST).is_file():
        names = [folder] if versions(folder) else sorted(child for child in _children(folder) if versions(child))
        if not names:
            find_release(folder)  # says what is wrong with it
        folders = [
            name / str(number) for name in names for number in (versions(name) if every else versions(name)[-1:])
        ]  # fmt: skip
    found = []
    for one in folders:
        try:
            release = read_release(one)
            found.append(Found(release.name, release.version, one))
        except UserError as error:
            if unread is None:
                raise
            unread[one] = error
    return found


def _children(folder: Path) -> list[Path]:
    return [child for child in folder.iterdir() if child.is_dir()] if folder.is_dir() else []
