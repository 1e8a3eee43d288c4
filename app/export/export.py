"""A run becomes a release: convert, run every file on the held-out pictures, compare with Keras, refuse or write."""

from __future__ import annotations

import gc
import platform
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from app.config import TrainConfig
from app.deploy import INPUT, inference_model, main_path
from app.errors import UserError, unknown
from app.export import samples
from app.export.bounds import bounds_for
from app.export.card import card
from app.export.checks import Trial, answers, examine
from app.export.converters import VARIANTS
from app.export.graph import Graph, Notes, Variant, count_operations
from app.export.place import publish, workplace
from app.release import LABELS, Artifact, Release, hashes, labels_text, read_release, versions
from app.runners import first_line, open_file, run_pictures
from app.runners.keras import KerasRunner
from app.runners.silence import silenced
from app.runs import Run, data_name
from models.lazy import keras

CARD = "README.md"
PACKAGES = ("keras", "tensorflow", "onnx", "tf2onnx", "onnxruntime", "ai-edge-litert", "numpy")


class NotConverted(UserError):
    """A converter has no way to write a network, for the `reason` that it gave."""

    def __init__(self, row: Variant, reason: str) -> None:
        super().__init__(f"{row.path} cannot be made: {reason}; leave {row.name} out with --variants")
        self.reason = reason


def export(
    run: Run,
    out: Path = Path("exported"),
    name: str | None = None,
    variants: Sequence[str] = (),
    tolerance: float | None = None,
    licence: str = "",
    say: Callable[[str], None] = print,
) -> Release:
    """The verified release of a run, in `out/name/version`.

    Args:
        name: none: the network's and the data's.
        variants: names of converters' rows; none: all of them.
        tolerance: points of the metric that an int8 file may lose (dynamic: half of them); none: the objective's usual.
        licence: under which others may use the release; empty: not stated.
    Raises:
        UserError: the name is taken, a variant is unknown, or a file is out of bounds; then nothing is written.
    """
    rows = choose(variants)
    bounds = bounds_for(run.objective.name, tolerance)
    folder = out / (default_name(run.config) if name is None else checked_name(name))
    check_name(folder, run)
    check_classes(run.classes)
    calibration, heldout = _pictures(run)
    _require_tensorflow()
    with silenced():
        network = main_path(run.network())
        model, bare = (inference_model(network, run.objective.name, bare=bare) for bare in (False, True))
        reference, exact = answers(KerasRunner(model), heldout["images"], run.objective)
    trial = Trial(
        pictures=heldout["images"],
        labels=heldout["labels"],
        reference=reference,
        objective=run.objective,
        classes=tuple(run.classes),
        weights=model.count_params(),
        operations=count_operations(model),
        bounds=bounds,
        exact=exact,
    )
    contract, threshold = _input(model), run.metrics().get("threshold", {})
    notes = Notes(
        name=folder.name,
        description=f"{run.config.spec.title} for {run.objective.name}, trained on {run.record['data']['name']}",
        licence=licence,
        objective=run.objective.name,
        classes=trial.classes,
        contract=contract,
        threshold=threshold.get("probability", 0.0),
        versions=_versions(),
    )
    with workplace(folder) as place:
        work = place / "work"
        work.mkdir()
        same = model.input_shape == bare.input_shape
        graph = Graph(model, model if same else bare, calibration, notes, work, network)
        files, left_out = [], {}
        for row in rows:
            try:
                if run.objective.name not in row.objectives:
                    raise NotConverted(row, f"it is for {', '.join(row.objectives)}")
                files.append(_make(graph, trial, row, place, say))
            except NotConverted as error:
                if not row.optional or row.name in variants:
                    raise
                left_out[row.name] = error.reason
                say(f"{row.path:<20} left out: {error.reason}")
        shutil.rmtree(work)
        release = Release(
            folder=place,
            name=folder.name,
            version=0,  # until it is published
            objective=run.objective.name,
            classes=trial.classes,
            input=contract,
            outputs=tuple({"name": key, "shape": ["batch", *value.shape[1:]]} for key, value in exact.items()),
            files=tuple(files),
            extras={},
            metric=run.objective.metric,
            bounds=bounds,
            threshold=threshold,
            licence=licence,
            left_out=left_out,
            run=_source(run, trial, len(calibration)),
            versions=notes.versions,
        )
        _write_extras(release, trial)
        extras = {path.relative_to(place).as_posix(): str(hashes(path)) for path in _extras(place)}
        check_name(folder, run)  # again: another export may have been quicker
        return publish(replace(release, extras=extras), folder)


def choose(names: Sequence[str]) -> list[Variant]:
    """The rows of that name in the table's order, or all.

    Raises:
        UserError: there is no such row.
    """
    for name in names:
        if name not in VARIANTS:
            raise unknown("variant", name, VARIANTS)
    return [variant for name, variant in VARIANTS.items() if not names or name in names]


def default_name(config: TrainConfig) -> str:
    """`<model>-<data>`."""
    return f"{config.model}-{data_name(config.data)}"


