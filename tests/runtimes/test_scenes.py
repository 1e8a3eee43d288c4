"""Boxes and masks from MediaPipe Tasks, of the files as they are, beside those from our own runner."""

import numpy as np
import pytest

from app.export.export import export
from app.metrics.detection import overlaps
from app.runners import open_file, run_pictures
from tests import small_run
from tests.runtimes.environments import MEDIAPIPE
from tests.runtimes.prove import ROOT, finish

PICTURES = 50
SCRIPT = ROOT / "tests" / "runtimes" / "inside" / "run_mediapipe_scenes.py"
PHONES = ("tflite-fp32", "tflite-fp16", "tflite-dynamic")


@pytest.fixture(scope="session")
def mediapipe(install):
    install(MEDIAPIPE)


@pytest.fixture(scope="module")
def pictures():
    return small_run.shapes(PICTURES, 9)[0]


def asked(kind, file, pictures, folder):
    np.savez(folder / "pictures.npz", pictures=pictures)
    finish(MEDIAPIPE, [str(SCRIPT), kind, str(file), str(folder / "pictures.npz"), str(folder / "answers.npz")], "MediaPipe")
    with np.load(folder / "answers.npz") as found:
        return dict(found)


@pytest.mark.slow
@pytest.mark.parametrize("variant", PHONES)
def test_mediapipe_finds_the_boxes_that_the_file_finds_here(mediapipe, pictures, tmp_path, variant):
    release = export(small_run.detection_run(), tmp_path, variants=(variant,), say=lambda line: None)
    [file] = release.files
    found = asked("detection", release.folder / file.path, pictures, tmp_path)
    ours = run_pictures(open_file(release.folder / file.path, "tflite"), pictures)
    places, compared = found["values"][:, 0].astype(int), 0
    for number in range(PICTURES):
        here = places == number
        labels, rows = found["labels"][here], found["values"][here]
        theirs = np.stack([rows[:, 3], rows[:, 2], rows[:, 3] + rows[:, 5], rows[:, 2] + rows[:, 4]], axis=-1)
        for box, kind, score in zip(ours["boxes"][number], ours["classes"][number], ours["scores"][number], strict=True):
            if score < 0.25:
                break
            # MediaPipe cuts corner and size down to whole pixels, which are large here.
            corner, size = (box[:2] * small_run.SIDE).astype(int), ((box[2:] - box[:2]) * small_run.SIDE).astype(int)
            expected = np.concatenate([corner, corner + size])[None].astype(float)
            overlap = overlaps(expected, theirs)[0] * (labels == release.classes[int(kind)])
            best = int(overlap.argmax())
            assert overlap[best] > 0.95, (number, box)
            assert abs(rows[best, 1] - score) < 0.01
            compared += 1
    assert compared > PICTURES


@pytest.mark.slow
@pytest.mark.parametrize("variant", [*PHONES, "tflite-int8"])
def test_mediapipe_gives_the_masks_that_the_file_gives_here(mediapipe, pictures, tmp_path, variant):
    release = export(small_run.segmentation_run(), tmp_path, variants=(variant,), say=lambda line: None)
    [file] = release.files
    found = asked("segmentation", release.folder / file.path, pictures, tmp_path)
    ours = run_pictures(open_file(release.folder / file.path, "tflite"), pictures)["masks"]
    assert found["labels"].tolist() == list(release.classes)
    assert (found["masks"] == ours.argmax(axis=-1)).mean() > 0.99
    assert np.abs(found["sure"] - ours).mean() < 0.005
