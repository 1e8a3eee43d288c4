import numpy as np
import pytest
from PIL import Image

from app.demo.drawn import drawing

DIGITS = [str(digit) for digit in range(10)]


@pytest.fixture
def sample(tmp_path):
    def write(ink, *, dark=True, mode="L"):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.png"
        Image.fromarray(ink if dark else 255 - ink).convert(mode).save(path)
        return path

    return write


def stroke(height=20, width=3):
    picture = np.zeros((28, 28), np.uint8)
    picture[4 : 4 + height, 12 : 12 + width] = 255
    return picture


@pytest.mark.parametrize("dark", [True, False])
def test_drawings_get_the_size_and_the_pen_of_the_samples(sample, dark):
    found = drawing([sample(stroke(), dark=dark), sample(stroke(), dark=dark)], DIGITS)
    assert found["dark"] == dark
    assert found["span"] == pytest.approx(20 / 28, abs=1e-3)
    assert found["pen"] == pytest.approx(3 / 28, rel=0.25)  # ends count as edges too


def test_a_wider_pen_is_found_wider(sample):
    narrow, wide = drawing([sample(stroke(width=2))], DIGITS), drawing([sample(stroke(width=4))], DIGITS)
    assert wide["pen"] > 1.4 * narrow["pen"]


def test_grey_pictures_can_be_drawn_whatever_they_show_and_coloured_ones_only_if_digits(sample):
    assert drawing([sample(stroke())], ["shirt", "shoe"])
    assert drawing([sample(stroke(), mode="RGB")], ["cat", "dog"]) is None
    assert drawing([sample(stroke(), mode="RGB")], DIGITS)


def test_samples_without_ink_get_a_usual_pen(sample):
    assert drawing([sample(np.zeros((28, 28), np.uint8))], DIGITS) == {"dark": True, "span": 20 / 28, "pen": 0.1}
    assert drawing([], DIGITS) is None
