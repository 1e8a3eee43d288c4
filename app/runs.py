"""The files of a run folder and what each means. Every later stage reads a run through this."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from app.config import TrainConfig
from app.deploy import inference_model
from app.errors import UserError
from app.objectives import OBJECTIVES, Objective
from app.runners.silence import load_keras, silenced
from models.pretrained import IMAGENET, PUBLISHED
from models.saved import load_network

FORMAT = 1
CONFIG = "config.json"
LATEST = "latest"
RUNS = Path("runs")


@dataclass(frozen=True)
class Run:
    """A training's folder.

    config.json      written first: settings, classes, input, data and its fingerprint, versions, git commit
    history.csv      a row an epoch
    state.npz        all that resuming needs, of the last whole epoch
    best.keras       the network with the best validation metric, float32, uncompiled
    metrics.json     written last: figures on the test split
    batch.npz        the first training batch as the network saw it: images, labels (classes as probabilities, boxes, masks)
    calibration.npz  training pictures for quantisation: images uint8 [N, H, W, C]
    heldout.npz      test pictures: images uint8 [N, H, W, C], labels, and what best.keras answers: probabilities; boxes,
                     classes, scores and count; or masks, the likeliest class of each pixel
    report/          index.html and PNGs
    tensorboard/     event files
    """

    folder: Path

    @property
    def config_file(self) -> Path:
        return self.folder / CONFIG

    @property
    def history_file(self) -> Path:
        return self.folder / "history.csv"

    @property
    def state_file(self) -> Path:
        return self.folder / "state.npz"

    @property
    def best_file(self) -> Path:
        return self.folder / "best.keras"

    @property
    def metrics_file(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def report_folder(self) -> Path:
        return self.folder / "report"

    @property
    def tensorboard_folder(self) -> Path:
        return self.folder / "tensorboard"

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def record(self) -> dict[str, Any]:
        """config.json as it was written when the run started."""
        return dict(json.loads(self.config_file.read_text()))

    @cached_property
    def config(self) -> TrainConfig:
        return TrainConfig.from_json(self.record["config"])

    @property
    def classes(self) -> list[str]:
        return list(self.record["classes"])

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the network itself (its release takes RGB in any case)."""
        height, width, channels = self.record["input_shape"]
        return height, width, channels

    @property
    def objective(self) -> Objective:
        return OBJECTIVES[self.record["objective"]]

    @property
    def finished(self) -> bool:
        return self.metrics_file.exists()

    def metrics(self) -> dict[str, Any]:
        """metrics.json."""
        return dict(json.loads(self.metrics_file.read_text()))

    def arrays(self, name: str) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays of `batch`, `calibration` or `heldout`."""
        with np.load(self.folder / f"{name}.npz") as file:
            return dict(file)

    def network(self) -> Any:
        """The network with its best weights, giving logits."""
        load_keras()
        with silenced():
            return load_network(self.best_file)

    def inference_model(self) -> Any:
        """The graph that is evaluated and exported: RGB pixels in, finished outputs out."""
        return inference_model(self.network(), self.objective.name)

    def write_json(self, file: Path, values: dict[str, Any]) -> None:
        """Writes whole or not at all."""
        with replacing(file) as partial:
            partial.write_text(json.dumps(values, indent=2) + "\n")


def is_run(path: str | Path) -> bool:
    """Whether a folder is a run's."""
    return (Path(path) / CONFIG).is_file()


def open_run(path: str | Path) -> Run:
    """The run in a folder; `runs/latest` is the newest.

    Raises:
        UserError: there is no run.
    """
    run = Run(Path(path).resolve())
    if not is_run(path):
        advice = "train one with: python -m app train lenet5 digits"
        raise UserError(f"no run in '{path}' (a folder with {CONFIG}); {advice}")
    try:
        known = run.record["format"] == FORMAT and {"config", "classes", "input_shape", "objective", "data"} <= set(run.record)
    except (ValueError, TypeError, KeyError):
        known = False
    if not known:
        raise UserError(f"{run.config_file} is not one that this version wrote; train again")
    return run


def open_finished_run(path: str | Path) -> Run:
    """The run in a folder, trained to its end.

    Raises:
        UserError: there is no run, or it has not ended yet.
    """
    run = open_run(path)
    if not run.finished:
        raise UserError(f"the run in '{path}' has not ended; finish it with: python -m app train --resume --out {path}")
    return run


def run_folder(out: str | None, model: str, data: str) -> Path:
    """Where a new run goes: `out`, or `runs/<model>-<data>-<time>`."""
    if out:
        return Path(out)
    name = f"{model}-{data_name(data)}-{datetime.now().strftime('%Y%m%d-%H%M%S')}"
    taken = sum(1 for _ in RUNS.glob(f"{name}*"))
    return RUNS / (f"{name}-{taken + 1}" if taken else name)


def data_name(data: str) -> str:
    """What data is called in names: that of a folder or file without its place and ending, in letters any file system takes."""
    if data.endswith(".npz") or "/" in data or os.sep in data or data in (".", ".."):
        path = Path(data).expanduser().resolve()
        data = path.stem if path.suffix == ".npz" else path.name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", data).strip("-.") or "data"


def find_weights(weights: str, model: str = "") -> Path | str:
    """What `--weights` names: "imagenet", a .keras file, one that keras.applications wrote, or the best of a run.

    Args:
        model: the network that will have them, to refuse published weights for one that has none.
    Raises:
        UserError: there is no such run or file.
    """
    if model and (weights == IMAGENET or weights.endswith(".h5")):
        refuse_unpublished(model, weights)
    if weights == IMAGENET:
        return IMAGENET
    file = Path(weights) if weights.endswith((".keras", ".h5")) else open_run(weights).best_file
    if not file.is_file():
        raise UserError(f"--weights {weights}: there is no {file}; give imagenet, a run folder, a .keras or a .h5 file")
    return file


def refuse_unpublished(model: str, weights: str) -> None:
    """Refuses weights of keras.applications for a network that it does not have.

    Raises:
        UserError: names those that it has.
    """
    if model not in PUBLISHED:
        raise UserError(f"--weights {weights}: keras.applications has none for {model}; it has for {', '.join(PUBLISHED)}")


def make_writable(folder: Path) -> None:
    """Makes a folder, and a file in it, which it removes again.

    Raises:
        OSError: files cannot be written there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / ".writable"
    mark.touch()
    mark.unlink()


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Makes a run folder that no other process trains in meanwhile; without anything written there it is removed again.

    Raises:
        UserError: the folder cannot be written, or another training is at work in it.
    """
    try:
        make_writable(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder} ({error.strerror}); choose another folder with --out") from None
    lock = os.open(folder, os.O_RDONLY)  # gone when the process ends, however it ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise UserError(f"another training is at work in {folder}; wait for it, or choose another --out") from None
    try:
        yield
    finally:
        os.close(lock)
        if not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A path to write to that takes the place of `file` when the block ends well: a kill leaves the old file or the new.

    The partial file keeps the ending, because writers choose the format by it.
    """
    partial = file.with_name(f".{file.stem}.partial{file.suffix}")
    try:
        yield partial
        with open(partial, "rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def check_space(folder: Path, needed: int) -> None:
    """Makes sure that the disk of a folder has room.

    Args:
        needed: bytes.
    Raises:
        UserError: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(f"{folder} has {free / 2**20:.0f} MiB free, and {needed / 2**20:.0f} MiB are needed; make room")
