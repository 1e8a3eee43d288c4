"""The page's way from a picture to a tensor, run by Node.js, against Pillow's."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from app.images import resize

PAGE = Path(__file__).parents[2] / "app/demo/page"
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")


def node(script, values, module):
    """What a script makes of `values` with a module of the page."""
    code = f"""
        import * as module from {json.dumps((PAGE / module).as_uri())};
        let text = "";
        for await (const part of process.stdin) text += part;
        const values = JSON.parse(text);
        process.stdout.write(JSON.stringify({script}));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", code], input=json.dumps(values), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def stretched(pictures, sizes):
    cases = []
    for picture, (height, width) in zip(pictures, sizes, strict=True):
        size = {"width": picture.shape[1], "height": picture.shape[0]}
        cases.append([picture.ravel().tolist(), size, {"width": width, "height": height}])
    answers = node("values.map((one) => Array.from(module.resize(...one)))", cases, "resize.js")
    return [np.array(one, np.uint8).reshape(*size, 3) for one, size in zip(answers, sizes, strict=True)]


def test_pictures_of_any_size_become_what_pillow_makes_of_them():
    random = np.random.default_rng(0)
    sizes = [(1, 1), (7, 5), (8, 8), (28, 28), (32, 32), (61, 47), (224, 224), (33, 100), (100, 33), (90, 41)]
    pictures, wanted = [], []
    for size in sizes:
        for height, width in ((28, 28), (32, 32), (5, 64)):
            pictures += [random.integers(0, 256, (*size, 3), np.uint8), random.choice(np.array([0, 255], np.uint8), (*size, 3))]
            wanted += [(height, width)] * 2
    for picture, size, ours in zip(pictures, wanted, stretched(pictures, wanted), strict=True):
        theirs = resize(picture, *size)
        assert np.array_equal(ours, theirs), f"{picture.shape} to {size}: {np.abs(ours.astype(int) - theirs).max()}"


def test_a_picture_of_the_right_size_is_left_as_it_is():
    picture = np.random.default_rng(1).integers(0, 256, (28, 28, 3), np.uint8)
    assert np.array_equal(stretched([picture], [(28, 28)])[0], picture)


def test_transparency_is_left_out():
    assert node("Array.from(module.withoutAlpha(values))", [1, 2, 3, 255, 4, 5, 6, 255], "resize.js") == [1, 2, 3, 4, 5, 6]


STROKES = [[{"x": 0.1, "y": 0.2}, {"x": 0.2, "y": 0.6}], [{"x": 0.15, "y": 0.3}]]


@pytest.mark.parametrize("span", [20 / 28, 1.0])
def test_a_drawing_of_any_size_gets_the_size_of_the_samples_in_the_middle(span):
    pen = 0.1
    placed = node("module.place(...values)", [STROKES, span, pen], "digit.js")
    x, y = ([point[axis] for stroke in placed for point in stroke] for axis in "xy")
    assert max(y) - min(y) + pen == pytest.approx(span)
    assert (max(x) - min(x)) / (max(y) - min(y)) == pytest.approx(0.1 / 0.4)
    assert (max(x) + min(x)) / 2 == pytest.approx(0.5)
    assert (max(y) + min(y)) / 2 == pytest.approx(0.5)


def test_a_dot_stays_small():
    placed = node("module.place(...values)", [[[{"x": 0.3, "y": 0.3}, {"x": 0.31, "y": 0.3}]], 0.7, 0.1], "digit.js")
    assert placed[0][1]["x"] - placed[0][0]["x"] < 0.05


def test_the_centre_of_the_ink_comes_to_the_middle_but_no_ink_leaves_the_picture():
    picture = np.zeros((10, 10, 4), np.uint8)
    picture[2:4, 6:8] = 255
    ink = node("module.centreOfInk(...values)", [picture.ravel().tolist(), 10], "digit.js")
    assert ink == {"x": pytest.approx(0.7), "y": pytest.approx(0.3)}
    line = [[{"x": 0.25, "y": 0.5}, {"x": 0.75, "y": 0.5}]]
    moved = node("module.shift(...values)", [{"x": 0.6, "y": 0.45}, line, 0.1], "digit.js")
    assert moved == {"x": pytest.approx(-0.1), "y": pytest.approx(0.05)}
    far = node("module.shift(...values)", [{"x": 0.95, "y": 0.5}, line, 0.1], "digit.js")
    assert far["x"] == pytest.approx(-0.2)
