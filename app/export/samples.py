"""A few held-out pictures with what every file answered to them: a release can be tested with nothing else."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.metrics.segmentation import VOID
from app.objectives import OBJECTIVES
from app.runners import Outputs

Array = np.ndarray[Any, Any]
SAMPLES = "samples"
ANSWERS = f"{SAMPLES}/samples.json"
COUNT = 16
DIGITS = 7  # what a float32 holds
LEAST_SCORE = 0.1  # of boxes that are written down: most of those below are of nothing
ROWS: dict[str, tuple[int, ...]] = {"boxes": (4,), "classes": (), "scores": ()}  # of each box


def choose(labels: Array, count: int = COUNT) -> list[int]:
    """Places of the pictures to keep: the first of every class, then the second, until there are enough.

    Shapes: annotations of N pictures -> at most `count`, in their order.
    """
    seen: dict[int, int] = {}
    turns = []
    for place, present in enumerate(classes_in(labels)):
        label = min(present, key=lambda one: seen.get(one, 0), default=-1)  # the one that was seen least
        turns.append((seen.get(label, 0), label, place))
        seen[label] = seen.get(label, 0) + 1
    return sorted(place for _, _, place in sorted(turns)[:count])


def classes_in(labels: Array) -> list[list[int]]:
    """The classes that each picture shows by its annotation, in their order.

    Shapes: int [N]; boxes [N, M, 6]; or masks [N, H, W].
    """
    if labels.ndim == 1:
        return [[int(label)] for label in labels]
    if labels.dtype == np.uint8:
        return [[int(label) for label in np.unique(mask) if label != VOID] for mask in labels]
    return [sorted({int(label) for label in boxes[boxes[:, 5] <= 0, 4] if label >= 0}) for boxes in labels]


def write_pictures(folder: Path, pictures: Array) -> list[str]:
    """Writes the pictures as PNG, which changes no pixel; gives their paths in the release.

    Shapes: uint8 [N, H, W, C].
    """
    (folder / SAMPLES).mkdir()
    paths = [f"{SAMPLES}/{number:02}.png" for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(folder / path)
    return paths


def write_answers(folder: Path, paths: list[str], labels: Array, classes: Sequence[str], outputs: dict[str, Outputs]) -> None:
    """Writes the true classes and, for every file, its outputs.

    Of boxes those with a score of .1 or more; of masks the likeliest class of every pixel, as a PNG in base64.
    """
    alone = labels.ndim == 1
    shown = [[classes[number] for number in present] for present in classes_in(labels)]
    pictures = [
        {"path": path, **({"label": present[0]} if alone else {"labels": present})}
        for path, present in zip(paths, shown, strict=True)
    ]
    values = {"pictures": pictures, "outputs": {file: _written(found) for file, found in outputs.items()}}
    (folder / ANSWERS).write_text(json.dumps(values) + "\n", encoding="utf-8")


def read_answers(folder: Path) -> tuple[list[str], dict[str, Outputs]]:
    """The pictures' paths, and the recorded outputs by file and name; masks are numbers of classes, uint8 [N, H, W]."""
    values = json.loads((folder / ANSWERS).read_text(encoding="utf-8"))
    recorded = {file: _read(outputs) for file, outputs in values["outputs"].items()}
    return [picture["path"] for picture in values["pictures"]], recorded


def _written(outputs: Outputs) -> dict[str, Any]:
    if "masks" in outputs:
        return {"masks": [_png(mask) for mask in OBJECTIVES["segmentation"].kept(outputs)["masks"]]}
    if "boxes" not in outputs:
        return {name: _numbers(values) for name, values in outputs.items()}
    told = [row[: int(count)] >= LEAST_SCORE for row, count in zip(outputs["scores"], outputs["count"], strict=True)]
    ends = [int(sure.sum()) for sure in told]
    return {name: [_numbers(row[:end]) for row, end in zip(outputs[name], ends, strict=True)] for name in ROWS} | {"count": ends}


def _read(outputs: dict[str, Any]) -> Outputs:
    if "masks" in outputs:
        return {"masks": np.stack([np.asarray(Image.open(io.BytesIO(base64.b64decode(png)))) for png in outputs["masks"]])}
    if "boxes" not in outputs:
        return {name: np.asarray(values, np.float32) for name, values in outputs.items()}
    ends = outputs["count"]
    found: Outputs = {"count": np.asarray(ends, np.float32)}
    for name, sides in ROWS.items():
        found[name] = np.zeros((len(ends), max(1, *ends), *sides), np.float32)
        for values, row, end in zip(found[name], outputs[name], ends, strict=True):
            values[:end] = np.reshape(row, (end, *sides))
    return found


def _numbers(values: Array) -> Any:
    return np.round(values.astype(float), DIGITS).tolist()


def _png(mask: Array) -> str:
    written = io.BytesIO()
    Image.fromarray(mask).save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()
