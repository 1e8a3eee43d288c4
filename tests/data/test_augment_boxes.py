"""Every operation on boxes against the pixels: a box is where the pixels of its rectangle are."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from app.data.augment import boxes, geometry, policies
from app.data.augment.policies import find_policy

SHAPES = [(6, 48, 48), (5, 36, 60), (7, 61, 40), (1, 40, 56)]
ALL = policies.OPERATIONS["detection"] | {"turned": partial(boxes.affine, degrees=20.0)}
POLICIES = [name for name in policies.POLICIES["detection"] if name != "none"]


def rng(seed=1):
    return np.random.default_rng(seed)


def rectangles(shape, most=4, seed=0):
    """Pictures with a channel for each box, which is white inside it and black elsewhere; the box's class is that channel.

    Every other picture has fewer boxes than there are rows, and every third box is ignored.
    """
    batch, height, width = shape
    generator = rng(seed)
    images = np.zeros((batch, height, width, batch * most), np.float32)
    truth = np.tile(boxes.PADDING, (batch, most, 1))
    for picture in range(batch):
        for row in range(most - 2 * (picture % 2)):
            sides = [int(generator.integers(6, 0.45 * side)) for side in (height, width)]
            top, left = (int(generator.integers(0, side - part + 1)) for side, part in zip((height, width), sides, strict=True))
            bottom, right, channel = top + sides[0], left + sides[1], picture * most + row
            images[picture, top:bottom, left:right, channel] = 255
            truth[picture, row] = top / height, left / width, bottom / height, right / width, channel, channel % 3 == 0
    return images, truth


def corners(picture):
    """The box around all pixels that are set, in pixels. Shapes: [H, W] -> [4]."""
    rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])


def present(rows):
    return rows[rows[:, 4] >= 0]


def compare(images, found, *, atol=1.0):
    """How many boxes were compared with the white pixels that they have to be around.

    A mosaic may have two windows of one picture, so a class has several white parts, and two of them may touch.
    """
    size = np.tile(images.shape[1:3], 2)
    compared = 0
    for picture, rows in zip(images, found, strict=True):
        for channel in np.unique(present(rows)[:, 4]).astype(int):
            places = rows[rows[:, 4] == channel][:, :4] * size
            parts, _ = ndimage.label(picture[..., channel] > 127)
            part_of = parts[*((places[:, :2] + places[:, 2:]) / 2).astype(int).T]
            assert (part_of > 0).all(), "no pixel of the rectangle in the middle of its box"
            for part in np.unique(part_of):
                here = places[part_of == part]
                box = np.concatenate([here[:, :2].min(axis=0), here[:, 2:].max(axis=0)])
                np.testing.assert_allclose(box, corners(parts == part), atol=atol)
                compared += 1
    return compared


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", [name for name in ALL if name not in ("turned", "colour", "pca_colour")])
def test_a_box_is_where_its_pixels_are(name, shape):
    compared = 0
    for seed in range(8):
        images, truth = rectangles(shape, seed=seed)
        compared += compare(*ALL[name](images, truth, rng(seed)))
    assert compared > 15


@pytest.mark.parametrize("name", ["boxes", "scenes", "microscope"])
def test_a_box_is_where_its_pixels_are_after_a_whole_policy(name):
    compared = 0
    for seed in range(8):
        images, truth = rectangles((8, 44, 56), seed=seed)
        generator = rng(seed)
        for operation in find_policy(name, "detection"):
            images, truth = operation(images, truth, generator)
        compared += compare(images, truth, atol=1.5)  # an edge that was blurred, then cut
    assert compared > 60


@pytest.mark.parametrize("shape", SHAPES)
def test_a_turned_box_is_around_the_turned_pixels(shape):
    """As close as the corners' pixels reach where nothing is cut off; no pixel is left out where it is."""
    size = np.tile(shape[1:], 2)
    whole = 0
    for seed in range(8):
        images, truth = rectangles(shape, seed=seed)
        turned, found = boxes.affine(images, truth, rng(seed), scale=(0.9, 1.3), degrees=30.0)
        for picture, rows in zip(turned, found, strict=True):
            for box in present(rows):
                place, channel = box[:4] * size, picture[..., int(box[4])]
                inner, around = corners(channel > 127), corners(channel > 64)
                assert (place[:2] <= inner[:2] + 0.75).all()
                assert (place[2:] >= inner[2:] - 0.75).all()
                if place.min() > 1 and (place[2:] < size[:2] - 1).all():
                    np.testing.assert_allclose(place, around, atol=1.0)
                    whole += 1
    assert whole >= 5


