"""The service's page with boxes and masks: what the service says is listed, and drawn where it says."""

import re

import numpy as np
import pytest
from PIL import Image

from app.draw import colour
from tests.demo.chromium import PROGRAM
from tests.serve.pages import ANSWERED, choose, open_page, opened_browser, text
from tests.serve.started import Server
from tests.serve.test_places import BOXES, painted
from tests.serve.tiny import picture_of, write_tiny_detector, write_tiny_segmenter

pytestmark = [pytest.mark.browser, pytest.mark.skipif(PROGRAM is None, reason="needs Chromium")]
SHOWN = """[...document.querySelectorAll('#bars li')].map((row) => [...row.children].map((part) => part.textContent).join(""))"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    write_tiny_detector(folder / "exported")
    write_tiny_segmenter(folder / "exported")
    started = Server(str(folder / "exported"), log=folder / "log")
    yield started
    assert started.stop() == 0


@pytest.fixture
def browser():
    with opened_browser() as opened:
        yield opened


def asked(browser, server, model, pixels, folder):
    file = folder / f"{model}.png"
    Image.fromarray(pixels).save(file)
    open_page(browser, server, f"#{model}")
    choose(browser, file)
    browser.wait("document.querySelector('#picture').naturalWidth === 4")


def near(found, wanted, by=1):
    """Whether colours are the same but for rounding."""
    return np.shape(found) == np.shape(wanted) and np.abs(np.subtract(found, wanted)).max() <= by


def drawn(browser, down, right):
    """Red, green, blue and opacity of the overlay, at fractions of the picture, which fills the stage."""
    return browser.run(f"""(() => {{
        const canvas = document.querySelector('#drawn').cloneNode();  // of its own: reading would slow the page's down
        const place = (share, side) => Math.min(side - 1, Math.floor(share * side));
        const context = canvas.getContext('2d', {{ willReadFrequently: true }});
        context.drawImage(document.querySelector('#drawn'), 0, 0);
        return [...context.getImageData(place({right}, canvas.width), place({down}, canvas.height), 1, 1).data]; }})()""")


def test_boxes_are_listed_and_drawn_and_the_slider_brings_those_that_are_less_sure(browser, server, tmp_path):
    asked(browser, server, "boxes", picture_of(BOXES), tmp_path)
    assert text(browser, "#says").split("\n") == ["2 found", "2 × green"]  # noqa: RUF001
    assert browser.run(SHOWN) == ["green100.0%, middle", "green80%, top"]
    assert text(browser, "#spoken") == "2 found: 2 × green"  # noqa: RUF001
    side = 1.5 / browser.run("document.querySelector('#drawn').clientWidth")  # into the line
    for middle, left in ((0.6, 0.4), (0.3, 0.2)):
        assert near(drawn(browser, middle, left + side), [*colour(1), 255])
    assert drawn(browser, 0.7, 0.6)[3] == 0, "nothing lies within a box"
    assert drawn(browser, 0.9, side)[3] == 0
    browser.run("document.querySelector('#least').focus()")
    for _ in range(20):
        browser.press("ArrowLeft", 37)
    assert text(browser, "#least-says") == "30%"
    assert browser.run(SHOWN) == ["green100.0%, middle", "green80%, top", "blue40%, middle"]
    assert near(drawn(browser, 0.9, side), [*colour(2), 255])
    square = browser.run("getComputedStyle(document.querySelector('#bars').children[2].children[0], '::before').backgroundColor")
    assert near([int(part) for part in re.findall(r"\d+", square)], colour(2))


def test_where_nothing_is_found_the_page_says_so(browser, server, tmp_path):
    Image.fromarray(picture_of([])).save(tmp_path / "empty.png")
    open_page(browser, server, "#boxes")
    choose(browser, tmp_path / "empty.png", until="!document.querySelector('#time').hidden")
    assert text(browser, "#says").split("\n") == ["Nothing found", "with a score of 50% or more"]
    assert browser.run("document.querySelectorAll('#bars li').length") == 0


def test_a_mask_is_painted_and_its_classes_are_listed_by_their_shares(browser, server, tmp_path):
    asked(browser, server, "mask", painted(), tmp_path)
    assert text(browser, "#says").split("\n")[0] == "2 found"
    assert browser.run(SHOWN) == ["green50%", "background25%", "blue25%"]
    assert text(browser, "#spoken") == "2 found: green 50%, background 25%, blue 25%"
    for down, right, number in ((0.1, 0.1, 1), (0.9, 0.1, 2)):
        *ink, opacity = drawn(browser, down, right)
        assert opacity == 153
        assert near(ink, colour(number), 2)
    assert drawn(browser, 0.9, 0.9) == [0, 0, 0, 0], "the background is left as it is"
    assert browser.run("document.querySelector('#least-row').hidden")


def test_the_next_answer_takes_away_what_was_drawn(browser, server, tmp_path):
    asked(browser, server, "mask", painted(), tmp_path)
    browser.run("document.querySelector('#time').hidden = true; location.hash = '#boxes'")
    browser.wait(
        "!document.querySelector('#time').hidden && document.querySelector('#details').textContent.includes('detection')"
    )
    assert drawn(browser, 0.1, 0.9)[3] == 0
    (tmp_path / "notes.png").write_bytes(b"no picture")
    choose(browser, tmp_path / "notes.png", until="!document.querySelector('#trouble').hidden")
    assert browser.run("document.querySelector('#least-row').hidden")


def test_every_class_has_the_colour_that_the_command_line_draws_it_with(browser, server):
    open_page(browser, server)
    browser.wait("document.readyState === 'complete'")
    found = browser.run(
        "import('./page/drawn.js').then(({ colour }) => Array.from({ length: 256 }, (_, number) => colour(number)))"
    )
    wanted = [list(colour(number)) for number in range(256)]
    assert near(found, wanted)


@pytest.mark.parametrize(("width", "height"), [(320, 568), (390, 844), (844, 390), (1280, 800)])
def test_the_list_is_shown_whole_on_every_screen(browser, server, tmp_path, width, height):
    browser.screen(width, height)
    asked(browser, server, "boxes", picture_of(BOXES), tmp_path)
    browser.wait(ANSWERED)
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    assert browser.run("[...document.querySelectorAll('#bars li')].every((row) => row.checkVisibility())")
    assert browser.run("document.querySelector('#least').getBoundingClientRect().height") >= 44
