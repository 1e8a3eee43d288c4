"""A release's manifest: what each file is, what it was measured to do, and the hashes that prove it. Standard library only."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from app.errors import UserError, unknown

FORMAT = 2
MANIFEST = "release.json"
LABELS = "labels.txt"
WITHDRAWN = "withdrawn"  # beside the versions: what was rolled back
AGAIN = "export it again"
HEAD = "head"  # what a detector that was cut in two gives from one file to the other, with its number
LARGEST_BATCH = 64  # pictures that a server takes in one request


@dataclass(frozen=True)
class Artifact:
    """A file of a release, or a folder that a runtime takes for one, and its figures on the held-out pictures.

    Args:
        input_dtype: of the one input: float32, uint8 where a client gives the bytes of its pixels, or int8, these less 128.
        channels: RGB, or grey for the one channel that a microcontroller has of a grey network.
        quantisation: how the numbers of an integer file were chosen; empty for floats.
        sha256: of the file; of every file inside, by its path, where the artifact is a folder.
        metric: the release's metric.
        agreement: share of pictures with the answer that Keras gives.
        max_difference: largest difference of an output from Keras's.
        latency_ms: median of single pictures, on the machine that exported.
        tail: of a detector that was cut in two, the file with its second half; `bytes` and figures are of both. Empty: it is
            whole.
        tail_sha256: of that file.
    """

    path: str
    format: str
    precision: str
    runtime: str
    input_dtype: str
    channels: str
    quantisation: str
    sha256: str | dict[str, str]
    bytes: int
    metric: float
    agreement: float
    max_difference: float
    latency_ms: float
    tail: str = ""
    tail_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Release:
    """A folder with a verified network in the formats of several runtimes; `release.json` is written last.

    Args:
        input: name, shape, dtype, range, channels and resize of the one input.
        outputs: name and shape of every output.
        extras: sha256 of the labels, the samples and the card, by path.
        metric: the name of the artifacts' metric.
        bounds: what the artifacts were held to.
        threshold: `probability`, below which a picture is none of the classes, and what it does to the `pictures` that it
            was chosen on: `right_kept`, `wrong_refused`; empty where the run has none.
        licence: under which the release may be used; empty where it was not said.
        left_out: why there is no file of a variant that a release has if it can, by its name.
        run: where the release comes from: the run's name, settings, data, and Keras's figures on the same pictures.
        versions: of Python and the packages that exported.
    """

    folder: Path
    name: str
    version: int
    objective: str
    classes: tuple[str, ...]
    input: dict[str, Any]
    outputs: tuple[dict[str, Any], ...]
    files: tuple[Artifact, ...]
    extras: dict[str, str]
    metric: str
    bounds: dict[str, float]
    threshold: dict[str, Any]
    licence: str
    left_out: dict[str, str]
    run: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one picture."""
        _, height, width, channels = self.input["shape"]
        return height, width, channels

    def file(self, path: str) -> Artifact | None:
        """The artifact of that path, if the release has it."""
        return next((artifact for artifact in self.files if artifact.path == path), None)

    def to_json(self) -> dict[str, Any]:
        """The manifest without its digest."""
        values = {"format": FORMAT, **asdict(self)}
        del values["folder"]
        return values


def find_release(path: str | Path) -> Release:
    """The release in a folder, or the newest version under a name.

    Raises:
        UserError: there is none, or its manifest cannot be trusted.
    """
    folder = Path(path)
    if (folder / MANIFEST).is_file():
        return read_release(folder)
    if released := versions(folder):
        return read_release(folder / str(released[-1]))
    inside = sorted(child.name for child in folder.iterdir() if versions(child)) if folder.is_dir() else []
    if inside:
        raise UserError(f"'{path}' holds releases, and is none itself; choose one: {', '.join(inside)}")
    raise UserError(f"no release in '{path}' (a folder with {MANIFEST}); make one with: python -m app export runs/latest")


def versions(folder: Path) -> list[int]:
    """The version numbers under a name, in their order."""
    children = folder.iterdir() if folder.is_dir() else iter(())
    return sorted(int(child.name) for child in children if _is_version(child) and (child / MANIFEST).is_file())


def next_version(folder: Path) -> int:
    """The number after every folder with a number for its name, withdrawn ones too: servers know a version by its number."""
    children = (child for place in (folder, folder / WITHDRAWN) if place.is_dir() for child in place.iterdir())
    return 1 + max((int(child.name) for child in children if _is_version(child)), default=0)


def read_release(folder: Path) -> Release:
    """The release that a folder's manifest describes.

    Raises:
        UserError: the manifest is missing, was edited, or is of another version of the program.
    """
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {AGAIN}") from None
    except ValueError:
        raise UserError(f"{path} was altered: it is no JSON; {AGAIN}") from None
    if not isinstance(values, dict) or values.pop("digest", None) != digest(values):
        raise UserError(f"{path} was altered after the release was made; {AGAIN}")
    known = {"format"} | {member.name for member in fields(Release)} - {"folder"}
    if values.get("format") != FORMAT or set(values) != known:
        raise UserError(f"{path} is of another version of this program (format {values.get('format')}); {AGAIN}")
    del values["format"]
    files = tuple(Artifact(**artifact) for artifact in values.pop("files"))
    classes, outputs = tuple(values.pop("classes")), tuple(values.pop("outputs"))
    return Release(folder=folder, files=files, classes=classes, outputs=outputs, **values)


