"""The whole way, as a person goes it: train, look, compare, export, verify, ask."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


def app(*arguments: str, cwd: Path = ROOT) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "app", *arguments], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a LeNet-5 that was trained on the digits by the default recipe, and its release."""
    place = tmp_path_factory.mktemp("journey")
    told = app("train", "lenet5", "digits", cwd=place)
    assert "python -m app export runs/lenet5-digits-" in told
    told = app("export", "runs/latest", cwd=place)
    assert "released: exported/lenet5-digits/1" in told
    assert " -m app predict exported/lenet5-digits" in told
    return place


@pytest.fixture(scope="module")
def pictures(place) -> Path:
    """Twenty test digits as PNG files in a folder, named by their class."""
    folder = place / "pictures"
    folder.mkdir()
    with np.load(place / "runs/latest/heldout.npz") as held:
        for i in range(20):
            Image.fromarray(held["images"][i, ..., 0]).save(folder / f"{i:02d}-is-{held['labels'][i]}.png")
    return folder


def test_the_default_training_reaches_99_percent(place):
    metrics = json.loads((place / "runs/latest/metrics.json").read_text())
    assert metrics["test"]["accuracy"] >= 0.99
    assert metrics["test"]["pictures"] == 360
    assert metrics["parameters"] == 61_706
    assert set(metrics["test"]["classes"]) == set("0123456789")


def test_a_run_folder_has_all_its_files(place):
    run = place / "runs/latest"
    names = {file.name for file in run.iterdir()}
    assert names >= {
        "config.json",
        "history.csv",
        "best.keras",
        "state.npz",
        "metrics.json",
        "calibration.npz",
        "heldout.npz",
        "report",
    }
    assert (run / "report/index.html").exists()
    assert len(list(run.glob("report/*.png"))) >= 3
    record = json.loads((run / "config.json").read_text())
    assert record["config"]["model"] == "lenet5"
    assert record["versions"]["keras"]
    assert record["data"]["fingerprint"]


def test_a_release_holds_every_format_and_verifies(place):
    release = place / "exported/lenet5-digits/1"
    manifest = json.loads((release / "release.json").read_text())
    assert [file["path"] for file in manifest["files"]] == [
        "saved_model", "model-fp32.tflite", "model-fp16.tflite", "model-dynamic.tflite", "model-int8.tflite", "model-mcu.tflite",
        "model.onnx", "model-fp16.onnx", "model-int8.onnx",
    ]  # fmt: skip
    assert manifest["input"]["shape"][1:] == [32, 32, 3]
    assert {file["path"] for file in manifest["files"] if file["input_dtype"] == "uint8"} == {"model-int8.tflite"}
    assert app("verify", "exported/lenet5-digits", cwd=place).count("passed") == 9


def test_evaluate_gives_the_figures_of_the_run_and_of_every_file(place):
    reached = json.loads((place / "runs/latest/metrics.json").read_text())["test"]["accuracy"]
    rows = json.loads(app("evaluate", "runs/latest", "--json", cwd=place))
    assert [row["accuracy"] for row in rows] == [reached]
    rows = json.loads(app("evaluate", "exported/lenet5-digits", "--json", cwd=place))
    assert len(rows) == 9
    assert all(abs(row["accuracy"] - reached) <= 0.01 for row in rows)


@pytest.mark.parametrize("source", ["runs/latest", "exported/lenet5-digits", "exported/lenet5-digits/1/model-int8.tflite"])
def test_predict_answers_about_pictures(place, pictures, source):
    lines = app("predict", source, "pictures", "--json", cwd=place).splitlines()
    answers = [json.loads(line) for line in lines]
    assert len(answers) == 20
    right = sum(answer["labels"][0]["label"] == answer["path"].split("-is-")[1][0] for answer in answers)
    assert right >= 19
    assert all(len(answer["labels"]) == 5 for answer in answers)


def test_predict_writes_a_table(place, pictures):
    app("predict", "exported/lenet5-digits", "pictures", "--csv", "answers.csv", "--top", "2", cwd=place)
    with (place / "answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    assert {"path", "label", "probability", "label2", "probability2"} <= set(rows[0])


def test_a_colour_picture_of_any_size_is_answered(place, pictures):
    with np.load(place / "runs/latest/heldout.npz") as held:
        large = Image.fromarray(held["images"][0, ..., 0]).resize((300, 200)).convert("RGB")
        label = str(held["labels"][0])
    large.save(place / "large.jpg")
    assert app("predict", "exported/lenet5-digits", "large.jpg", "--top", "1", cwd=place).split()[1:2] == [label]


def test_compare_puts_runs_side_by_side(place):
    app("train", "mlp", "digits", "--epochs", "3", "--out", "runs/mlp", cwd=place)
    app("train", "mlp", "digits", "--epochs", "3", "--seed", "1", "--out", "runs/mlp1", cwd=place)
    told = app("compare", "runs/mlp", "runs/mlp1", "--plot", "both.png", cwd=place)
    assert "mlp" in told
    with Image.open(place / "both.png") as plot:
        assert min(plot.size) > 300


def test_an_altered_release_is_refused_by_name(place):
    altered = place / "altered"
    shutil.copytree(place / "exported/lenet5-digits/1", altered)
    data = bytearray((altered / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (altered / "model.onnx").write_bytes(data)
    for command in (["verify", "altered"], ["predict", "altered", "large.jpg"]):
        done = subprocess.run(
            [sys.executable, "-m", "app", *command],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert "model.onnx" in done.stderr


def test_a_folder_of_pictures_trains_and_exports(place, pictures):
    for split, count in (("train", 6), ("test", 2)):
        for name in ("zero", "one"):
            folder = place / "mine" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                value = np.random.default_rng((i, count)).integers(0, 60, (50, 40, 3), np.uint8)
                value[..., 0 if name == "zero" else 2] += 150
                Image.fromarray(value).save(folder / f"{i}.jpg")
    told = app(
        "train", "cnn", "mine", "--epochs", "8", "--image-size", "24", "--batch-size", "4", "--out", "runs/mine", cwd=place
    )
    assert "test accuracy 100.00 %" in told
    app("export", "runs/mine", "--variants", "onnx-fp32", "tflite-fp32", cwd=place)
    assert '"zero"' in app("predict", "exported/cnn-mine", "mine/test/zero/0.jpg", "--json", cwd=place)
