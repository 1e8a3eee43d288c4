"""What detectors are told: boxes put where the network can give them back, and nothing where nothing is known."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.data.targets import yolo_v1, yolo_v5
from app.data.targets.anchors import find_anchors
from models.layers.anchor_predictions import AnchorPredictions
from models.layers.grid_predictions import GridPredictions
from models.yolo_v5 import STRIDES, parse_anchors

HEIGHT, WIDTH = 96, 160
ANCHORS = parse_anchors("8x8,8x16,16x8,16x16,16x32,32x16,32x32,32x64,64x32")


def anchored(height=HEIGHT, width=WIDTH, classes=4, anchors=ANCHORS):
    layer = AnchorPredictions(anchors, STRIDES, (height, width), classes)
    return layer, yolo_v5.encoder(SimpleNamespace(get_layer=lambda name: layer), classes)


def gridded(rows=4, columns=6, boxes=2, classes=4):
    layer = GridPredictions(rows, columns, boxes, classes)
    return layer, yolo_v1.encoder(SimpleNamespace(get_layer=lambda name: layer), classes)


def annotation(*boxes, rows=4):
    """One picture: boxes of ymin, xmin, ymax, xmax in pixels, class and whether it is ignored."""
    labels = np.zeros((1, rows, 6), np.float32)
    labels[:, :, 4] = -1
    for row, (ymin, xmin, ymax, xmax, label, ignored) in enumerate(boxes):
        labels[0, row] = [ymin / HEIGHT, xmin / WIDTH, ymax / HEIGHT, xmax / WIDTH, label, ignored]
    return labels


@st.composite
def some_boxes(draw):
    boxes = []
    for _ in range(draw(st.integers(1, 4))):
        width, height = draw(st.floats(3, 100)), draw(st.floats(3, 90))
        left, top = draw(st.floats(0, WIDTH - width)), draw(st.floats(0, HEIGHT - height))
        boxes.append((top, left, top + height, left + width, draw(st.integers(0, 3)), 0))
    return boxes


@settings(max_examples=60, deadline=None)
@given(some_boxes())
def test_an_anchor_can_give_back_every_box_it_is_told_of(boxes):
    """The decoding is turned round: what the network had to say is within its sigmoids, and decodes to the box."""
    layer, encode = anchored()
    targets = encode(annotation(*boxes))[0]
    corner, step, anchor = layer.grid(layer.map_sizes())
    told = targets[:, 6] > 0
    place = (targets[told, :2] - corner[told]) / step[told]
    size = targets[told, 2:4] / anchor[told]
    share = np.concatenate([(place + 0.5) / 2, np.sqrt(size) / 2], axis=1)
    assert ((share >= -1e-6) & (share <= 1 + 1e-6)).all()
    raw = np.log(share.clip(1e-7, 1 - 1e-7) / (1 - share.clip(1e-7, 1 - 1e-7)))
    maps, first = [], 0
    flat = np.zeros((len(targets), 9), np.float32)
    flat[told, :4] = raw
    for rows, columns in layer.map_sizes():
        count = rows * columns * 3
        maps.append(flat[first : first + count].reshape(1, rows, columns, 27))
        first += count
    given_back = np.asarray(layer(maps))[0, told, :4]
    np.testing.assert_allclose(given_back, targets[told, :4], atol=0.05)
    real = {((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, label) for y0, x0, y1, x1, label, _ in boxes}
    for row in targets[told]:
        assert min(np.abs(np.array(box) - row[:5]).max() for box in real) < 1e-3


def by_definition(boxes):
    """For each place the box it is told of: every anchor, cell and box looked at."""
    told, first = {}, 0
    for stride, sizes in zip(STRIDES, ANCHORS, strict=True):
        rows, columns = HEIGHT // stride, WIDTH // stride
        for y in range(rows):
            for x in range(columns):
                for n, size in enumerate(sizes):
                    place = first + (y * columns + x) * 3 + n
                    rivals = []
                    for number, (ymin, xmin, ymax, xmax, _, _) in enumerate(boxes):
                        ratio = max(max(a / b, b / a) for a, b in zip((xmax - xmin, ymax - ymin), size, strict=True))
                        u, v = (xmin + xmax) / 2 / stride, (ymin + ymax) / 2 / stride
                        own = min(int(u), columns - 1), min(int(v), rows - 1)
                        beside = own[0] + (-1 if u - own[0] < 0.5 else 1), own[1] + (-1 if v - own[1] < 0.5 else 1)
                        if ratio < 4 and (x, y) in (own, (beside[0], own[1]), (own[0], beside[1])):
                            rivals.append((ratio, number))
                    if rivals:
                        told[place] = min(rivals)[1]
        first += rows * columns * 3
    return told


@pytest.mark.parametrize("seed", range(8))
def test_boxes_go_to_anchors_of_their_size_in_the_three_nearest_cells(seed):
    rng = np.random.default_rng(seed)
    sides = rng.uniform(4, 80, (4, 2))
    corners = rng.uniform(0, 1, (4, 2)) * ([HEIGHT, WIDTH] - sides)
    boxes = [(*corner, *(corner + side), number, 0) for number, (corner, side) in enumerate(zip(corners, sides, strict=True))]
    targets = anchored()[1](annotation(*boxes))[0]
    expected = by_definition(boxes)
    assert {int(place): int(targets[place, 4]) for place in np.flatnonzero(targets[:, 6])} == expected
    assert len(expected) > 10
    assert (np.delete(targets[:, 4], list(expected)) == -1).all()


def test_where_two_boxes_meet_the_better_size_is_told():
    near, far = (32, 64, 48, 80, 0, 0), (26, 58, 54, 86, 1, 0)  # both centred at 72, 40; sides of 16 and of 28
    for boxes in ((near, far), (far, near)):
        layer, encode = anchored()
        targets = encode(annotation(*boxes))[0]
        anchor = layer.grid(layer.map_sizes())[2]
        told = targets[:, 6] > 0
        fits = (anchor == (16, 16)).all(axis=1) & told
        assert set(targets[fits, 4]) == {0}
        assert set(targets[(anchor == (32, 32)).all(axis=1) & told, 4]) == {1}


def test_weights_make_means_of_a_batch_and_of_a_stride():
    labels = np.concatenate([annotation((10, 10, 30, 40, 0, 0)), annotation(), annotation((50, 20, 80, 60, 1, 0))])
    layer, encode = anchored()
    targets = encode(labels)
    step = layer.grid(layer.map_sizes())[1][:, 0]
    for stride, balance in ((8, 4.0), (16, 1.0), (32, 0.4)):
        here = targets[:, step == stride]
        np.testing.assert_allclose(here[:, :, 5].sum(axis=1), balance, rtol=1e-5)
        assert here[:, :, 6].sum() == pytest.approx(3)
        assert len(set(here[:, :, 6][here[:, :, 6] > 0])) == 1


@pytest.mark.parametrize("row", [(5, 10, 5, 40, 1, 0), (5, 40, 30, 10, 1, 0), (5, 10, 30, 40, -1, 0)])
def test_what_is_no_box_is_told_to_nobody(row):
    for _, encode in (anchored(), gridded()):
        np.testing.assert_array_equal(encode(annotation(row)), encode(annotation()))


def test_ignored_boxes_silence_the_cells_inside_them_but_not_a_box_of_their_own():
    ignored, real = (15, 31, 81, 129, 2, 1), (40, 70, 56, 86, 3, 0)
    layer, encode = anchored()
    targets, without, alone = (encode(annotation(*boxes))[0] for boxes in ((ignored, real), (real,), (ignored,)))
    corner, step, _ = layer.grid(layer.map_sizes())
    x, y = (corner + step / 2).T
    inside = (x > 31) & (x < 129) & (y > 15) & (y < 81)
    told = without[:, 6] > 0
    assert (alone[inside, 4] == -2).all()
    assert not alone[inside, 5].any()
    assert not alone[:, 6].any()
    np.testing.assert_array_equal(targets[told], without[told])
    np.testing.assert_array_equal(targets[~inside], without[~inside])
    assert (targets[inside & ~told, 4] == -2).all()


def test_the_edge_of_the_picture_belongs_to_the_last_cell():
    corner = annotation((HEIGHT - 0.0001, WIDTH - 0.0001, HEIGHT, WIDTH, 1, 0))
    grid = gridded()[1](corner)[0]
    assert list(np.flatnonzero(grid[:, 4] == 1)) == [4 * 6 - 1]
    wide = annotation((HEIGHT - 16, WIDTH - 16, HEIGHT + 16, WIDTH + 16, 1, 0))  # its centre is the corner itself
    assert (anchored()[1](wide)[0, :, 6] > 0).any()


@settings(max_examples=40, deadline=None)
@given(some_boxes())
def test_a_cell_gives_back_the_largest_box_that_is_centred_in_it(boxes):
    layer, encode = gridded()
    targets = encode(annotation(*boxes))
    cells = {}
    for number, (ymin, xmin, ymax, xmax, _, _) in enumerate(boxes):
        cell = int((ymin + ymax) / 2 / HEIGHT * 4 + 1e-7) * 6 + int((xmin + xmax) / 2 / WIDTH * 6 + 1e-7)
        area = (ymax - ymin) * (xmax - xmin)
        if cell not in cells or area > cells[cell][0] * (1 + 1e-5):
            cells[cell] = area, number
    assert set(np.flatnonzero(targets[0, :, 4] == 1)) == set(cells)
    answers = np.zeros((1, 24, 14), np.float32)
    answers[0, :, :5], answers[0, :, 10:] = targets[0, :, :5], targets[0, :, 7:]
    found, scores = (np.asarray(part)[0] for part in layer.detections(answers))
    for cell, (_, number) in cells.items():
        expected = np.array(boxes[number][:4]) / [HEIGHT, WIDTH, HEIGHT, WIDTH]
        np.testing.assert_allclose(found[2 * cell], expected, atol=1e-4)
        assert list(scores[2 * cell]) == list(np.eye(4)[boxes[number][4]])


def test_cells_in_an_ignored_box_are_told_nothing():
    targets = gridded()[1](annotation((0, 0, 48, 80, 2, 1), (4, 4, 20, 20, 1, 0)))[0]
    assert (targets[:, 4].reshape(4, 6) == [[1, -1, -1, 0, 0, 0], [-1, -1, -1, 0, 0, 0], [0] * 6, [0] * 6]).all()


def sizes(text):
    return np.array([[float(side) for side in size.split("x")] for size in text.split(",")])


def test_anchors_are_the_sizes_that_boxes_have():
    rng = np.random.default_rng(0)
    true = np.array([[8, 20], [20, 8], [30, 30], [60, 25], [25, 60], [50, 90], [90, 50], [80, 80], [120, 90]])
    which = rng.integers(0, 9, (200, 5))
    sides = true[which] * rng.uniform(0.95, 1.05, (200, 5, 2)) / [WIDTH, HEIGHT]
    labels = np.zeros((200, 7, 6), np.float32)
    labels[:, :5, 2:4], labels[:, 5, 4] = sides[..., ::-1], -1
    labels[:, 6] = [0, 0, 0.02, 0.9, 1, 1]  # ignored: no size to be found
    found = sizes(find_anchors(labels, HEIGHT, WIDTH))
    nearest = [int(np.abs(found - size).sum(axis=1).argmin()) for size in true]
    assert sorted(nearest) == list(range(9))
    np.testing.assert_allclose(found[nearest], true, rtol=0.03)
    assert (np.diff(found.prod(axis=1)) >= 0).all()
    assert find_anchors(labels, HEIGHT, WIDTH) == find_anchors(labels, HEIGHT, WIDTH)


@pytest.mark.parametrize("different", [1, 2, 5])
def test_few_sizes_still_make_nine_anchors(different):
    labels = np.zeros((different, 1, 6), np.float32)
    labels[:, 0, 2:4] = np.linspace(0.1, 0.5, different)[:, None]
    assert all(side > 0 for row in parse_anchors(find_anchors(labels, HEIGHT, WIDTH)) for size in row for side in size)


def test_without_boxes_there_are_no_anchors_to_measure():
    assert find_anchors(annotation(), HEIGHT, WIDTH) == ""
