"""A few held-out pictures with what every file answered to them: a release can be tested with nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.runners import Outputs

SAMPLES = "samples"
ANSWERS = f"{SAMPLES}/samples.json"
COUNT = 16
DIGITS = 7  # what a float32 holds


def choose(labels: np.ndarray[Any, Any], count: int = COUNT) -> list[int]:
    """Places of the pictures to keep: the first of every class, then the second, until there are enough.

    Shapes: [N] -> at most `count`, in their order.
    """
    seen: dict[int, int] = {}
    turns = []
    for place, label in enumerate(labels.tolist()):
        turns.append((seen.get(label, 0), label, place))
        seen[label] = seen.get(label, 0) + 1
    return sorted(place for _, _, place in sorted(turns)[:count])


def write_pictures(folder: Path, pictures: np.ndarray[Any, Any]) -> list[str]:
    """Writes the pictures as PNG, which changes no pixel; gives their paths in the release.

    Shapes: uint8 [N, H, W, C].
    """
    (folder / SAMPLES).mkdir()
    paths = [f"{SAMPLES}/{number:02}.png" for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(folder / path)
    return paths


def write_answers(folder: Path, paths: list[str], labels: list[str], outputs: dict[str, Outputs]) -> None:
    """Writes the true labels and, for every file, its outputs."""
    values = {
        "pictures": [{"path": path, "label": label} for path, label in zip(paths, labels, strict=True)],
        "outputs": {
            file: {name: np.round(array.astype(float), DIGITS).tolist() for name, array in arrays.items()}
            for file, arrays in outputs.items()
        },
    }
    (folder / ANSWERS).write_text(json.dumps(values) + "\n", encoding="utf-8")


def read_answers(folder: Path) -> tuple[list[str], dict[str, Outputs]]:
    """The pictures' paths, and the recorded outputs by file and name."""
    values = json.loads((folder / ANSWERS).read_text(encoding="utf-8"))
    recorded = {
        file: {name: np.asarray(array, np.float32) for name, array in arrays.items()}
        for file, arrays in values["outputs"].items()
    }
    return [picture["path"] for picture in values["pictures"]], recorded
