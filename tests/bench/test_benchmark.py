import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.bench import measure
from app.bench.engines import ENGINES
from app.bench.measure import Settings, benchmark
from app.bench.worker import Broken, Opened, Remote, Round, Task
from app.errors import UserError
from app.export.samples import read_answers
from app.images import load_picture, with_channels
from app.release import hashes, read_release, write_release

ROOT = Path(__file__).parents[2]
LIGHT = ("onnxruntime", "litert")  # start in less than a second


@pytest.fixture(scope="module")
def pictures(release):
    paths, _ = read_answers(release.folder)
    return np.stack([load_picture(release.folder / path, release.picture_shape) for path in paths])


@pytest.fixture
def copied(release, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(release.folder, folder)
    return folder


def without(release, *paths):
    """The release as if it had these files alone."""
    return replace(release, files=tuple(file for file in release.files if file.path in paths))


def good(artifact, answers):
    return True, "as recorded"


class Stand:
    """Stands in for a process: notes what it is asked, and takes as long as it is told."""

    def __init__(self, task, asked, fails=""):
        self.task, self.asked, self.fails, self.closed = task, asked, fails, False

    def ask(self, what, *arguments):
        self.asked.append((what, self.task.path.name, self.task.threads, *arguments))
        if what == self.fails:
            raise Broken("out of order")
        return {
            "load": lambda: Opened(0.25, 2**20),
            "round": lambda count: Round((0.002,) * count, 0.003),
            "batch": lambda size, count: 3.0 if size == 16 else 0.004,
            "answers": lambda: {"probabilities": np.zeros((1, 10))},
        }[what](*arguments)

    def close(self):
        self.closed = True


def stands(asked, fails=None):
    """What makes them, and those that were made."""
    made = []

    def start(task):
        made.append(Stand(task, asked, (fails or {}).get(task.path.name, "")))
        return made[-1]

    return start, made


def test_the_files_take_turns_and_every_other_round_goes_backwards(release, pictures):
    asked = []
    start, made = stands(asked)
    two = without(release, "model-fp32.tflite", "model-int8.tflite")
    benchmark(two, pictures, good, Settings(7, 3, (1, 2), LIGHT), lambda line: None, start)
    forwards = [("model-fp32.tflite", 1), ("model-fp32.tflite", 2), ("model-int8.tflite", 1), ("model-int8.tflite", 2)]
    rounds = [(name, threads) for what, name, threads, *_ in asked if what == "round"]
    assert rounds == forwards + forwards[::-1] + forwards
    assert all(one[3] == 7 for one in asked if one[0] == "round")
    assert all(stand.closed for stand in made)


def test_the_figures_are_those_of_the_processes(release, pictures):
    start, _ = stands([])
    found = benchmark(without(release, "model.onnx"), pictures, good, Settings(5, 3, (1, 2), LIGHT), lambda line: None, start)
    (row,) = found.rows
    assert (row.load_ms, row.memory_bytes, row.status, row.detail) == (250, 2**20, "passed", "as recorded")
    assert [(one.threads, one.median_ms, one.p95_ms, one.cpu_ms) for one in row.timings] == [(1, 2, 2, 3), (2, 2, 2, 3)]
    assert (row.throughput.batch, row.throughput.pictures_per_second, row.throughput.threads) == (4, 1000, 2)
    assert (row.metric, row.agreement) == (release.file("model.onnx").metric, release.file("model.onnx").agreement)


def test_batches_are_tried_on_most_threads_where_the_runtime_takes_them_until_one_is_slow(release, pictures):
    asked = []
    start, _ = stands(asked)
    two = without(release, "model.onnx", "model-fp32.tflite")
    benchmark(two, pictures, good, Settings(5, 1, (1, 2), LIGHT), lambda line: None, start)
    assert [one for one in asked if one[0] == "batch"] == [("batch", "model.onnx", 2, 4, 5), ("batch", "model.onnx", 2, 16, 5)]


@pytest.mark.parametrize("fails", ["load", "round", "answers"])
def test_a_process_that_fails_does_not_end_the_others(release, pictures, fails):
    start, made = stands([], {"model-fp32.tflite": fails})
    two = without(release, "model-fp32.tflite", "model-int8.tflite")
    found = benchmark(two, pictures, good, Settings(5, 2, (1,), LIGHT), lambda line: None, start)
    status = {row.path: (row.status, row.detail, len(row.timings)) for row in found.rows}
    assert status == {"model-fp32.tflite": ("failed", "out of order", 0), "model-int8.tflite": ("passed", "as recorded", 1)}
    assert all(stand.closed for stand in made)


def test_a_file_that_answers_otherwise_fails_with_its_figures(release, pictures):
    start, _ = stands([])
    found = benchmark(
        without(release, "model.onnx"),
        pictures,
        lambda *_: (False, "off by one"),
        Settings(5, 2, (1,), LIGHT),
        lambda line: None,
        start,
    )
    assert [(row.status, row.detail, len(row.timings)) for row in found.rows] == [("failed", "off by one", 1)]


def test_broken_files_fail_and_the_others_are_measured(copied, pictures):
    (copied / "model-fp16.tflite").write_bytes(b"no network")
    release = read_release(copied)
    files = tuple(replace(file, sha256=hashes(copied / file.path)) for file in release.files)
    write_release(replace(release, files=files))
    (copied / "model-int8.tflite").write_bytes(b"altered after that")
    three = without(read_release(copied), "model-fp16.tflite", "model-int8.tflite", "model.onnx")
    found = benchmark(three, pictures, good, Settings(3, 2, (1,), LIGHT), lambda line: None)
    status = {row.path: row for row in found.rows}
    assert {path: row.status for path, row in status.items()} == {
        "model-fp16.tflite": "failed", "model-int8.tflite": "failed", "model.onnx": "passed",
    }  # fmt: skip
    assert "was altered after the release was verified" in status["model-int8.tflite"].detail
    assert status["model-fp16.tflite"].detail
    assert "\n" not in status["model-fp16.tflite"].detail
    measured = status["model.onnx"]
    assert measured.throughput.batch in (1, 4, 16, 64)
    assert len(measured.timings[0].rounds_ms) == 2
    assert min(measured.load_ms, measured.memory_bytes, measured.timings[0].cpu_ms, *measured.timings[0].rounds_ms) > 0


def test_a_runtime_that_is_not_here_is_not_executed(release, pictures, monkeypatch):
    found_spec = measure.find_spec
    monkeypatch.setattr(measure, "find_spec", lambda name: None if name == "tensorflow" else found_spec(name))
    start, made = stands([])
    found = benchmark(without(release, "saved_model"), pictures, good, Settings(3, 2, (1,)), lambda line: None, start)
    assert [(row.status, row.detail) for row in found.rows] == [("not executed", "TensorFlow is not installed here")]
    assert not made


def test_runtimes_that_take_no_file_of_the_release_are_told(release, pictures):
    with pytest.raises(UserError, match="none takes a file of this release, which has onnx"):
        benchmark(without(release, "model.onnx"), pictures, good, Settings(engines=("litert",)))
    with pytest.raises(UserError, match="no runtime 'lite'; did you mean litert"):
        Settings(engines=("lite",))


@pytest.mark.parametrize("name", ["onnxruntime", "litert", "tensorflow"])
def test_every_engine_answers_as_the_release_recorded(release, pictures, name):
    _, recorded = read_answers(release.folder)
    files = [file for file in release.files if file.format == ENGINES[name].format]
    assert files
    for file in files:
        session = ENGINES[name].open(release.folder / file.path, 1)
        pixels = with_channels(pictures, session.input_shape[2]).astype(np.float32)
        stored = [session.store(picture[None]) for picture in pixels]
        assert str(stored[0].dtype) == file.input_dtype  # so that no conversion is timed
        found = np.concatenate([session.read(session.answer(one))["probabilities"] for one in stored])
        assert np.abs(found - recorded[file.path]["probabilities"]).max() < 2e-3, file.path


@pytest.mark.parametrize("path", ["model-int8.tflite", "model-mcu.tflite"])
def test_the_compiled_engine_answers_as_the_release_recorded(release, pictures, path):
    """In a process of its own, because it writes on the screen until it ends."""
    remote = Remote(Task(release.folder / path, "litert-compiled", 1, pictures))
    try:
        remote.ask("load")
        found = remote.ask("answers")["probabilities"]
    finally:
        remote.close()
    _, recorded = read_answers(release.folder)
    assert np.abs(found - recorded[path]["probabilities"]).max() < 2e-3


def test_a_process_that_is_killed_is_told_with_its_signal(release, pictures):
    remote = Remote(Task(release.folder / "model.onnx", "onnxruntime", 1, pictures))
    try:
        assert remote.ask("load").load_seconds > 0
        assert len(remote.ask("round", 4).seconds) == 4
        assert remote.ask("answers")["probabilities"].shape == (len(pictures), 10)
        os.kill(remote._process.pid, signal.SIGKILL)
        with pytest.raises(Broken, match="its process ended by SIGKILL"):
            remote.ask("round", 4)
    finally:
        remote.close()


def app(*arguments):
    return subprocess.run([sys.executable, "-m", "app", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_the_command_prints_json_and_draws(release, tmp_path):
    plot = tmp_path / "plots" / "bench.png"
    few = ["--pictures", "3", "--rounds", "2", "--threads", "1", "--runtimes", "onnxruntime"]
    done = app("benchmark", str(release.folder.parent), "--json", "--plot", str(plot), *few)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert set(found) == {"release", "version", "metric", "machine", "settings", "files", "costs", "ratios"}
    assert (found["release"], found["version"], found["metric"]) == (release.name, release.version, "accuracy")
    assert found["settings"] == {"pictures": 3, "rounds": 2, "threads": [1]}
    assert [file["path"] for file in found["files"]] == [file.path for file in release.files if file.format == "onnx"]
    for file in found["files"]:
        assert file["status"] == "passed", file["detail"]
        assert file["detail"].startswith("16 samples, at most ")
        assert set(file["timings"][0]) == {"threads", "median_ms", "p95_ms", "cpu_ms", "rounds_ms"}
        assert set(file["throughput"]) == {"pictures_per_second", "batch", "threads"}
    assert [(one["path"], one["to"], one["threads"]) for one in found["ratios"]] == [("model-int8.onnx", "model.onnx", 1)]
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_the_command_tells_what_failed_and_measures_the_rest(copied):
    (copied / "model-int8.onnx").write_bytes(b"altered")
    done = app("benchmark", str(copied), "--pictures", "2", "--rounds", "1", "--threads", "1", "--runtimes", "onnxruntime")
    assert done.returncode == 2
    assert done.stderr == f"convoy: {copied}: model-int8.onnx in ONNX Runtime failed; export it again\n"
    assert "model-int8.onnx in ONNX Runtime: failed: " in done.stdout
    assert done.stdout.count("passed") == 2


def test_wrong_flags_are_told_before_anything_is_measured(release):
    for flags, told in (
        (["--plot", "x.pdf"], "give a name that ends in .png"),
        (["--rounds", "0"], "--rounds 0 is too small"),
        (["--runtimes", "tflite"], "no runtime 'tflite'"),
    ):
        done = app("benchmark", str(release.folder), *flags)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert told in done.stderr