def onnx_file(release: Release, variant: str, needed: str) -> Artifact:
    """The release's ONNX file of a variant: onnx-fp32, onnx-fp16, onnx-int8.

    Args:
        needed: who needs one, as in "which Triton needs".
    Raises:
        UserError: it has none.
    """
    files = {f"onnx-{file.precision}": file for file in release.files if file.format == "onnx"}
    if not files:
        raise UserError(f"{release.folder} has no ONNX file, {needed}; export it with --variants onnx-fp32")
    if variant not in files:
        raise unknown("variant", variant, files, f"in {release.folder}")
    return files[variant]


def write_release(release: Release) -> None:
    """Writes the manifest whole or not at all."""
    values = release.to_json()
    partial = release.folder / f".{MANIFEST}.partial"
    with partial.open("w", encoding="utf-8") as file:
        text = json.dumps(values | {"digest": digest(values)}, indent=2, ensure_ascii=False, allow_nan=False)
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(release.folder / MANIFEST)


def digest(values: Mapping[str, Any]) -> str:
    """The sha256 of a manifest, of whatever layout."""
    # Through JSON once, so that what was written (tuples) and what was read (lists) give the same.
    text = json.dumps(json.loads(json.dumps(values)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def check_release(release: Release) -> None:
    """Refuses a release with a file that is not as it was verified.

    Raises:
        UserError: the first file that is missing, altered, or too many.
    """
    for artifact in release.files:
        check_artifact(release, artifact)
    check_extras(release)


def check_artifact(release: Release, artifact: Artifact) -> None:
    """Refuses a file that is not as it was verified; of a folder, also one that has a file more.

    Raises:
        UserError: it is missing, altered, or too much.
    """
    if artifact.tail:
        _check_file(release, artifact.tail, artifact.tail_sha256)
    if isinstance(artifact.sha256, str):
        _check_file(release, artifact.path, artifact.sha256)
        return
    for inside, sha256 in artifact.sha256.items():
        _check_file(release, f"{artifact.path}/{inside}", sha256)
    for inside in sorted(set(_files_in(release.folder / artifact.path)) - set(artifact.sha256)):
        raise UserError(f"{release.folder / artifact.path / inside} is no part of the release; remove it, or {AGAIN}")


def check_extras(release: Release) -> None:
    """Refuses labels and samples that are not as they were written, and labels that are not the release's classes.

    Raises:
        UserError: the first file that is wrong.
    """
    for path, sha256 in release.extras.items():
        _check_file(release, path, sha256)
    labels = release.folder / LABELS
    if not labels.is_file():
        raise UserError(f"{labels} is missing; {AGAIN}")
    if labels.read_text(encoding="utf-8") != labels_text(release.classes):
        raise UserError(f"{labels} does not hold the classes of {MANIFEST}; {AGAIN}")


def is_body(outputs: Iterable[str]) -> bool:
    """Whether outputs by these names are not finished, so that a second file has to go on from them."""
    return all(name.startswith(HEAD) for name in outputs)


def tail_of(path: Path) -> Path:
    """Where the second file of a detector that was cut in two lies."""
    return path.with_name(f"{path.stem}-tail{path.suffix}")


def labels_text(classes: Iterable[str]) -> str:
    """What labels.txt holds: a class a line, in the order of the outputs."""
    return "".join(f"{name}\n" for name in classes)


def hashes(path: Path) -> str | dict[str, str]:
    """The sha256 of a file; of every file inside, by its path, where it is a folder."""
    if path.is_dir():
        return {inside: _sha256(path / inside) for inside in _files_in(path)}
    return _sha256(path)


def size(path: Path) -> int:
    """The bytes of a file, or of all files in a folder."""
    return sum((path / inside).stat().st_size for inside in _files_in(path)) if path.is_dir() else path.stat().st_size


def _is_version(folder: Path) -> bool:
    name = folder.name
    return name.isascii() and name.isdecimal() and str(int(name)) == name and folder.is_dir()


def _check_file(release: Release, path: str, sha256: str) -> None:
    file = release.folder / path
    if not file.resolve().is_relative_to(release.folder.resolve()):
        raise UserError(f"{file} is outside the release; {AGAIN}")
    if not file.is_file():
        raise UserError(f"{file} is missing; {AGAIN}")
    if _sha256(file) != sha256:
        raise UserError(f"{file} was altered after the release was verified; {AGAIN}")


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _files_in(folder: Path) -> Iterator[str]:
    return (file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if file.is_file())
