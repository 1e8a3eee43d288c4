"""A release with the shape of a real one and files of a few bytes, and runtimes that need no network."""

import json

import numpy as np
import pytest
from PIL import Image

from app.demo import build as demo
from app.demo.runtimes import RUNTIMES
from app.release import Artifact, Release, hashes, labels_text, read_release, size, write_release

FILES = {
    "saved_model": ("saved_model", "fp32", "float32", "RGB"),
    "model-fp32.tflite": ("tflite", "fp32", "float32", "RGB"),
    "model-int8.tflite": ("tflite", "int8", "uint8", "RGB"),
    "model-mcu.tflite": ("tflite", "int8", "int8", "RGB"),
    "model-grey.tflite": ("tflite", "fp32", "float32", "grey"),
    "model.onnx": ("onnx", "fp32", "float32", "RGB"),
    "model-int8.onnx": ("onnx", "int8", "float32", "RGB"),
}


def make_release(folder, paths=tuple(FILES), **changes) -> Release:
    """A release whose files hold nothing but their names."""
    (folder / "samples").mkdir(parents=True)
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(folder / "samples/00.png")
    outputs = {path: {"probabilities": [[0.1] * 10]} for path in paths}
    answers = {"pictures": [{"path": "samples/00.png", "label": "0"}], "outputs": outputs}
    (folder / "samples/samples.json").write_text(json.dumps(answers))
    classes = tuple(map(str, range(10)))
    (folder / "labels.txt").write_text(labels_text(classes))
    for path in paths:
        (folder / path).write_text(path)
    values = {
        "name": "lenet5-digits",
        "version": 1,
        "objective": "classification",
        "classes": classes,
        "input": {"name": "image", "shape": ["batch", 28, 28, 3], "dtype": "float32", "range": [0, 255]},
        "outputs": ({"name": "probabilities", "shape": ["batch", 10]},),
        "files": tuple(
            Artifact(
                path=path, format=kind, precision=precision, runtime="", input_dtype=dtype, channels=channels, quantisation="",
                sha256=hashes(folder / path), bytes=size(folder / path), metric=0.99, agreement=1.0, max_difference=0.0,
                latency_ms=0.1,
            )
            for path, (kind, precision, dtype, channels) in FILES.items() if path in paths
        ),
        "extras": {path: str(hashes(folder / path)) for path in ("labels.txt", "samples/00.png", "samples/samples.json")},
        "metric": "accuracy",
        "bounds": {},
        "threshold": {"probability": 0.75, "right_kept": 0.99, "wrong_refused": 0.5, "pictures": 100},
        "licence": "",
        "left_out": {},
        "run": {"name": "small", "heldout": 297},
    }  # fmt: skip
    write_release(Release(folder=folder, **(values | changes)))
    return read_release(folder)


@pytest.fixture
def small(tmp_path) -> Release:
    return make_release(tmp_path / "release")


@pytest.fixture
def runtimes(tmp_path, monkeypatch):
    """Stand-ins for what npm brings."""
    folder = tmp_path / "runtimes"
    for runtime in RUNTIMES.values():
        for place in runtime.files.values():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(f"// {place}")
    monkeypatch.setattr(demo, "installed_runtimes", lambda: folder)
    return folder
