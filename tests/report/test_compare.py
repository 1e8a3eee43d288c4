import json
import warnings

import pytest
from PIL import Image

from app.report.compare import compare


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_runs_stand_side_by_side(make_run, tmp_path):
    runs = [make_run("a"), make_run("b", mistakes=30)]
    comparison = compare(runs, tmp_path / "new" / "curves.png")
    first, second = comparison.rows
    assert first["test"] == runs[0].metrics()["test"]["accuracy"] > second["test"]
    assert (first["run"], first["model"], first["data"], first["best_epoch"], first["parameters"]) == (
        "a",
        "lenet5",
        "digits",
        18,
        61706,
    )
    assert json.loads(json.dumps(comparison.to_json()))["runs"] == comparison.rows
    lines = comparison.text.splitlines()
    assert "test accuracy" in lines[0]
    assert lines[2].startswith("a ")
    assert f"{100 * second['test']:.1f} %" in lines[3]
    with Image.open(tmp_path / "new" / "curves.png") as picture:
        assert len(picture.convert("RGB").getcolors(2**24)) > 20


def test_only_settings_that_differ_are_shown(make_run):
    runs = [make_run("a"), make_run("b", settings={"learning_rate": 0.01, "options": {"pooling": "max"}})]
    comparison = compare(runs, None)
    assert [row["settings"] for row in comparison.rows] == [
        {"learning_rate": 0.003, "pooling": "average"},
        {"learning_rate": 0.01, "pooling": "max"},
    ]
    header = comparison.text.splitlines()[0]
    assert "learning rate" in header
    assert "augment" not in header


def test_an_option_that_was_not_given_has_the_default_of_its_network(make_run):
    runs = [make_run("a", settings={"options": {}}), make_run("b", settings={"options": {"pooling": "average"}})]
    assert compare(runs, None).rows[0]["settings"] == {}
    runs = [make_run("c", settings={"options": {}}), make_run("d", settings={"options": {"pooling": "max"}})]
    assert compare(runs, None).rows[0]["settings"] == {"pooling": "average"}


def test_a_run_that_has_not_ended_is_compared_by_its_history(make_run, tmp_path):
    runs = [make_run("a"), make_run("b", finished=False, epochs=7), make_run("c", finished=False, epochs=0)]
    comparison = compare(runs, tmp_path / "curves.png")
    unfinished, untouched = comparison.rows[1:]
    assert unfinished["test"] is None
    assert unfinished["validation"] > 0.7
    assert unfinished["seconds"] == 7 * 1.5
    assert untouched["validation"] is None
    assert "7 of 20" in comparison.text
    assert "not yet" in comparison.text
    assert "Not ended yet: b, c." in comparison.text


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"data": {"name": "mnist"}}, "different data (digits, mnist)"),
        ({"data": {"fingerprint": "changed"}}, "different versions of digits"),
        ({"data": {"splits": {"test": 100}}}, "tested on different pictures (360, 100)"),
        ({"data": {"fingerprint": "drawn"}, "settings": {"split_seed": 3}}, "different split seeds"),
    ],
)
def test_runs_on_other_pictures_are_told_apart(make_run, other, told):
    notes = " ".join(compare([make_run("a"), make_run("b", **other)], None).notes)
    assert told in notes
    assert "not comparable" in notes


def test_runs_on_the_same_pictures_are_told_what_chance_can_do(make_run):
    comparison = compare([make_run("a"), make_run("b")], None)
    assert comparison.notes == ["On 360 test pictures, differences of less than about 2.5 percentage points can be chance."]


def test_a_run_given_twice_is_shown_once(make_run):
    run = make_run("a")
    assert len(compare([run, run], None).rows) == 1


@pytest.mark.parametrize("names", [("猫", "$a$", "c"), tuple(f"lenet5-digits-20260504-{i}" for i in range(9))])
def test_the_plot_takes_any_names_and_many_runs(make_run, tmp_path, names):
    runs = [make_run(name, slope=0.3 + 0.1 * i) for i, name in enumerate(names)]
    compare(runs, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 20_000


def test_folders_of_one_name_are_told_apart(make_run):
    runs = [make_run("x/best"), make_run("y/best")]
    names = [row["run"] for row in compare(runs, None).rows]
    assert [name.split("runs/")[1] for name in names] == ["x/best", "y/best"]
