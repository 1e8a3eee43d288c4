import json
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from app.report.page import write_report
from app.runs import Run

SCRIPTS = ("猫", "собака", "$x$ and $y", "कुत्ता", "كلب", "<script>alert(1)</script>", 'quo"te', "two\nlines", "m" * 60, "ไก่")


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def read(page):
    return page.read_text(encoding="utf-8")


def edit(run, file, change):
    path = run.folder / file
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


class Page(HTMLParser):
    """Tags with their attributes; refuses a tag that closes what is not open."""

    VOID = ("meta", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_a_report_is_a_page_and_four_pictures(plain_page):
    assert plain_page.parent.name == "report"
    assert {path.name for path in plain_page.parent.iterdir()} == {
        "index.html", "curves.png", "confusion.png", "mistakes.png", "batch.png",
    }  # fmt: skip
    for path in plain_page.parent.glob("*.png"):
        with Image.open(path) as picture:
            assert 600 < picture.width < 2000
            assert 600 < picture.height < 2500
            assert len(picture.convert("RGB").getcolors(2**24)) > 20


def test_the_page_tells_the_figures(plain_page):
    text, test = read(plain_page), Run(plain_page.parent.parent).metrics()["test"]
    assert "<title>lenet5 on digits</title>" in text
    assert f"{100 * test['accuracy']:.1f} %" in text
    for shown in (
        "360 pictures",
        "61,706",
        "2 min 14 s",
        "20 (best: 18)",
        "CPU (2 cores)",
        "3.15.1",
        "09c4998",
        "5f0c2a",
        "1,200",
    ):
        assert shown in text
    for shown in (f"{test['loss']:.4f}", f"{100 * test['calibration_error']:.1f} %", "2 pictures with equal pixels"):
        assert shown in text


def test_the_class_with_the_lowest_f1_comes_first(plain_page):
    classes = Run(plain_page.parent.parent).metrics()["test"]["classes"]
    worst, best = min(classes, key=lambda c: classes[c]["f1"]), max(classes, key=lambda c: classes[c]["f1"])
    rows = read(plain_page).split("Class by class")[1]
    assert rows.index(f'dir="auto">{worst}</th>') < rows.index(f'dir="auto">{best}</th>')


def test_settings_are_shown_beside_the_recipe(make_run):
    text = read(write_report(make_run(settings={"learning_rate": 0.02})))
    assert "0.02 (recipe: 0.003)" in text
    assert "label-smoothing" in text
    assert "pooling" in text


def test_the_page_is_well_formed_and_reachable_for_all(plain_page):
    page = Page(read(plain_page))
    assert all(image["alt"] and image["width"] and image["height"] for image in page.all("img"))
    assert all(cell["scope"] in ("row", "col") for cell in page.all("th"))
    assert page.all("html") == [{"lang": "en"}]


def test_the_page_loads_nothing_from_elsewhere(plain_page):
    text = read(plain_page)
    assert "http" not in text
    page = Page(text)
    assert not page.all("script")
    assert {image["src"] for image in page.all("img")} == {"curves.png", "confusion.png", "mistakes.png", "batch.png"}


def test_the_next_commands_name_the_run(make_run, tmp_path, monkeypatch):
    run = make_run("my run")
    monkeypatch.chdir(tmp_path)
    text = read(write_report(run))
    assert "python -m app export &#x27;runs/my run&#x27;" in text
    assert "python -m app predict &#x27;runs/my run&#x27; picture.jpg" in text
    assert "python -m app compare &#x27;runs/my run&#x27; OTHER_RUN" in text


def test_names_are_escaped_and_any_script_is_drawn(make_run):
    text = read(write_report(make_run(classes=SCRIPTS, mistakes=40)))
    Page(text)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "<b>" not in text
    assert "猫" in text
    assert "stands there by its number" in text


def test_a_run_without_mistakes_says_so(make_run):
    run = make_run(mistakes=60)
    write_report(run)
    better = make_run("better", mistakes=0)
    (better.folder / "heldout.npz").replace(run.folder / "heldout.npz")
    page = write_report(run)
    assert "None: all 360 held-out pictures were told right." in read(page)
    assert not (page.parent / "mistakes.png").exists()


def test_a_hundred_classes_stay_readable(make_run):
    text = read(write_report(make_run(classes=tuple(f"kind {number}" for number in range(100)), mistakes=90)))
    assert "The most confused pairs" in text
    assert "the other 75 classes" in text


def test_two_classes_have_no_top_five(make_run):
    text = read(write_report(make_run(classes=("cat", "dog"))))
    assert "top 5" not in text


def test_an_older_run_lacks_facts_but_has_a_page(make_run):
    run = make_run()
    edit(run, "config.json", lambda record: [record.pop(key) for key in ("data", "versions", "git_commit", "device", "started")])
    edit(run, "config.json", lambda record: record["config"].clear())
    edit(
        run, "metrics.json", lambda measured: [measured.pop(key) for key in ("seconds", "validation", "parameters", "best_epoch")]
    )
    edit(run, "metrics.json", lambda measured: [measured["test"].pop(key) for key in ("top5", "classes", "confusion", "loss")])
    (run.folder / "batch.npz").unlink()
    text = read(write_report(run))
    assert text.count("not recorded") > 8
    assert "None" not in text
    assert "confusion.png" in text


def test_a_run_that_has_not_ended_has_a_page(make_run):
    text = read(write_report(make_run(finished=False)))
    assert "not yet" in text
    assert "curves.png" in text


def test_a_run_without_an_epoch_has_a_page(make_run):
    run = make_run(finished=False, epochs=0)
    assert "No epoch was recorded." in read(write_report(run))
    run.history_file.unlink()
    assert "No epoch was recorded." in read(write_report(run))


def test_a_loss_that_is_not_a_number_is_drawn(make_run):
    run = make_run(epochs=2)
    run.history_file.write_text(
        "epoch,learning_rate,loss,accuracy,val_loss,val_accuracy\n1,0.1,nan,0.1,inf,0.1\n2,0.1,nan,,1e30,0.1\n3,0."
    )
    assert "curves.png" in read(write_report(run))


def test_colour_pictures_of_any_proportion_are_drawn(make_run):
    run = make_run()
    images = np.random.default_rng(0).integers(0, 256, (8, 20, 90, 3), np.uint8)
    np.savez(run.folder / "batch.npz", images=images, labels=np.eye(10, dtype=np.float32)[:8])
    with Image.open(write_report(run).parent / "batch.png") as picture:
        assert len(picture.getcolors(2**24)) > 200
