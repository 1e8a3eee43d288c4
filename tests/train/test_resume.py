"""A training that is killed at any moment and gone on with ends with the weights of one that was never touched."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = {"limit": 320, "epochs": 8, "ema": 0.9, "early-stopping": 6, "dropout": 0.2, "label-smoothing": 0.1, "seed": 3}
TRAIN = ["train", "lenet5", "digits", *(text for name, value in SETTINGS.items() for text in (f"--{name}", str(value)))]
KILLED = -signal.SIGKILL


def command(python: Path | str, *arguments: str) -> list[str]:
    return [str(python), "-m", "app", *arguments]


def hash_of(run: Path) -> str:
    """Of every weight, average, moment and random state at the end, and of the weights that were kept."""
    import h5py

    digest = hashlib.sha256()
    with np.load(run / "state.npz") as state:
        for name in sorted(set(state.files) - {"progress"}):
            digest.update(name.encode() + state[name].tobytes())
    with zipfile.ZipFile(run / "best.keras") as packed:
        unpacked = packed.read("model.weights.h5")
    copy = run / "best.weights.h5"
    copy.write_bytes(unpacked)
    with h5py.File(copy) as file:
        file.visititems(lambda name, item: digest.update(name.encode() + item[()].tobytes()) if hasattr(item, "shape") else None)
    return digest.hexdigest()


def finish(python: Path | str, run: Path, environment: dict[str, str], *flags: str, training: Sequence[str] = TRAIN[1:]) -> None:
    done = subprocess.run(
        command(python, "train", *training, *flags, "--out", str(run), "--resume"),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def killed_after(
    python: Path | str,
    run: Path,
    environment: dict[str, str],
    epochs: int,
    seconds: float,
    *flags: str,
    training: Sequence[str] = TRAIN[1:],
) -> int | None:
    """Starts or goes on, waits for so many epoch lines and then seconds, kills. Gives the exit code; None: it still ran."""
    process = subprocess.Popen(
        command(python, "train", *training, *flags, "--out", str(run), "--resume"),
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    seen = 0
    while seen < epochs:
        line = process.stdout.readline()
        if not line:
            break
        seen += line.startswith("epoch")
    drained = threading.Thread(target=process.stdout.read, daemon=True)
    drained.start()
    time.sleep(seconds)
    process.kill()
    code = process.wait()
    drained.join()
    return code


def kill_and_resume(python: Path | str, folder: Path, environment: dict[str, str], kills: int, *flags: str) -> None:
    """Kills at random moments, in as many runs as it takes; every run has to end as the untouched one."""
    whole = folder / "whole"
    finish(python, whole, environment, *flags)
    expected = hash_of(whole)
    rng = random.Random(5)
    done, number = 0, 0
    while done < kills:
        run = folder / f"killed-{number}"
        while done < kills:
            epochs, seconds = rng.choice([(0, rng.uniform(0, 8)), (1, rng.uniform(0, 0.6)), (2, rng.uniform(0, 0.6))])
            if killed_after(python, run, environment, epochs, seconds, *flags) != KILLED:
                break  # it ended before it could be killed
            done += 1
        finish(python, run, environment, *flags)
        assert hash_of(run) == expected
        assert (run / "metrics.json").exists()
        rows = (run / "history.csv").read_text().splitlines()
        assert [row.split(",")[0] for row in rows[1:]] == [str(epoch) for epoch in range(1, len(rows))]
        number += 1


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}


def test_a_run_killed_twice_ends_like_one_never_touched(tmp_path, environment):
    finish(sys.executable, tmp_path / "whole", environment)
    run = tmp_path / "killed"
    assert killed_after(sys.executable, run, environment, 2, 0.05) == KILLED
    epochs_before = len((run / "history.csv").read_text().splitlines()) - 1
    assert epochs_before < 8
    assert killed_after(sys.executable, run, environment, 1, 0.3) == KILLED
    finish(sys.executable, run, environment)
    assert hash_of(run) == hash_of(tmp_path / "whole")


def test_a_kill_in_the_middle_of_writing_the_state_leaves_the_state_before(tmp_path, environment):
    finish(sys.executable, tmp_path / "whole", environment)
    run = tmp_path / "killed"
    saboteur = f"""
import os, signal, sys
import numpy as np
sys.argv = ["app"]
real, calls = np.savez, []
def half(file, **arrays):
    calls.append(file)
    if len(calls) == 3:
        real(file, **arrays)
        with open(file, "r+b") as written:
            written.truncate(os.path.getsize(file) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    real(file, **arrays)
np.savez = half
from app.cli import main
raise SystemExit(main({[*TRAIN, "--out", str(run)]!r}))
"""
    code = subprocess.run([sys.executable, "-c", saboteur], cwd=ROOT, env=environment, capture_output=True).returncode
    assert code == KILLED
    with np.load(run / "state.npz") as state:
        assert len(json.loads(str(state["progress"]))["rows"]) == 2
    finish(sys.executable, run, environment)
    assert hash_of(run) == hash_of(tmp_path / "whole")
    assert not list(run.glob(".*partial*"))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["yolo_v5_tiny", "faster_rcnn_small", "unet_small"])
def test_a_killed_training_on_boxes_or_masks_ends_like_one_never_touched(tmp_path, environment, model):
    settings = {"limit": 24, "epochs": 3, "batch-size": 8, "warmup": 0.5, "augment": "scenes", "image-size": 64}
    training = [model, "scenes", *(text for name, value in settings.items() for text in (f"--{name}", str(value)))]
    finish(sys.executable, tmp_path / "whole", environment, training=training)
    run = tmp_path / "killed"
    assert killed_after(sys.executable, run, environment, 1, 0.2, training=training) == KILLED
    finish(sys.executable, run, environment, training=training)
    assert hash_of(run) == hash_of(tmp_path / "whole")


def test_sigterm_says_how_to_go_on(tmp_path, environment):
    run = tmp_path / "run"
    process = subprocess.Popen(
        command(sys.executable, *TRAIN, "--out", str(run)), cwd=ROOT, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    while not process.stdout.readline().startswith("epoch"):
        assert process.poll() is None
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    shortest = min(str(run), os.path.relpath(run, ROOT), key=len)
    assert f" -m app train --resume --out {shortest}\n" in errors
    assert "Traceback" not in errors


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_twenty_kills_change_nothing(tmp_path, environment, precision):
    kill_and_resume(sys.executable, tmp_path, environment, 20 if precision == "float32" else 4, "--precision", precision)


@pytest.mark.slow
def test_jax_trains_without_tensorflow_and_its_run_exports_with_it(tmp_path, jax_python):
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    assert subprocess.run([jax_python, "-c", "import tensorflow"], capture_output=True).returncode != 0
    run = tmp_path / "run"
    train = command(jax_python, "train", "lenet5", "digits", "--out", str(run))
    done = subprocess.run(train, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "metrics.json").read_text())["test"]["accuracy"] > 0.97
    assert json.loads((run / "config.json").read_text())["backend"] == "jax"
    export = command(sys.executable, "export", str(run), "--out", str(tmp_path / "exported"))
    done = subprocess.run(export, cwd=ROOT, env={**os.environ, "KERAS_BACKEND": "tensorflow"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "exported/lenet5-digits/1/release.json").exists()


@pytest.mark.slow
def test_twenty_kills_change_nothing_on_jax(tmp_path, jax_python):
    kill_and_resume(jax_python, tmp_path, {**os.environ, "KERAS_BACKEND": "jax"}, 20)
