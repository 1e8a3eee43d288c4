"""Which releases go into a repository, and under which versions of which name they are served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.errors import UserError
from app.release import Release, check_release, find_release, read_release, versions

Policy = Literal["latest", "specific", "all"]


@dataclass(frozen=True)
class Model:
    """A name that is served.

    Args:
        releases: the versions that are laid out, in their order; of one input, output and classes.
        policy: which of the versions in the repository are served: the newest, those laid out by number, or all.
    """

    name: str
    releases: tuple[Release, ...]
    policy: Policy

    @property
    def newest(self) -> Release:
        return self.releases[-1]

    @property
    def numbers(self) -> tuple[int, ...]:
        """Of the versions."""
        return tuple(release.version for release in self.releases)


def choose(sources: Sequence[str | Path], every: bool = False) -> list[Model]:
    """The models that the sources mean: of `exported/NAME` the newest version, of `exported/NAME/2` that one.

    Args:
        every: all versions of a name.
    Raises:
        UserError: a source is no release, was altered, or does not fit with another of its name.
    """
    found: dict[str, dict[int, Release]] = {}
    policies: dict[str, Policy] = {}
    for source in sources:
        folder = Path(source)
        numbers = versions(folder)
        chosen = [read_release(folder / str(number)) for number in numbers] if every and numbers else [find_release(folder)]
        for release in chosen:
            check_release(release)
            others = found.setdefault(release.name, {})
            if others.setdefault(release.version, release).folder.resolve() != release.folder.resolve():
                raise UserError(f"{release.folder} and {others[release.version].folder} are both {release.name} version "
                                f"{release.version}; give one of them")  # fmt: skip
            policy: Policy = "all" if every and numbers else "latest" if numbers else "specific"
            if policies.setdefault(release.name, policy) != policy:
                raise UserError(f"{release.name} is given as a name and by version; give one or the other")
    return [Model(name, _alike(list(of_name.values())), policies[name]) for name, of_name in found.items()]


def served_newest(models: Sequence[Model]) -> dict[str, int]:
    """The newest version of every model whose newest alone is served, by its name."""
    return {model.name: model.newest.version for model in models if model.policy == "latest"}


def _alike(releases: list[Release]) -> tuple[Release, ...]:
    """The releases in the order of their versions.

    Raises:
        UserError: two have not the same tensors and classes, which a server's configuration tells of all versions.
    """
    ordered = sorted(releases, key=lambda release: release.version)
    last = ordered[-1]
    for release in ordered:
        if (release.input, release.outputs, release.classes) != (last.input, last.outputs, last.classes):
            raise UserError(
                f"{release.name}: versions {release.version} and {last.version} differ in input, outputs or classes, and a "
                f"server's name has one of each; export one of them by another --name"
            )
    return tuple(ordered)
