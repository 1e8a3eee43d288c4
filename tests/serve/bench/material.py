"""What the benchmark serves and asks: two releases, made where none are given, and pictures for them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from app.data.cache import cached
from app.images import load_picture
from app.release import FORMAT, Release, check_release, find_release
from app.runners.onnx import OnnxRunner
from tests.runtimes.environments import ROOT
from tests.serve.bench.questions import BINARY, JSON, PICTURE, Question, picture, tensor_as_bytes, tensor_as_json

LENET, MOBILENET = "LeNet-5", "MobileNet"
TRAINED = {
    LENET: ("lenet5", "digits", "--epochs", "1"),
    MOBILENET: ("mobilenet", "digits", "--image-size", "224", "--limit", "64", "--epochs", "1"),
}
CONNECTIONS = {LENET: 64, MOBILENET: 16}
PHOTO = "china.jpg"  # comes with scikit-learn
PNG, SMALL, LARGE = "PNG 28x28", "JPEG 224x224", "JPEG 640x480"
QUALITY = 90


@dataclass(frozen=True)
class Case:
    """One way to ask about one picture; `title` tells which.

    Args:
        form: see `tests.serve.bench.questions`.
    """

    title: str
    form: str
    question: Question


@dataclass(frozen=True)
class Network:
    """A release and what it is asked.

    Args:
        connections: that ask at the same time.
        cases: by title.
        checks: which every server must answer rightly.
    """

    title: str
    release: Release
    connections: int
    cases: dict[str, Case]
    checks: tuple[Case, ...]

    @property
    def model(self) -> Path:
        """The file that every server runs."""
        return self.release.folder / "model.onnx"


def find_network(title: str, given: str | None, say: Callable[[str], None]) -> Network:
    """The network of a release, or of one that is made and kept in the cache.

    Raises:
        UserError: there is no release, or it was altered.
    """
    release = find_release(given or _made(title, say))
    check_release(release)
    runner = OnnxRunner(release.folder / "model.onnx", 1)
    cases = [case for data, name in _pictures(title, release) for case in _cases(runner, release, data, name)]
    first = {case.title: case for case in reversed(cases)}
    return Network(title, release, CONNECTIONS[title], first, tuple(cases))


def _cases(runner: OnnxRunner, release: Release, data: bytes, name: str) -> Iterator[Case]:
    image = load_picture(data, release.picture_shape).astype(np.float32)[None]
    [[expected]] = runner.run(image).values()
    yield Case(JSON, JSON, tensor_as_json(image, expected))
    yield Case(BINARY, BINARY, tensor_as_bytes(image, expected))
    yield Case(name, PICTURE, picture(data, release.classes, expected))


def _pictures(title: str, release: Release) -> Iterator[tuple[bytes, str]]:
    """Encoded pictures, and what their kind is called."""
    if title == LENET:
        for file in sorted((release.folder / "samples").glob("*.png"))[:8]:
            yield file.read_bytes(), PNG
        return
    from sklearn.datasets import load_sample_image

    photo = Image.fromarray(load_sample_image(PHOTO))
    for size, name in (((224, 224), SMALL), ((640, 480), LARGE)):
        held = io.BytesIO()
        photo.resize(size, Image.Resampling.BILINEAR).save(held, "JPEG", quality=QUALITY)
        yield held.getvalue(), name


def _made(title: str, say: Callable[[str], None]) -> Path:
    def fill(folder: Path) -> None:
        say(f"training a {title} to serve, once; takes a minute or two")
        _run("train", *TRAINED[title], "--out", str(folder / "run"), "--quiet")
        _run("export", str(folder / "run"), "--name", "served", "--variants", "onnx-fp32", "--out", str(folder))

    model, *_ = TRAINED[title]
    return cached(f"bench-serve/{model}-{FORMAT}", fill) / "served"


def _run(*arguments: str) -> None:
    command = [sys.executable, "-m", "app", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed: {done.stderr.strip()[-500:]}")
