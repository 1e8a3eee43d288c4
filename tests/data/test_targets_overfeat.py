"""What each window is to answer, against counting by loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.data.targets.overfeat import EMPTY, FILL, HOLDS, encoder
from models.layers.window_predictions import WindowPredictions

SIZE, CLASSES = (64, 96), 4
LAYER = WindowPredictions(SIZE, 16, 4, [[64, 96, 2, 14, 22], [32, 48, 2, 6, 10]], name="predictions")


class Network:
    """What the encoder asks of one."""

    def get_layer(self, name):
        assert name == "predictions"
        return LAYER


def fitting(box):
    """The square around the middle of a box of which its longer side fills its share."""
    middle, half = (box[:2] + box[2:]) / 2, max(box[2] - box[0], box[3] - box[1]) / FILL / 2
    return np.concatenate([middle - half, middle + half])


def iou(one, other):
    common = np.prod(np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None))
    return common / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - common)


@st.composite
def annotations(draw):
    rows = []
    for _ in range(3):
        y, x = (draw(st.integers(0, side - 13)) for side in SIZE)
        height, width = (draw(st.integers(4, min(40, side - start))) for side, start in zip(SIZE, (y, x), strict=True))
        rows.append([y, x, y + height, x + width, draw(st.integers(-1, CLASSES - 1)), draw(st.booleans())])
    rows = np.array(rows, np.float32) / [*SIZE, *SIZE, 1, 1]
    rows[rows[:, 4] < 0, :4] = 0
    return rows.astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(annotations())
def test_every_window_is_told_what_the_loop_tells_it(rows):
    found = encoder(Network(), CLASSES)(rows[None])[0]
    windows = LAYER.windows().astype(np.float64)
    pixels = rows[:, :4].astype(np.float64) * np.tile(SIZE, 2)
    shared = np.array(
        [[iou(window, fitting(box)) if row[4] >= 0 else 0 for box, row in zip(pixels, rows, strict=True)] for window in windows]
    )
    real = (rows[:, 4] >= 0) & (rows[:, 5] == 0)
    nearest = {int(shared[:, box].argmax()) for box in np.flatnonzero(real)}
    for number, row in enumerate(found):
        best = shared[number, real].max(initial=0)
        ignored = max((inside(windows[number], box) for box in pixels[(rows[:, 4] >= 0) & (rows[:, 5] > 0)]), default=0)
        if min(abs(best - HOLDS), abs(best - EMPTY), abs(ignored - EMPTY)) < 1e-4:
            continue  # float32 may round to either side
        if best >= HOLDS:
            box = np.flatnonzero(real)[shared[number, real].argmax()]
            assert row[4] in rows[real, 4]
            if number not in nearest:
                assert row[4] == rows[box, 4]
                np.testing.assert_allclose(row[:4], pixels[box], atol=1e-3)
        elif number not in nearest:
            assert row[4] == (CLASSES if best < EMPTY and ignored < EMPTY else -1)
    np.testing.assert_allclose(found[:, 5], windows[:, 2] - windows[:, 0], rtol=1e-5)


def inside(window, box):
    """How much of a window lies in a box."""
    sides = [min(window[axis + 2], box[axis + 2]) - max(window[axis], box[axis]) for axis in (0, 1)]
    return max(sides[0], 0) * max(sides[1], 0) / ((window[2] - window[0]) * (window[3] - window[1]))


def test_windows_in_a_crowd_are_not_taken_for_background():
    crowd = np.array([[[0, 0, 1, 1, 0, 1]]], np.float32)
    assert set(encoder(Network(), CLASSES)(crowd)[0][:, 4]) == {-1}


def test_a_box_is_told_at_the_level_that_it_fits():
    box = np.array([[[20, 30, 20 + 12.8, 30 + 6, 2, 0], [10, 50, 10 + 25.6, 50 + 20, 1, 0]]]) / [*SIZE, *SIZE, 1, 1]
    found = encoder(Network(), CLASSES)(box.astype(np.float32))[0]
    assert set(found[found[:, 4] == 2, 5]) == {16}
    assert set(found[found[:, 4] == 1, 5]) == {32}
    np.testing.assert_allclose(found[found[:, 4] == 2, :4], [[20, 30, 32.8, 36]] * (found[:, 4] == 2).sum(), rtol=1e-5)


@pytest.mark.parametrize("box", [[0, 0, 2, 2], [0, 0, 64, 96]])
def test_a_box_that_fits_no_window_has_the_nearest_one(box):
    rows = (np.array([[[*box, 3, 0]]]) / [*SIZE, *SIZE, 1, 1]).astype(np.float32)
    found = encoder(Network(), CLASSES)(rows)[0]
    assert (found[:, 4] == 3).sum() == 1


def test_a_picture_without_boxes_is_background():
    rows = np.zeros((2, 3, 6), np.float32)
    rows[..., 4] = -1
    found = encoder(Network(), CLASSES)(rows)
    assert found.shape == (2, len(LAYER.windows()), 6)
    assert (found[..., 4] == CLASSES).all()
