"""What finding boxes costs: the files without their ends, and how they are timed."""

import shutil

import numpy as np
import pytest

from app.bench.boxes import costs
from app.bench.measure import Settings
from app.bench.worker import Broken, Round
from app.export.body import write_body
from app.runners.litert import LiteRtRunner
from app.runners.onnx import OnnxRunner
from tests import small_run

LIGHT = ("onnxruntime", "litert")
QUICK = Settings(3, 2, (1,), LIGHT)


class Stand:
    """Stands in for a process: a file without its end takes half of the time."""

    def __init__(self, task, asked):
        self.task, self.asked, self.closed = task, asked, False
        assert task.path.is_file()

    def ask(self, what, *arguments):
        whole = self.task.path.parent.name == "1"  # the version's folder
        self.asked.append((what, self.task.path.name, whole))
        return Round((0.004 if whole else 0.002,) * 3, 0.0) if what == "round" else None

    def close(self):
        self.closed = True


pytestmark = pytest.mark.slow  # their release takes half a minute to make


def test_the_body_of_a_file_ends_in_raw_heads(detection_release, tmp_path):
    pictures = small_run.shapes(2, 5)[0].astype(np.float32)
    found = []
    for name, runner in (("model.onnx", OnnxRunner), ("model-fp32.tflite", LiteRtRunner)):
        write_body(detection_release.folder / name, tmp_path / name)
        [raw] = runner(tmp_path / name).run(pictures).values()
        assert raw.size == 2 * 8 * 8 * 14
        assert (tmp_path / name).stat().st_size < (detection_release.folder / name).stat().st_size
        found.append(np.sort(raw.ravel()))
    assert np.abs(found[0] - found[1]).max() < 1e-3, "the same values, in whatever order"
    assert found[0].std() > 0.1


def test_a_detector_is_timed_beside_itself_without_boxes(detection_release):
    asked, made = [], []

    def start(task):
        made.append(Stand(task, asked))
        return made[-1]

    found = list(costs(detection_release, np.zeros((1, 64, 64, 3), np.uint8), shutil.copyfile, QUICK, lambda line: None, start))
    assert [(one.path, one.runtime, one.threads) for one in found] == [
        ("model.onnx", "ONNX Runtime", 1),
        ("model-fp32.tflite", "LiteRT", 1),
    ]
    rounds = [whole for what, name, whole in asked if what == "round" and name == "model.onnx"]
    assert rounds == [True, False, False, True]
    assert all(one.share == 0.5 for one in found)
    assert all(stand.closed for stand in made)


def test_what_has_no_boxes_is_not_timed_for_them(segmentation_release):
    assert not list(costs(segmentation_release, np.zeros((1, 64, 64, 3), np.uint8), pytest.fail, QUICK))


def test_a_process_that_fails_is_told_and_the_next_one_measured(detection_release):
    def start(task):
        stand = Stand(task, [])
        if task.path.suffix == ".onnx":
            raise Broken("out of order")
        return stand

    said = []
    found = list(costs(detection_release, np.zeros((1, 64, 64, 3), np.uint8), shutil.copyfile, QUICK, said.append, start))
    assert [one.path for one in found] == ["model-fp32.tflite"]
    assert "model.onnx in ONNX Runtime: out of order" in said
