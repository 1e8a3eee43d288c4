"""Finished runs and their releases, made once a session in seconds: LeNet-5 on scikit-learn's digits, and a network of four
layers each that finds squares and discs, with boxes or with masks."""

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
from app.objectives import OBJECTIVES
from app.release import Release
from app.runners import run_pictures
from app.runners.keras import KerasRunner
from app.runs import Run
from models import layers
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


SHAPES = ["square", "disc"]
SIDE, LARGEST, SMALLEST = 64, 26, 14  # pixels: of a picture and of what is in it
TRAINED, EPOCHS = 1200, 8
FEW = ("tflite-fp32", "tflite-int8", "onnx-fp32", "onnx-int8")
# Constants and coordinates that half precision cannot hold are a detector's alone.
BOXES = ("tflite-fp32", "tflite-fp16", "tflite-int8", "onnx-fp32", "onnx-fp16", "onnx-int8")


@cache
def detection_run() -> Run:
    """Shared: read it, never write into it. The network is not one of `models`, whose names a run has all the same."""
    from app.data.targets.yolo_v5 import encoder
    from app.train.losses.detection import YoloV5

    def finish(x):
        maps = keras.layers.Conv2D(2 * (5 + len(SHAPES)), 1, name="head8")(x)
        return layers.AnchorPredictions([[(16, 16), (24, 24)]], [8], (SIDE, SIDE), len(SHAPES), name="predictions")([maps])

    pictures, boxes, _ = shapes(TRAINED, 0)
    network = _network(finish)
    _fit(network, pictures, encoder(network, len(SHAPES))(boxes), YoloV5())
    return _scene_run(network, "yolo_v5_tiny", "detection", SHAPES, boxes=True)


@cache
def segmentation_run() -> Run:
    """Shared: read it, never write into it. The network is not one of `models`, whose names a run has all the same."""

    def finish(x):
        x = keras.layers.Conv2DTranspose(8, 4, 4, activation="relu", name="up")(x)
        return keras.layers.Conv2DTranspose(1 + len(SHAPES), 4, 2, "same", name="logits")(x)

    pictures, _, masks = shapes(TRAINED, 0)
    network = _network(finish)
    _fit(network, pictures, masks, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return _scene_run(network, "unet", "segmentation", ["background", *SHAPES], boxes=False)


@cache
def detection_release() -> Release:
    """Shared: copy it before breaking it. Of the files that differ most."""
    return export(detection_run(), _scratch(), variants=BOXES, say=lambda line: None)


@cache
def segmentation_release() -> Release:
    """Shared: copy it before breaking it. Of the files that differ most."""
    return export(segmentation_run(), _scratch(), variants=FEW, say=lambda line: None)


def shapes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures of one to three squares and discs of any colour on dark noise, with their boxes and masks.

    Shapes: uint8 [N, 64, 64, 3], float32 [N, 3, 6], uint8 [N, 64, 64].
    """
    chance = np.random.default_rng(seed)
    pictures = chance.integers(0, 40, (count, SIDE, SIDE, 3), np.uint8)
    boxes, masks = np.zeros((count, 3, 6), np.float32), np.zeros((count, SIDE, SIDE), np.uint8)
    boxes[:, :, 4] = -1
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    for picture, truth, mask in zip(pictures, boxes, masks, strict=True):
        # One in a quarter of the picture, so that none hides another.
        for row, quarter in enumerate(chance.permutation(4)[: chance.integers(1, 4)]):
            side, kind = chance.integers(SMALLEST, LARGEST + 1), chance.integers(len(SHAPES))
            top, left = np.array(divmod(quarter, 2)) * SIDE // 2 + chance.integers(0, SIDE // 2 - side + 1, 2)
            far = (
                np.maximum(abs(y - top - side / 2), abs(x - left - side / 2))
                if kind == 0
                else np.hypot(y - top - side / 2, x - left - side / 2)
            )
            inside = far <= side / 2
            picture[inside], mask[inside] = chance.integers(120, 256, 3), kind + 1
            truth[row] = [top / SIDE, left / SIDE, (top + side) / SIDE, (left + side) / SIDE, kind, 0]
    return pictures, boxes, masks


def _network(finish):
    """Three convolutions with steps of two, and what `finish` makes of the map of 8 x 8 places."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(image)
    for maps in (16, 32, 48):
        x = keras.layers.Conv2D(maps, 5, 2, "same", activation="relu")(x)
    return keras.Model(image, finish(x), name="small")


def _fit(network, pictures, targets, loss) -> None:
    steps = EPOCHS * len(pictures) // 16
    network.compile(keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(4e-3, steps)), loss)
    network.fit(pictures.astype(np.float32), targets, batch_size=16, epochs=EPOCHS, verbose=0)
    network.compile(None)


def _scene_run(network, model: str, objective: str, classes: list[str], *, boxes: bool) -> Run:
    """A run folder as training leaves it."""
    folder = _scratch() / f"{objective}-small"
    folder.mkdir(parents=True)
    pictures, truths, masks = shapes(64, 1)
    labels, row = truths if boxes else masks, OBJECTIVES[objective]
    outputs = run_pictures(KerasRunner(inference_model(network, objective)), pictures, row.kept)
    record = {
        "format": 1,
        "config": make_config(model, "scenes", {}).to_json(),
        "objective": objective,
        "classes": classes,
        "input_shape": (SIDE, SIDE, 3),
        "data": {"name": "shapes", "fingerprint": "1" * 64, "splits": {"train": TRAINED, "test": len(pictures)}},
        "versions": {"keras": keras.__version__},
        "git_commit": None,
        "backend": "tensorflow",
        "started": "2026-01-01T00:00:00+00:00",
    }
    (folder / "config.json").write_text(json.dumps(record))
    network.save(folder / "best.keras")
    np.savez_compressed(folder / "calibration.npz", images=shapes(64, 2)[0])
    np.savez_compressed(folder / "heldout.npz", images=pictures, labels=labels, **outputs)
    metrics = {
        "test": row.measure(outputs, labels, classes),
        "threshold": row.threshold(outputs, labels),
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
