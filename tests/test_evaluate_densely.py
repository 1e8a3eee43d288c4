"""Training on windows out of enlarged pictures, and evaluation by sliding over several sizes, from the configuration on."""

import shutil

import numpy as np
import pytest

from app.config import make_config
from app.data.registry import load_data, load_enlarged, load_test
from app.errors import UserError
from app.evaluate import evaluate, evaluate_densely
from app.images import resize
from app.train.fit import fit


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    flags = {"epochs": 1, "warmup": 0.0, "limit": 40, "batch_size": 20, "image_size": 16, "augment": "scales+flip"}
    said = []
    run = fit(make_config("cnn", "digits", flags, {"maps": 4}), tmp_path_factory.mktemp("run"), said.append)
    return run, said


def nothing(line):
    del line


def test_training_pictures_alone_are_stored_at_the_largest_scale(windows):
    run, said = windows
    assert [line.split(",")[0] for line in said if line.startswith("reading 40")] == ["reading 40 pictures of digits at 37x37"]
    assert run.arrays("batch")["images"].shape[1:] == (16, 16, 1)
    assert run.arrays("calibration")["images"].shape[1:] == (16, 16, 1)
    large, small = load_enlarged(run.config, 37, nothing), load_data(run.config, nothing).train
    np.testing.assert_array_equal(large.labels, small.labels)
    shrunk = np.stack([resize(picture, 16, 16) for picture in large.images]).astype(float)
    assert np.abs(shrunk - small.images).mean() < 8


def test_sliding_measures_every_size_and_all_together(windows):
    run, _ = windows
    plain = evaluate(str(run.folder), None, nothing)[0]
    rows = evaluate_densely(str(run.folder), None, (16, 24, 32), nothing)
    assert [row["file"] for row in rows] == [
        "best.keras at 16", "best.keras at 24", "best.keras at 32", "best.keras at 16, 24, 32 together",
    ]  # fmt: skip
    assert {row["pictures"] for row in rows} == {plain["pictures"]} == {40}
    assert all(0 <= row["accuracy"] <= 1 for row in rows)


def test_at_its_own_size_and_unmirrored_sliding_is_the_usual_evaluation(windows, tmp_path):
    shutil.copytree(windows[0].folder, tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    config.write_text(config.read_text().replace("scales+flip", "scales"))
    usual, dense = evaluate(str(config.parent), None, nothing)[0], evaluate_densely(str(config.parent), None, (), nothing)[0]
    figures = set(usual) - {"file"}
    assert {name: usual[name] for name in figures} == {name: dense[name] for name in figures}


def test_the_test_pictures_alone_are_read_at_another_size(windows):
    said = []
    assert len(load_test(windows[0].config, 21, said.append)) == 40
    assert said[0].startswith("reading 40 pictures of digits at 21x21")


def test_a_size_below_the_networks_is_refused(windows):
    with pytest.raises(UserError, match="--scales 12 is smaller than the 16 pixels"):
        evaluate_densely(str(windows[0].folder), None, (12, 24), nothing)