def checked_name(name: str) -> str:
    """A name that can be a folder's.

    Raises:
        UserError: it cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"--name '{name}' is no name for a release; use letters, digits, '.', '_' and '-', as in my-flowers")
    return name


def check_name(folder: Path, run: Run) -> None:
    """Refuses a name whose newest readable release is of other data or classes: its clients would be misled.

    Raises:
        UserError: says what the name is taken by.
    """
    for number in reversed(versions(folder)):
        try:
            taken = read_release(folder / str(number))
        except UserError:
            continue  # altered: no reason to keep its name from being exported again
        data = run.record["data"]["name"]
        if taken.run["data"]["name"] != data:
            other = f"a release of data '{taken.run['data']['name']}', and this run was trained on '{data}'"
        elif list(taken.classes) != run.classes:
            other = f"a release with other classes ({len(taken.classes)}, here {len(run.classes)}, or in another order)"
        else:
            return
        raise UserError(f"'{folder}' is {other}; choose another name with --name")


def check_classes(classes: Sequence[str]) -> None:
    """Refuses classes that cannot be told apart, or that labels.txt cannot hold.

    Raises:
        UserError: names the class.
    """
    for name in classes:
        if not name or name.splitlines() != [name] or classes.count(name) > 1:
            raise UserError(f"the class {name!r} is empty, of two lines or there twice; rename it in the data and train again")


def _make(graph: Graph, trial: Trial, row: Variant, place: Path, say: Callable[[str], None]) -> Artifact:
    path = place / row.path
    try:
        with silenced():
            quantisation = row.write(graph, path)
            gc.collect()  # converters leave copies of the weights in cycles
    except (OSError, MemoryError):
        raise  # of this machine, not of the network
    except Exception as error:  # of the converters, which have no common one
        raise NotConverted(row, first_line(error)) from error
    with silenced():
        artifact = replace(examine(trial, row, path), quantisation=quantisation)
    say(
        f"{artifact.path:<20} {artifact.bytes / 1024:>9,.1f} KiB  {trial.objective.metric} {artifact.metric:.4f}"
        f"  agreement {artifact.agreement:.4f}  largest difference {artifact.max_difference:.1e}  {artifact.latency_ms:.2f} ms"
    )
    return artifact


def _require_tensorflow() -> None:
    if (backend := keras.backend.backend()) != "tensorflow":
        raise UserError(f"export needs the TensorFlow backend, not {backend}; run it again with KERAS_BACKEND=tensorflow")
    with silenced():
        import tensorflow as tf

        # A GPU rounds to fewer digits than the bounds allow for, and the files run on the CPU. Too late where one is in use.
        with suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")


def _pictures(run: Run) -> tuple[np.ndarray[Any, Any], dict[str, np.ndarray[Any, Any]]]:
    for file in ("best.keras", "calibration.npz", "heldout.npz"):
        if not (run.folder / file).is_file():
            raise UserError(f"the run in '{run.folder}' has no {file}; train again, to the end")
    calibration, heldout = run.arrays("calibration")["images"], run.arrays("heldout")
    if not len(calibration) or not len(heldout["images"]):
        raise UserError(f"the run in '{run.folder}' kept no pictures to compare with; train again with more data")
    return calibration, heldout


def _input(model: Any) -> dict[str, Any]:
    return {
        "name": INPUT,
        "shape": ["batch", *model.input_shape[1:]],
        "dtype": "float32",
        "range": [0, 255],
        "channels": "RGB",
        "resize": "stretch",
    }


def _source(run: Run, trial: Trial, calibration: int) -> dict[str, Any]:
    return {
        "name": run.name,
        "config": replace(run.config, data=public_data(run.config), weights=Path(run.config.weights).name).to_json(),
        "data": {key: run.record["data"][key] for key in ("name", "fingerprint")},
        "git_commit": run.record.get("git_commit"),
        "metric": trial.metric,
        "heldout": len(trial.labels),
        "calibration": calibration,
        "figures": trial.objective.measure(trial.reference, trial.labels, trial.classes, run.metrics().get("threshold")),
    }


def public_data(config: TrainConfig) -> str:
    """The data as it was given, but of a folder or file its name alone: where it lies is nobody's business."""
    return config.data if config.data.startswith("tfds:") else data_name(config.data)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # TensorFlow has wheels by other names
    return found


def _write_extras(release: Release, trial: Trial) -> None:
    """Labels, samples with what every file answers to them, and the card."""
    place = release.folder
    (place / LABELS).write_text(labels_text(release.classes), encoding="utf-8")
    chosen = samples.choose(trial.labels)
    pictures = trial.pictures[chosen]
    paths = samples.write_pictures(place, pictures)
    with silenced():
        outputs = {file.path: run_pictures(open_file(place / file.path, file.format), pictures) for file in release.files}
    samples.write_answers(place, paths, trial.labels[chosen], release.classes, outputs)
    (place / CARD).write_text(card(release, paths[0]), encoding="utf-8")


def _extras(place: Path) -> list[Path]:
    return [place / LABELS, place / CARD, *sorted((place / samples.SAMPLES).iterdir())]