@pytest.mark.parametrize("name", [*ALL, *POLICIES])
def test_an_operation_leaves_its_input_alone_and_gives_the_same_for_a_seed(name):
    images, truth = rectangles((6, 30, 44), most=1, seed=3)
    images = images[..., :3].copy()
    before = images.copy(), truth.copy()

    def changed(seed):
        generator, new, found = rng(seed), images, truth
        for operation in [ALL[name]] if name in ALL else find_policy(name, "detection"):
            new, found = operation(new, found, generator)
        return new, found

    new, found = changed(1)
    np.testing.assert_array_equal(images, before[0])
    np.testing.assert_array_equal(truth, before[1])
    assert new.shape == images.shape
    assert new.dtype == found.dtype == np.float32
    assert found.shape[::2] == (6, 6)
    assert new.min() >= 0
    assert new.max() <= 255.001
    assert found[..., :4].min() >= 0
    assert found[..., :4].max() <= 1
    for result, again in zip((new, found), changed(1), strict=True):
        np.testing.assert_array_equal(result, again)
    assert not np.array_equal(changed(2)[0], new)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([*ALL, *POLICIES]),
    st.tuples(st.integers(1, 6), st.integers(16, 40), st.integers(16, 40)),
    st.integers(1, 5),
    st.integers(0, 1000),
)
def test_padding_stays_padding_and_what_is_ignored_stays_ignored(name, shape, most, seed):
    images, truth = rectangles(shape, most, seed)
    known = {tuple(box[4:]) for box in truth.reshape(-1, 6)}
    generator, size = rng(seed), np.tile(shape[1:], 2)
    for operation in [ALL[name]] if name in ALL else find_policy(name, "detection"):
        images, truth = operation(images, truth, generator)
        assert {tuple(box[4:]) for box in truth.reshape(-1, 6)} <= known | {(-1.0, 0.0)}
        np.testing.assert_array_equal(truth[truth[..., 4] < 0], np.broadcast_to(boxes.PADDING, ((truth[..., 4] < 0).sum(), 6)))
        sides = (truth[..., 2:4] - truth[..., :2])[truth[..., 4] >= 0] * size[:2]
        assert (sides > boxes.SMALLEST - 1e-3).all()


def test_half_of_the_pictures_are_mirrored_and_twice_is_none():
    images, truth = rectangles((40, 20, 24), most=3)
    for operation, axis in ((boxes.flip, 2), (boxes.flip_vertical, 1)):
        mirrored, found = operation(images, truth, rng())
        turned = np.array([not np.array_equal(new, old) for new, old in zip(mirrored, images, strict=True)])
        assert 10 < turned.sum() < 30
        np.testing.assert_array_equal(mirrored[turned], np.flip(images[turned], axis))
        np.testing.assert_allclose(found[~turned], truth[~turned], atol=1e-6)
        again, back = operation(mirrored, found, rng())
        np.testing.assert_array_equal(again, images)
        np.testing.assert_allclose(back, truth, atol=1e-6)


