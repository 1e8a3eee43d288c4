"""A table of what a release answers in runtimes that nobody here wrote: python -m tests.runtimes.prove RUN RELEASE."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import UserError
from app.images import with_channels
from app.release import Artifact, Release, find_release
from app.runners import open_file, run_pictures
from app.runs import Run
from app.tables import table
from tests.runtimes import environments
from tests.runtimes.environments import ROOT, Environment, Unreachable

RUN_SECONDS = 600  # bad metadata can hang a process
TIE = 1e-6
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Runtime:
    """A runtime in an environment of its own.

    Args:
        script: in `inside`; takes a file, pictures and where the answers go.
        takes: which files of a release are meant for it.
    """

    name: str
    environment: Environment
    script: str
    takes: Callable[[Artifact], bool]


@dataclass(frozen=True)
class Proof:
    """What a runtime answered to a file.

    Args:
        with_file: share of the pictures whose answer is that of LiteRT or ONNX Runtime, with the same file.
        with_keras: share whose answer is the trained network's.
        difference: the largest of any probability from LiteRT's or ONNX Runtime's.
    """

    runtime: str
    path: str
    pictures: int
    with_file: float
    with_keras: float
    difference: float
    note: str


RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime("MediaPipe Tasks", environments.MEDIAPIPE, "run_mediapipe.py", lambda file: _tflite(file) and not _micro(file)),
        Runtime("LiteRT CompiledModel", environments.SERVING, "run_compiled.py", lambda file: _tflite(file)),
        Runtime("TensorFlow Lite Micro", environments.MICRO, "run_micro.py", lambda file: _micro(file)),
        Runtime("OpenVINO", environments.OPENVINO, "run_openvino.py", lambda file: file.format == "onnx"),
        Runtime("OpenCV dnn", environments.OPENCV, "run_opencv.py", lambda file: file.format == "onnx"),
    )
}


def _tflite(file: Artifact) -> bool:
    return file.format == "tflite"


def _micro(file: Artifact) -> bool:
    return _tflite(file) and file.input_dtype == "int8"


def prove(runtime: Runtime, release: Release, path: str, heldout: dict[str, Array]) -> Proof:
    """A file of a release in a runtime, beside our own runner and the trained network.

    Args:
        heldout: `images` and `probabilities`, as a run keeps them.
    Raises:
        Unreachable: the runtime is not installed and cannot be fetched.
        RuntimeError: it refused the file, failed or hung.
    """
    file = release.file(path)
    assert file is not None
    runner = open_file(release.folder / path, file.format)
    [expected] = run_pictures(runner, heldout["images"]).values()
    found, answers, note = answer(
        runtime, release.folder / path, with_channels(heldout["images"], runner.input_shape[2]), release.classes
    )
    return Proof(
        runtime=runtime.name,
        path=path,
        pictures=len(expected),
        with_file=same_answers(answers, expected),
        with_keras=same_answers(answers, heldout["probabilities"]),
        difference=float(np.abs(found - expected).max()),
        note=note,
    )


def answer(runtime: Runtime, file: Path, pictures: Array, classes: tuple[str, ...]) -> tuple[Array, Array, str]:
    """Probabilities, the likeliest classes' numbers, and a note, as a foreign runtime has them."""
    with tempfile.TemporaryDirectory() as place:
        asked, told = Path(place) / "pictures.npz", Path(place) / "answers.npz"
        np.savez(asked, pictures=pictures)
        script = Path(__file__).parent / "inside" / runtime.script
        finish(runtime.environment, [str(script), str(file), str(asked), str(told)], runtime.name)
        with np.load(told) as kept:
            answers = dict(kept)
    probabilities, note = answers["probabilities"], str(answers["note"])
    if "labels" not in answers:
        return probabilities, probabilities.argmax(axis=1), note
    labels = [str(label) for label in answers["labels"]]
    if strange := set(labels) - set(classes):
        raise RuntimeError(f"{runtime.name} has the labels {sorted(strange)}, which are no classes of the release")
    named = np.zeros((len(probabilities), len(classes)), np.float32)
    named[:, [classes.index(label) for label in labels]] = probabilities
    return named, np.array([classes.index(str(label)) for label in answers["first"]]), note


def finish(environment: Environment, command: list[str], name: str) -> str:
    """What a command prints in an environment.

    Raises:
        RuntimeError: it failed, or took too long.
    """
    try:
        done = subprocess.run(
            [str(environment.python()), *command], cwd=ROOT, capture_output=True, text=True, timeout=RUN_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{name} did not end within {RUN_SECONDS} s") from None
    if done.returncode:
        raise RuntimeError(f"{name} failed ({done.returncode}): {done.stderr.strip()[-1000:]}")
    return done.stdout


def same_answers(answers: Array, probabilities: Array) -> float:
    """The share of pictures whose answer is a likeliest class; of two as likely, each is.

    Shapes: [N], [N, classes].
    """
    given = probabilities[np.arange(len(answers)), answers]
    return float((given >= probabilities.max(axis=1) - TIE).mean())


def proofs(run: Run, release: Release, pictures: int) -> Iterator[Proof | tuple[str, str, str]]:
    """Every file in every runtime that it is meant for; where there is none, runtime, file and why."""
    heldout = {name: values[:pictures] for name, values in run.arrays("heldout").items()}
    for runtime in RUNTIMES.values():
        for file in filter(runtime.takes, release.files):
            try:
                yield prove(runtime, release, file.path, heldout)
            except (RuntimeError, Unreachable) as error:
                yield runtime.name, file.path, str(error)


def verify_without_frameworks(release: Release) -> str:
    """What `python -m app verify` says of a release where neither TensorFlow nor Keras is installed."""
    return finish(environments.SERVING, ["-m", "app", "verify", str(release.folder.resolve())], "python -m app verify")


def main() -> int:
    """Prints the table; 1 if a runtime failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("release", metavar="RELEASE")
    parser.add_argument("--pictures", type=int, default=500, help="of the run's held-out ones; default: 500")
    given = parser.parse_args()
    try:
        run, release = Run(Path(given.run)), find_release(given.release)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    rows, failures = [], []
    for proof in proofs(run, release, given.pictures):
        if isinstance(proof, Proof):
            shares = [f"{100 * share:.1f} %" for share in (proof.with_file, proof.with_keras)]
            rows.append((proof.runtime, proof.path, proof.pictures, *shares, f"{proof.difference:.1e}", proof.note))
        else:
            rows.append((*proof[:2], None, None, None, None, "failed"))
            failures.append(": ".join(proof))
    print(table(("runtime", "file", "pictures", "as the file", "as Keras", "difference", "note"), rows))
    try:
        print("\nwithout TensorFlow and Keras:", verify_without_frameworks(release), sep="\n")
    except (RuntimeError, Unreachable) as error:
        failures.append(str(error))
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
