"""What is drawn is asserted on the pixels."""

import itertools

import numpy as np
import pytest

from app.answers import Box
from app.draw import LEAST, colour, draw_boxes, draw_mask, enlarged, legible, with_legend

GREY = np.full((500, 600, 3), 128, np.uint8)


def box(number=0, place=(0.2, 0.3, 0.6, 0.7), label="cat", score=0.9):
    return Box(label, number, score, *place)


def drawn(picture, number):
    """Where a picture has the colour of a class."""
    return (picture == colour(number)).all(axis=2)


def test_classes_keep_colours_that_differ():
    colours = [np.array(colour(number), float) for number in range(21)]
    assert min(np.abs(a - b).sum() for a, b in itertools.combinations(colours, 2)) > 60
    assert colour(3) == colour(3)


def test_tiny_pictures_are_enlarged_by_a_whole_factor_and_others_are_not():
    tiny = np.arange(28 * 20, dtype=np.uint16).reshape(28, 20).astype(np.uint8)
    large = enlarged(tiny)
    assert large.shape == (504, 360, 3)
    assert np.array_equal(large[::18, ::18, 0], tiny)
    assert np.array_equal(enlarged(GREY), GREY)
    assert enlarged(tiny[..., None]).shape == large.shape


def test_a_box_is_drawn_where_it_is():
    found = drawn(draw_boxes(GREY, [box()]), 0)
    rows, columns = np.flatnonzero(found[:, 200]), np.flatnonzero(found[200])
    assert abs(columns.min() - 180) <= 2
    assert abs(columns.max() - 419) <= 2
    assert abs(rows.max() - 299) <= 2
    assert not found[120:280, 200:400].any()


def test_the_picture_that_was_given_is_left_as_it_was():
    before = GREY.copy()
    draw_boxes(GREY, [box()])
    draw_mask(GREY, np.ones((5, 6), np.uint8), ["background", "cat"])
    assert np.array_equal(GREY, before)


@pytest.mark.parametrize(
    "place",
    [
        (0, 0, 1, 1), (0, 0.9, 0.05, 1), (0.95, 0, 1, 0.05), (-0.5, -0.5, 1.5, 1.5), (0.5, 0.5, 0.5, 0.5), (1, 1, 1.2, 1.2),
        (0.6, 0.6, 0.4, 0.4),
    ],
)  # fmt: skip
def test_labels_stay_inside_the_picture_wherever_the_box_is(place):
    picture = draw_boxes(GREY, [box(place=place)])
    assert picture.shape == GREY.shape
    letters = drawn(picture, 0)
    height = max(np.flatnonzero(letters.any(axis=1))) - min(np.flatnonzero(letters.any(axis=1)))
    assert letters.sum() > 500, "the whole tag can be seen"
    assert height >= 12


def test_a_label_longer_than_the_picture_is_cut():
    assert draw_boxes(GREY, [box(label="word " * 60)]).shape == GREY.shape


def test_labels_of_boxes_beside_each_other_do_not_lie_on_each_other():
    boxes = [box(0, (0.5, 0.4, 0.9, 0.6)), box(1, (0.5, 0.42, 0.9, 0.62), "dog")]
    alone = [drawn(draw_boxes(GREY, [one]), one.number).sum() for one in boxes]
    both = draw_boxes(GREY, boxes)
    for one, whole in zip(boxes, alone, strict=True):
        assert drawn(both, one.number).sum() > 0.75 * whole


def test_scores_are_written_unless_they_are_not_wanted():
    with_score, without = (drawn(draw_boxes(GREY, [box()], scores=scores), 0).sum() for scores in (True, False))
    assert with_score > without


def test_a_mask_paints_its_classes_and_leaves_the_background():
    numbers = np.zeros((50, 60), np.uint8)
    numbers[10:20, 10:30] = 1
    numbers[30:40, 30:40] = 255
    painted = draw_mask(GREY, numbers, ["background", "cat"])
    assert np.array_equal(painted[300:, :250], GREY[300:, :250])
    middle = 0.6 * np.array(colour(1)) + 0.4 * 128
    assert np.abs(painted[150, 200] - middle).max() <= 1
    assert (painted[350, 350] < 128).all()
    assert drawn(painted, 1)[100, 200], "a line around the area"


def test_without_a_background_every_class_is_painted():
    assert not np.array_equal(draw_mask(GREY, np.zeros((5, 6), np.uint8), ["sky", "road"]), GREY)


def test_a_mask_of_another_size_is_stretched_over_an_enlarged_picture():
    painted = draw_mask(GREY[:32, :32], np.ones((4, 4), np.uint8), ["background", "cat"])
    assert painted.shape == (LEAST, LEAST, 3)


def test_the_legend_stands_below_the_picture_with_the_colours():
    picture = with_legend(GREY, [("cat: 60 %", 1), ("dog: 40 %", 2)])
    assert np.array_equal(picture[:500], GREY)
    strip = picture[500:]
    assert strip.shape[1] == 600
    assert drawn(strip, 1).sum() > 50
    assert drawn(strip, 2).sum() > 50
    assert with_legend(GREY, [(f"a longer word {i}", i) for i in range(12)]).shape[0] > picture.shape[0]
    assert np.array_equal(with_legend(GREY, []), GREY)


@pytest.mark.parametrize(
    ("words", "otherwise", "written"),
    [
        ("cat", "class 1", "cat"),
        ("Café\nolé", "class 1", "Cafe ole"),
        ("собака", "class 1", "class 1"),
        ("", "class 1", "class 1"),
        ("a 猫", "", "a ?"),
    ],
)
def test_names_that_the_font_cannot_write_have_numbers(words, otherwise, written):
    assert legible(words, otherwise) == written