def test_a_box_goes_when_less_than_its_share_is_left(monkeypatch):
    """The white pixels that are left of a rectangle decide."""
    monkeypatch.setattr(geometry, "mean_colour", lambda images: np.zeros((len(images), images.shape[-1]), np.float32))
    kept = gone = 0
    for seed in range(60):
        images, truth = rectangles((6, 40, 52), seed=seed)
        moved, found = boxes.affine(images, truth, rng(seed), scale=(1.0, 1.0), share=0.7)
        for picture, before in enumerate(truth):
            left = set(found[picture, :, 4])
            for box in present(before):
                channel = int(box[4])
                share = moved[picture, ..., channel].sum() / images[picture, ..., channel].sum()
                seen = moved[picture, ..., channel] > 127
                if box[5] or not 0 < share < 1 or (seen.any() and np.diff(corners(seen).reshape(2, 2), axis=0).min() <= 3):
                    continue  # ignored, not cut, or so narrow that its width decides
                if share > boxes.VISIBLE + 0.05:
                    assert channel in left
                    kept += 1
                elif share < boxes.VISIBLE - 0.05:
                    assert channel not in left
                    gone += 1
    assert min(kept, gone) > 20


def test_a_box_without_two_pixels_goes_and_an_ignored_one_stays_as_long_as_it_is_seen():
    images = np.zeros((2, 40, 40, 1), np.float32)
    low, narrow = [0.1, 0.1, 0.125, 0.9, 0, 0], [0.1, 0.1, 0.9, 0.125, 1, 0]
    rows = np.array([low, narrow, [0.5, 0.5, 0.6, 0.6, 2, 0], [0, 0, 0.9, 0.9, 3, 1]])
    truth = np.repeat(rows[None], 2, axis=0).astype(np.float32)
    _, found = boxes.affine(images, truth, rng(), scale=(1.0, 1.0), share=0.0)
    np.testing.assert_array_equal(found[..., 4], [[-1, -1, 2, 3]] * 2)
    many = np.repeat(images[:1], 200, axis=0)
    _, found = boxes.affine(many, np.repeat(truth[:1], 200, axis=0), rng(), scale=(1.0, 1.0), share=0.95)
    area = (found[:, 3, 2:4] - found[:, 3, :2]).prod(axis=1)
    assert (found[:, 3, 4] == 3).mean() > 0.8
    assert ((area > 0) & (area < 0.1)).sum() > 5


def test_a_picture_made_smaller_stays_whole_and_one_made_larger_fills_the_result():
    images, truth = rectangles((50, 24, 36), most=3)
    whole = np.full((50, 24, 36, 1), 255, np.float32)
    _, found = boxes.affine(images, truth, rng(), scale=(0.6, 0.9), share=0.0)
    np.testing.assert_array_equal(found[..., 4:], truth[..., 4:])
    old, new = (rows[:, 0, 2:4] - rows[:, 0, :2] for rows in (truth, found))
    factor = new / old
    np.testing.assert_allclose(factor[:, 0], factor[:, 1], rtol=1e-4)
    assert factor.min() > 0.6 - 1e-4
    assert factor.max() < 0.9 + 1e-4
    assert np.ptp(factor) > 0.25
    for scale, full in (((1.1, 1.6), True), ((0.6, 0.9), False)):
        back, shown = geometry.draw_placement(rng(), 50, 24, 36, scale=scale, share=0.0, degrees=0.0)
        assert (geometry.place(whole, back, shown).min() > 127) == full  # the outermost pixels are mixed with what is around


def test_a_straight_placement_is_the_same_as_a_turned_one_by_nothing():
    images, _ = rectangles((5, 30, 41))
    back, shown = geometry.draw_placement(rng(), 5, 30, 41, scale=(0.5, 2.0), share=0.3, degrees=0.0)
    fill = rng().uniform(0, 255, (5, 20)).astype(np.float32)
    almost = back + np.array([[0, 1e-12], [1e-12, 0]])
    assert geometry.is_straight(back)
    assert not geometry.is_straight(almost)
    np.testing.assert_allclose(geometry.place(images, back, shown, fill), geometry.place(images, almost, shown, fill), atol=0.02)


