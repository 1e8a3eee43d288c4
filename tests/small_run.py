"""A finished run and its release, made once a session in seconds: LeNet-5 on scikit-learn's digits."""

import atexit
import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from app.config import make_config
from app.deploy import inference_model
from app.export.export import export
from app.images import resize, with_channels
from app.metrics.classification import accuracy, threshold
from app.release import Release
from app.runs import Run
from models.registry import get_model

CLASSES = [str(digit) for digit in range(10)]
SHAPE = (28, 28, 1)


@cache
def small_run() -> Run:
    """Shared: read it, never write into it."""
    return make_run(_scratch() / "lenet5-digits-small")


@cache
def small_release() -> Release:
    """Shared: copy it before breaking it."""
    return export(small_run(), _scratch(), say=lambda line: None)


def make_run(folder: Path, classes: list[str] = CLASSES, data: str = "digits") -> Run:
    """A run folder as training leaves it, with a network that is right about nineteen times of twenty."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pictures = np.stack([resize((picture * 255 / 16).astype(np.uint8), *SHAPE[:2]) for picture in digits.images])
    pictures, labels, heldout, answers = pictures[:1500], digits.target[:1500], pictures[1500:], digits.target[1500:]
    keras.utils.set_random_seed(0)
    network = get_model("lenet5").build(SHAPE, len(classes))
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    network.fit(pictures, labels, batch_size=32, epochs=8, verbose=0)
    network.compile(None)
    folder.mkdir(parents=True)
    probabilities = inference_model(network, "classification").predict(with_channels(heldout, 3), verbose=0)["probabilities"]
    record = {
        "format": 1,
        "config": make_config("lenet5", data, {}).to_json(),
        "objective": "classification",
        "classes": classes,
        "input_shape": SHAPE,
        "data": {"name": data, "fingerprint": "0" * 64, "splits": {"train": 1500, "test": len(heldout)}},
        "versions": {"keras": keras.__version__},
        "git_commit": None,
        "backend": "tensorflow",
        "started": "2026-01-01T00:00:00+00:00",
    }
    (folder / "config.json").write_text(json.dumps(record))
    network.save(folder / "best.keras")
    np.savez_compressed(folder / "calibration.npz", images=pictures[:100])
    np.savez_compressed(folder / "heldout.npz", images=heldout, labels=answers, probabilities=probabilities)
    metrics = {
        "test": {"accuracy": accuracy(probabilities, answers)},
        "threshold": threshold({"probabilities": probabilities}, answers),
        "parameters": network.count_params(),
        "seconds": 1,
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return Run(folder)


def copy_run(run: Run, folder: Path, **changes: object) -> Run:
    """The same run elsewhere, with fields of its record changed."""
    shutil.copytree(run.folder, folder)
    (folder / "config.json").write_text(json.dumps(run.record | changes))
    return Run(folder)


@cache
def _scratch() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="convoy-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
