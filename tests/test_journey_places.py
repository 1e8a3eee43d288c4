"""From a person's boxes or masks to a picture that is drawn on: one command a step, on folders that nobody has seen."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.data.catalog import scenes

ROOT = Path(__file__).parents[1]
PICTURES = 40

pytestmark = pytest.mark.slow


def app(*arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "app", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_voc(folder):
    """Digits as a person marks things of one kind: no lists, 96x64 pixels."""
    for place in ("Annotations", "JPEGImages"):
        (folder / place).mkdir(parents=True)
    pictures = scenes.load(0, "detection").compose(64, 96).splits["train"]
    for number in range(PICTURES):
        Image.fromarray(pictures.read(number)[..., 0]).save(folder / f"JPEGImages/p{number}.jpg")
        rows = pictures.labels[number]
        things = "".join(
            "<object><name>digit</name><bndbox>"
            + "".join(f"<{edge}>{round(at)}</{edge}>" for edge, at in zip(("ymin", "xmin", "ymax", "xmax"), box, strict=True))
            + "</bndbox></object>"
            for box in rows[rows[:, 4] >= 0, :4] * (64, 96, 64, 96) + (1, 1, 0, 0)
        )
        (folder / f"Annotations/p{number}.xml").write_text(f"<annotation><filename>p{number}.jpg</filename>{things}</annotation>")


def write_masks(folder):
    """Ink and paper, under names of a person's own."""
    for place in ("images", "masks"):
        (folder / place).mkdir(parents=True)
    pictures = scenes.load(0, "segmentation").compose(64, 96).splits["train"]
    for number in range(PICTURES):
        Image.fromarray(pictures.read(number)[..., 0]).save(folder / f"images/p{number}.png")
        Image.fromarray((pictures.mask(number) > 0).astype(np.uint8)).save(folder / f"masks/p{number}.png")
    (folder / "classes.txt").write_text("paper\nink\n")


@pytest.mark.parametrize(
    ("write", "model", "size", "metric", "classes"),
    [
        (write_voc, "yolo_v5_tiny", "64x96", "map50", ["digit"]),
        (write_masks, "unet_small", "64x96", "miou", ["paper", "ink"]),
    ],
)
def test_a_folder_of_ones_own_goes_all_the_way(tmp_path, write, model, size, metric, classes):
    write(tmp_path / "mine")
    flags = ("--image-size", size, "--epochs", 4, "--warmup", 1, "--batch-size", 8, "--out", "runs/mine")
    said = app("train", model, "mine", *flags, cwd=tmp_path)
    assert "30 train + 4 val + 6 test pictures" in said
    record = json.loads((tmp_path / "runs/mine/config.json").read_text())
    assert record["classes"] == classes
    assert record["input_shape"] == [64, 96, 3]
    assert metric in json.loads((tmp_path / "runs/mine/metrics.json").read_text())["test"]
    assert (tmp_path / "runs/mine/report/index.html").exists()
    tolerance = ("--tolerance", 100)  # hardly trained, it answers by thin margins
    app("export", "runs/mine", "--variants", "onnx-fp32", "tflite-fp32", *tolerance, cwd=tmp_path)
    release = f"exported/{model}-mine"
    assert "passed" in app("verify", release, cwd=tmp_path)
    [row] = json.loads(app("evaluate", "runs/mine", "--json", cwd=tmp_path))
    assert row[metric] == json.loads((tmp_path / "runs/mine/metrics.json").read_text())["test"][metric]
    picture = next((tmp_path / release / "1/samples").glob("*.png"))
    answer = json.loads(app("predict", release, picture, "--json", "--draw", "drawn", cwd=tmp_path).splitlines()[0])
    assert ("boxes" in answer) == (metric == "map50")
    drawn = Image.open(next((tmp_path / "drawn").glob("*.png")))
    assert drawn.width % 96 == 0  # small pictures are enlarged, so that what is drawn can be read
    assert drawn.height >= drawn.width * 64 // 96  # a mask has its legend below it
    assert len(drawn.convert("RGB").getcolors(2**20)) > 10
