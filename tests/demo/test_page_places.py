"""The page in Chromium with boxes and masks: both runtimes find what they do elsewhere, and the page draws it there."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from app.answers import detection
from app.demo.build import build
from app.draw import colour
from app.export.samples import read_answers
from app.metrics.detection import agreement
from tests.demo.chromium import PROGRAM
from tests.demo.test_page import ANSWERED, READY, Host, browser, tap, text, variants  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None or shutil.which("npm") is None, reason="needs Chromium and npm"),
]
CLOSE = {"fp32": 1e-3, "int8": 0.05}  # of scores
ROWS = {"boxes": (4,), "classes": (), "scores": ()}
SAME = {"fp32": 0.999, "int8": 0.98}  # share of a mask's pixels
# Red, green, blue and opacity of the overlay at a fraction of the stage.
OVERLAY = """(() => {
    const canvas = document.querySelector('#drawn').cloneNode();
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(document.querySelector('#drawn'), 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    return { width: canvas.width, height: canvas.height, data: Array.from(data) }; })()"""


@pytest.fixture(scope="module")
def boxes(detection_release, tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes") / "site"
    build(detection_release, folder)
    opened = Host(folder)
    yield opened
    opened.off()


@pytest.fixture(scope="module")
def masks(segmentation_release, tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks") / "site"
    build(segmentation_release, folder)
    opened = Host(folder)
    yield opened
    opened.off()


def overlay(browser):  # noqa: F811
    found = browser.run(OVERLAY)
    return np.array(found["data"], np.uint8).reshape(found["height"], found["width"], 4)


def opened(browser, host, variant=None):  # noqa: F811
    browser.open(f"{host.url}?variant={variant}" if variant else host.url)
    browser.wait(READY)


def example(browser, number):  # noqa: F811
    """Goes on to the next of the examples, or to the first of them."""
    browser.run("document.querySelector('#time').textContent = ''")
    tap(browser, "#next" if number else "#modes [value=examples]")
    browser.wait(ANSWERED)
    return browser.run(f"page.outputs('samples/{number:02}.png')")


def of_one(outputs):
    """A picture's outputs as those of a batch."""
    return {name: np.reshape(outputs[name], (1, -1, *rest)) for name, rest in ROWS.items()} | {
        "count": np.array(outputs["count"])
    }


def test_every_file_finds_the_boxes_that_were_recorded(browser, boxes, detection_release):  # noqa: F811
    paths, recorded = read_answers(detection_release.folder)
    for variant in variants(boxes.site):
        opened(browser, boxes, variant["name"])
        for place, path in enumerate(paths[:6]):
            wanted = {name: values[place : place + 1] for name, values in recorded[variant["file"]].items()}
            found = of_one(browser.run(f"page.outputs('{path}')"))
            assert agreement(found, wanted) == 1, (variant["name"], path)
            assert wanted["count"] >= 1
            assert found["scores"][0, 0] == pytest.approx(wanted["scores"][0, 0], abs=CLOSE[variant["precision"]])


def test_every_file_paints_the_mask_that_was_recorded(browser, masks, segmentation_release):  # noqa: F811
    paths, recorded = read_answers(segmentation_release.folder)
    for variant in variants(masks.site):
        opened(browser, masks, variant["name"])
        for place, path in enumerate(paths[:4]):
            mask = browser.run(f"page.outputs('{path}')")["mask"]
            wanted = recorded[variant["file"]]["masks"][place]
            assert (mask["height"], mask["width"]) == wanted.shape
            same = (np.array(mask["numbers"]).reshape(wanted.shape) == wanted).mean()
            assert same >= SAME[variant["precision"]], variant["name"]


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_every_file_tests_itself_and_halves_are_told_to_be_missing(browser, request, kind):  # noqa: F811
    host = request.getfixturevalue(kind)
    opened(browser, host)
    tap(browser, "#choose")
    for variant in variants(host.site):
        tap(browser, f"#variants [value='{variant['name']}']")
        tap(browser, "#check")
        assert browser.wait("/ of |no /.test(document.querySelector('#checked').textContent)")
        assert text(browser, "#checked") == "16 of 16 as recorded", variant["name"]
    listed = {variant["name"] for variant in variants(host.site)}
    assert {"onnx-fp32", "tflite-fp32"} <= listed
    if kind == "boxes":
        assert "tflite-int8" not in listed
        assert text(browser, "#absent") == "Not here: tflite-int8, which is in two files; the page runs whole ones."


def test_boxes_lie_over_the_picture_where_the_network_found_them(browser, boxes):  # noqa: F811
    opened(browser, boxes, "onnx-fp32")
    site = json.loads((boxes.site / "site.json").read_text())
    for number in range(3):
        [found] = detection(of_one(example(browser, number)), site["classes"], None, site["threshold"])
        assert browser.run("document.querySelectorAll('#bars li').length") == len(found.boxes)
        assert text(browser, "#says").split("\n")[0] == (f"{len(found.boxes)} found" if found.boxes else "Nothing found")
        picture = overlay(browser)
        height, width = picture.shape[:2]
        for box in found.boxes:
            left = round(box.xmin * width)
            side = picture[round((box.ymin + box.ymax) / 2 * height), left : left + 8]
            assert (np.abs(side[:, :3].astype(int) - colour(box.number)).max(axis=1) <= 1).any(), "its colour is on its left side"
        assert picture.any() == bool(found.boxes)


def test_a_mask_lies_over_the_picture_and_leaves_the_background(browser, masks):  # noqa: F811
    opened(browser, masks, "onnx-fp32")
    mask = example(browser, 0)["mask"]
    numbers = np.array(mask["numbers"]).reshape(mask["height"], mask["width"])
    picture = overlay(browser)
    places = [
        ((np.arange(size) + 0.5) / size * length).astype(int) for size, length in zip(numbers.shape, picture.shape, strict=False)
    ]
    seen = picture[places[0]][:, places[1]]
    assert ((seen[..., 3] == 0) == (numbers == 0)).mean() > 0.99
    for number in set(numbers.ravel().tolist()) - {0}:
        assert np.abs(seen[numbers == number][:, :3].astype(int) - colour(number)).max() <= 2
    assert browser.run("document.querySelectorAll('#bars li').length") == len(set(numbers.ravel().tolist()))


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_a_photo_and_the_camera_are_drawn_over_and_there_is_no_paper(browser, request, kind, tmp_path):  # noqa: F811
    host = request.getfixturevalue(kind)
    opened(browser, host, "onnx-fp32")
    assert browser.run("[...document.querySelectorAll('#modes input')].map((one) => one.value)") == [
        "camera",
        "photo",
        "examples",
    ]
    with Image.open(host.site / "samples/00.png") as sample:
        sample.resize((64, 16)).resize((128, 32)).save(tmp_path / "wide.png")  # half of the stage stays empty
    tap(browser, "#modes [value=photo]")
    browser.choose_file("#pick", tmp_path / "wide.png")
    browser.wait(ANSWERED)
    picture = overlay(browser)
    assert not picture[: round(0.36 * len(picture))].any(), "nothing above the picture"
    assert not picture[round(0.64 * len(picture)) :].any(), "nor below"
    tap(browser, "#modes [value=camera]")
    assert not overlay(browser).any()
    tap(browser, "#start")
    browser.wait(ANSWERED)
    assert text(browser, "#says")
    tap(browser, "#modes [value=examples]")
    assert browser.run("document.querySelector('#view').hidden")
