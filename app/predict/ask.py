"""Pictures -> answers, by a run, a release or a lone file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from app.answers import AnyAnswer
from app.errors import UserError
from app.images import EXTENSIONS, UnreadablePicture, load_picture
from app.objectives import OBJECTIVES, Objective
from app.release import MANIFEST, Release, check_artifact, check_extras, check_release, find_release, read_release
from app.runners import BATCH, FORMATS, Runner, RuntimeMissing, open_file
from app.runs import is_run, open_run

Row = tuple[str, AnyAnswer | str]  # a picture's path, and the answer, or why there is none


WITH_CLASSES = ("classification", "segmentation")  # whose first output has the classes on its last axis
MOST_CLASSES = 1000  # that are named by their numbers where a file does not say how many there are


@dataclass(frozen=True)
class Network:
    """Something that answers: a runner, and what its outputs mean.

    Args:
        threshold: probability below which a picture is none of the classes, or a box not told; 0 where none was chosen.
    """

    runner: Runner
    objective: Objective
    classes: Sequence[str]
    threshold: float = 0.0


def open_network(source: str | Path) -> Network:
    """The network in a run, a release or a file, checked by its hashes where there are any.

    Raises:
        UserError: there is none, or it is not as it was verified.
    """
    path = Path(source)
    if path.is_file():
        return _open_file(path)
    if is_run(path):
        return _open_run(path)
    if not path.is_dir():
        raise UserError(f"no run, release or file '{source}'; give runs/latest, exported/NAME, or a .onnx or .tflite file")
    return _open_release(find_release(path))


def find_pictures(paths: Iterable[str | Path]) -> list[str]:
    """The files among the paths, and the pictures in the folders among them, in the order of their names.

    Raises:
        UserError: a folder has no picture.
    """
    found: list[str] = []
    for path in map(Path, paths):
        inside = sorted(file for file in path.rglob("*") if _is_picture(file))
        if path.is_dir() and not inside:
            raise UserError(f"no picture in '{path}'; it needs files that end in {' '.join(EXTENSIONS)}")
        found += map(str, inside if path.is_dir() else [path])
    return found


def predict(source: str | Path, paths: Iterable[str | Path], top: int | None = None) -> Iterator[Row]:
    """An answer for every picture, in their order; a picture that cannot be read gives the reason instead.

    Args:
        paths: pictures, or folders of them.
        top: how many classes or boxes an answer has at most; None: 5 classes, or all boxes.
    Raises:
        UserError: at once, before the first answer: the network or a folder cannot be used.
    """
    if top is not None and top < 1:
        raise UserError(f"--top {top} is no number of classes; the smallest is 1")
    pictures = find_pictures(paths)
    return answers(open_network(source), pictures, top)


def answers(network: Network, paths: Iterable[str], top: int | None) -> Iterator[Row]:
    """An answer or a reason for every picture, a batch at a time."""
    rest = iter(paths)
    while batch := list(islice(rest, BATCH)):
        loaded = [_load(path, network.runner.input_shape) for path in batch]
        good = [picture for picture in loaded if not isinstance(picture, str)]
        outputs = network.runner.run(np.stack(good).astype(np.float32)) if good else {}
        found = iter(network.objective.answer(outputs, network.classes, top, network.threshold) if good else ())
        yield from ((path, one if isinstance(one, str) else next(found)) for path, one in zip(batch, loaded, strict=True))


def _is_picture(file: Path) -> bool:
    """By its name; hidden files are none, as in training."""
    return file.suffix.lower() in EXTENSIONS and not file.name.startswith(".") and file.is_file()


def _load(path: str, shape: tuple[int, int, int]) -> np.ndarray[Any, Any] | str:
    try:
        return load_picture(path, shape)
    except UnreadablePicture as error:
        return str(error)


def _open_run(folder: Path) -> Network:
    from app.runners.keras import KerasRunner

    run = open_run(folder)
    if not run.best_file.is_file():
        raise UserError(f"the run in '{folder}' has no network yet; finish it with: python -m app train --resume --out {folder}")
    threshold = run.metrics().get("threshold", {}) if run.finished else {}
    return Network(KerasRunner(run.inference_model()), run.objective, run.classes, threshold.get("probability", 0.0))


def _open_release(release: Release) -> Network:
    """The first file that can be run here; ONNX before the others, because it needs least."""
    check_release(release)
    missing = ""
    for artifact in sorted(release.files, key=lambda file: file.format != "onnx"):
        try:
            runner = open_file(release.folder / artifact.path, artifact.format)
        except RuntimeMissing as error:
            missing = str(error)
            continue
        return _released(runner, release)
    raise UserError(missing or f"the release in '{release.folder}' has no file")


def _open_file(path: Path) -> Network:
    """A lone file: what its outputs mean is told by the release around it, or by the file itself."""
    file_format = next((name for name, row in FORMATS.items() if row.suffix and path.suffix == row.suffix), None)
    if file_format is None:
        raise UserError(f"'{path}' is no network that can be run; give a .onnx or .tflite file, a run or a release")
    release = read_release(path.parent) if (path.parent / MANIFEST).is_file() else None
    if release and (artifact := release.file(path.name)):
        check_artifact(release, artifact)
        check_extras(release)
        return _released(open_file(path, file_format), release)
    runner = open_file(path, file_format)
    notes = getattr(runner, "metadata", {})
    objective = notes.get("objective", "classification")
    if objective not in OBJECTIVES:
        raise UserError(f"{path} is for '{objective}'; this program knows {', '.join(OBJECTIVES)}")
    numbers = _numbers(runner, objective, path)
    try:
        classes = tuple(map(str, json.loads(notes["labels"]))) if "labels" in notes else numbers
        threshold = float(json.loads(notes.get("threshold", "0")))
    except (ValueError, TypeError):
        raise UserError(f"{path} says of its labels or threshold what is no JSON; it is none that this program exports") from None
    if objective in WITH_CLASSES and len(classes) != len(numbers):
        raise UserError(f"{path} has {len(classes)} labels for {len(numbers)} probabilities; export it again")
    return Network(runner, OBJECTIVES[objective], classes, threshold)


def _released(runner: Runner, release: Release) -> Network:
    return Network(runner, OBJECTIVES[release.objective], release.classes, release.threshold.get("probability", 0.0))


def _numbers(runner: Runner, objective: str, path: Path) -> tuple[str, ...]:
    """Names for the classes of a file that has none: their numbers, as many as its outputs tell apart."""
    outputs = runner.run(np.zeros((1, *runner.input_shape), np.float32))
    wanted = OBJECTIVES[objective].outputs
    if not set(wanted) <= set(outputs):
        needed = ", ".join(wanted)
        raise UserError(f"{path} has the outputs {', '.join(outputs)}; {objective} needs {needed}, as this program exports it")
    return tuple(map(str, range(outputs[wanted[0]].shape[-1] if objective in WITH_CLASSES else MOST_CLASSES)))
