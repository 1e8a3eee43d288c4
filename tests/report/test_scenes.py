"""Reports about boxes and masks."""

import json
import re
import warnings

import numpy as np
import pytest
from PIL import Image

from app.report.compare import compare
from app.report.page import write_report
from app.runs import Run
from tests.report.conftest import write_scenes_run

PICTURES = {
    "detection": {"curves.png", "precision.png", "confusion.png", "found.png", "worst.png", "batch.png"},
    "segmentation": {"curves.png", "confusion.png", "seen.png", "worst.png", "batch.png"},
}
OBJECTIVES = pytest.mark.parametrize("objective", PICTURES)


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def read(page):
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The report of a plain run of each objective, for tests that only read it."""
    root = tmp_path_factory.mktemp("plain")
    return {objective: write_report(write_scenes_run(root, objective, objective)) for objective in PICTURES}


@OBJECTIVES
def test_a_report_has_its_objectives_pictures(pages, objective):
    page = pages[objective]
    assert {path.name for path in page.parent.iterdir()} == {"index.html"} | PICTURES[objective]
    assert set(re.findall(r'src="([^"]+)"', read(page))) == PICTURES[objective]
    assert all(re.findall(r'alt="([^"]*)"', read(page)))
    for name in PICTURES[objective]:
        with Image.open(page.parent / name) as picture:
            assert 600 < picture.width < 2000
            assert len(picture.convert("RGB").getcolors(2**24)) > 20


@OBJECTIVES
def test_the_page_tells_the_figures(pages, objective):
    test, text = Run(pages[objective].parent.parent).metrics()["test"], read(pages[objective])
    told = {"detection": ("map50", "map", "map75"), "segmentation": ("miou", "foreground_miou", "accuracy")}[objective]
    for key in told:
        assert f"{100 * test[key]:.1f} %" in text
    assert {"detection": "test mAP at IoU .5, on 24 pictures", "segmentation": "test mean IoU, on 24 pictures"}[objective] in text
    first = {"detection": "ap", "segmentation": "iou"}[objective]
    worst = min(test["classes"], key=lambda name: test["classes"][name][first])
    rows = text.split("Class by class")[1]
    assert all(rows.index(f">{worst}</th>") <= rows.index(f">{name}</th>") for name in test["classes"])


def test_the_worst_pictures_are_those_with_the_most_wrong_boxes(make_scenes_run):
    run = make_scenes_run("detection")
    heldout = run.arrays("heldout")
    heldout["labels"][7, :, :4], heldout["labels"][7, :, 4] = [0.7, 0.7, 0.8, 0.9], 0
    heldout["boxes"][7], heldout["scores"][7], heldout["count"][7] = [0, 0, 0.1, 0.1], 0.9, 8
    np.savez(run.folder / "heldout.npz", **heldout)
    worst = read(write_report(run)).split("The worst pictures")[1]
    assert re.search(r"found boxes: ([^;]*);", worst)[1] == "3 missed, 8 where nothing is"


def test_a_detector_without_mistakes_says_so(make_scenes_run):
    run = make_scenes_run("detection")
    heldout = run.arrays("heldout")
    boxes = heldout["labels"]
    heldout |= {"boxes": boxes[..., :4], "classes": boxes[..., 4], "scores": (boxes[..., 4] >= 0).astype(np.float32)}
    np.savez(run.folder / "heldout.npz", **heldout | {"count": (boxes[..., 4] >= 0).sum(axis=1)})
    page = write_report(run)
    assert "None: on all 24 held-out pictures, the boxes are right." in read(page)
    assert not (page.parent / "worst.png").exists()


def test_a_class_without_a_truth_has_a_dash_and_comes_last(make_scenes_run):
    rows = read(write_report(make_scenes_run("detection", classes=("a", "b", "c", "never")))).split("Class by class")[1]
    assert rows.index(">never</th>") > max(rows.index(f">{name}</th>") for name in "abc")
    assert "\u2013" in rows


@OBJECTIVES
def test_many_classes_and_any_script_are_drawn(make_scenes_run, objective):
    names = ("background", "猫", "<b>собака</b>", "$x$", *(f"kind {number}" for number in range(30)))
    text = read(write_report(make_scenes_run(objective, classes=names)))
    assert "<b>" not in text
    assert "the other 9 classes" in text


@OBJECTIVES
def test_a_run_that_has_not_ended_or_lacks_files_has_a_page(make_scenes_run, objective):
    run = make_scenes_run(objective, finished=False)
    assert "not yet" in read(write_report(run))
    (run.folder / "batch.npz").unlink()
    (run.folder / "metrics.json").write_text(json.dumps({"test": {}}))
    text = read(write_report(run))
    assert "not recorded" in text
    assert "None" not in text


@OBJECTIVES
def test_runs_of_one_objective_stand_side_by_side(make_scenes_run, tmp_path, objective):
    runs = [make_scenes_run(objective, name) for name in ("a", "b")]
    comparison = compare(runs, tmp_path / "curves.png")
    metric = {"detection": "map50", "segmentation": "miou"}[objective]
    assert [row["test"] for row in comparison.rows] == [run.metrics()["test"][metric] for run in runs]
    assert f"test {metric}" in comparison.text
    assert (tmp_path / "curves.png").is_file()


def test_runs_of_different_objectives_are_not_compared(make_scenes_run, make_run):
    notes = compare([make_scenes_run("detection"), make_run("b")], None).notes
    assert notes == ["These runs answer different kinds of question: their figures are not comparable."]