def test_what_comes_in_has_the_pictures_mean_colour():
    images = rng().uniform(0, 255, (20, 24, 30, 3)).astype(np.float32)
    small, _ = boxes.affine(images, np.tile(boxes.PADDING, (20, 1, 1)), rng(), scale=(0.3, 0.4), share=0.0)
    mean = images.mean(axis=(1, 2))
    is_mean = np.isclose(small, mean[:, None, None], atol=0.01).all(axis=-1)
    assert is_mean.mean() > 0.7


def test_a_mosaic_is_four_windows_with_the_picture_itself_among_them():
    """Pixels that carry their picture's number, row and column tell where each came from."""
    batch, height, width = 40, 24, 36
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    images = np.stack([np.stack([np.full_like(rows, number), rows, columns], axis=-1) for number in range(batch)])
    padding = np.tile(boxes.PADDING, (batch, 3, 1))
    joined, found = boxes.mosaic(images.astype(np.float32), padding, rng(), share=0.5)
    np.testing.assert_array_equal(found, padding)
    changed = (joined != images).any(axis=(1, 2, 3))
    assert 10 < changed.sum() < 30
    points = set()
    for number in np.flatnonzero(changed):
        origin = np.stack([joined[number, ..., 0], joined[number, ..., 1] - rows, joined[number, ..., 2] - columns], axis=-1)
        point = [np.flatnonzero(np.diff(origin[:, side], axis=0).any(axis=1)) for side in (0, -1)]
        split = int(np.concatenate(point)[0]) + 1
        other = int(np.flatnonzero(np.diff(origin[0], axis=0).any(axis=1))[0]) + 1
        points.add((split, other))
        assert height // 4 <= split <= height - height // 4
        assert width // 4 <= other <= width - width // 4
        quarters = [origin[:split, :other], origin[:split, other:], origin[split:, :other], origin[split:, other:]]
        for quarter in quarters:
            assert (quarter == quarter[0, 0]).all()
        assert number in {quarter[0, 0, 0] for quarter in quarters}
    assert len(points) > 5


def test_a_mosaics_boxes_are_as_long_as_the_fullest_picture_needs_padding_last():
    side = np.array([0.05, 0.3, 0.55, 0.8])
    near = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    rows = np.concatenate([near, near + 0.15, np.zeros((16, 2))], axis=1).astype(np.float32)
    truth = np.repeat(rows[None], 12, axis=0)
    truth[::2, 1:] = boxes.PADDING
    images = np.zeros((12, 64, 64, 1), np.float32)
    none, same = boxes.mosaic(images, truth, rng(), share=0.0)
    np.testing.assert_array_equal(same, truth)
    np.testing.assert_array_equal(none, images)
    lengths = set()
    for seed in range(10):
        _, found = boxes.mosaic(images, truth, rng(seed), share=0.8)
        there = found[..., 4] >= 0
        fullest = there.sum(axis=1).max()
        lengths.add(found.shape[1])
        assert found.shape[1] == max(16, -(-fullest // 8) * 8)
        assert (np.diff(there.astype(int), axis=1) <= 0).all()
    assert lengths == {16, 24}


def test_single_pictures_and_single_boxes_make_mosaics_too():
    images, truth = rectangles((1, 40, 40), most=1, seed=5)
    lengths = set()
    for seed in range(20):
        joined, found = boxes.mosaic(images, truth, rng(seed), share=1.0)
        compare(joined, found)
        lengths.add(found.shape[1])
    assert lengths <= {1, 2, 3, 4}
    assert max(lengths) > 1


def test_colours_change_and_boxes_do_not():
    images, truth = rectangles((4, 20, 30))
    for name in ("colour", "pca_colour"):
        changed, same = find_policy(name, "detection")[0](images, truth, rng())
        np.testing.assert_array_equal(same, truth)
        assert not np.array_equal(changed, images)
