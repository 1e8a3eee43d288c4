"""Every operation on masks against the pictures: a class is where its pixels are, and what came in is void."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from app.data.augment import geometry, masks, pictures, policies
from app.data.augment.policies import find_policy
from app.data.spec import VOID

SHAPES = [(6, 40, 40), (5, 30, 52), (3, 51, 33), (1, 24, 40)]
OPERATIONS, POLICIES = policies.OPERATIONS["segmentation"], policies.POLICIES["segmentation"]
CLASSES = 5


def rng(seed=1):
    return np.random.default_rng(seed)


def discs(shape, seed=0):
    """Masks of discs of a class each on class 0, a stripe of void, and pictures with a channel a class, white where it is."""
    _, height, width = shape
    generator = rng(seed)
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    truth = np.zeros(shape, np.uint8)
    for picture in truth:
        for number in range(1, CLASSES):
            row, column = generator.uniform(0, height), generator.uniform(0, width)
            picture[(rows - row) ** 2 + (columns - column) ** 2 < generator.uniform(5, 12) ** 2] = number
        picture[:, int(generator.integers(0, width - 3)) :][:, :3] = VOID
    return (truth[..., None] == np.arange(CLASSES)).astype(np.float32) * 255, truth


def applied(name, images, truth, generator):
    for operation in find_policy(name, "segmentation"):
        images, truth = operation(images, truth, generator)
    return images, truth


def black_around(monkeypatch):
    monkeypatch.setattr(geometry, "mean_colour", lambda images: np.zeros((len(images), images.shape[-1]), np.float32))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", [name for name in [*OPERATIONS, *POLICIES] if "colour" not in name])
def test_a_class_is_where_its_pixels_are(name, shape, monkeypatch):
    """Of the four pixels that a bilinear value is mixed from, the nearest counts for a quarter at least."""
    black_around(monkeypatch)
    for seed in range(5):
        images, truth = discs(shape, seed)
        generator = rng(seed)
        for operation in find_policy(name, "segmentation"):
            if operation is not pictures.colour:  # which would make white grey
                images, truth = operation(images, truth, generator)
        is_class = truth[..., None] == np.arange(CLASSES)
        assert is_class[images > 0.751 * 255].all()
        assert not is_class[images < 0.249 * 255].any()
        assert (truth != VOID).mean() > 0.3
        assert set(np.unique(truth)) <= {*range(CLASSES), VOID}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("degrees", [0.0, 35.0])
def test_a_mask_is_what_scipy_makes_of_each(shape, degrees):
    images, truth = discs(shape)
    placed, found = masks.affine(images, truth, rng(), scale=(0.5, 2.0), share=0.2, degrees=degrees)
    batch, height, width = shape
    back, shown = geometry.draw_placement(rng(), batch, height, width, scale=(0.5, 2.0), share=0.2, degrees=degrees)
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    for i in range(batch):
        offset = centre + shown[i] - back[i] @ centre
        around = np.pad(truth[i], 1, constant_values=VOID)  # scipy takes a place half a pixel outside for outside
        moved = offset + 1 - back[i] @ np.ones(2)
        expected = ndimage.affine_transform(around, back[i], moved, order=0, mode="constant", cval=VOID)[1:-1, 1:-1]
        assert (expected != found[i]).mean() < 0.002  # ties of rounding
        mean = images[i].mean(axis=(0, 1))
        for channel in range(CLASSES):
            around = np.pad(images[i, ..., channel] - mean[channel], 1)
            picture = ndimage.affine_transform(around, back[i], moved, order=1, mode="constant")[1:-1, 1:-1] + mean[channel]
            np.testing.assert_allclose(placed[i, ..., channel], picture, atol=0.1)


@pytest.mark.parametrize("name", [*OPERATIONS, *POLICIES])
def test_an_operation_leaves_its_input_alone_and_gives_the_same_for_a_seed(name):
    images, truth = discs((6, 30, 44))
    images = images[..., :3].copy()
    before = images.copy(), truth.copy()
    new, found = applied(name, images, truth, rng())
    np.testing.assert_array_equal(images, before[0])
    np.testing.assert_array_equal(truth, before[1])
    assert new.shape == images.shape
    assert found.shape == truth.shape
    assert new.dtype == np.float32
    assert found.dtype == np.uint8
    assert new.min() >= 0
    assert new.max() <= 255.001
    for result, again in zip((new, found), applied(name, images, truth, rng()), strict=True):
        np.testing.assert_array_equal(result, again)
    if name != "none":
        assert not np.array_equal(applied(name, images, truth, rng(2))[0], new)


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(1, 5), st.integers(8, 40), st.integers(8, 40)),
    st.floats(0.4, 2.5),
    st.floats(0, 0.5),
    st.sampled_from([0.0, 5.0, 90.0]),
    st.integers(0, 1000),
)
def test_void_is_what_came_in_and_what_was_void(shape, factor, share, degrees, seed):
    """A mask of class numbers that say where their pixel lay: all that is not void is from where the picture is."""
    batch, height, width = shape
    truth = np.broadcast_to((np.arange(height)[:, None] * 3 + np.arange(width)) % 200, shape).astype(np.uint8)
    images = truth[..., None].astype(np.float32)
    _, found = masks.affine(images, truth, rng(seed), scale=(factor, factor), share=share, degrees=degrees)
    back, shown = geometry.draw_placement(rng(seed), batch, height, width, scale=(factor, factor), share=share, degrees=degrees)
    places = geometry.places(back, shown, height, width).transpose(0, 2, 1)
    inside = ((places > -0.49) & (places < np.array([height, width]) - 0.51)).all(axis=-1).reshape(shape)
    outside = ((places < -0.51) | (places > np.array([height, width]) - 0.49)).any(axis=-1).reshape(shape)
    assert (found[inside] != VOID).all()
    assert (found[outside] == VOID).all()
    assert set(np.unique(found)) <= {*np.unique(truth), VOID}


def test_half_of_the_pictures_are_mirrored_and_their_masks_with_them():
    images, truth = discs((60, 12, 20))
    for operation, axis in ((masks.flip, 2), (masks.flip_vertical, 1)):
        mirrored, found = operation(images, truth, rng())
        turned = np.array([not np.array_equal(new, old) for new, old in zip(mirrored, images, strict=True)])
        assert 18 < turned.sum() < 42
        np.testing.assert_array_equal(mirrored[turned], np.flip(images[turned], axis))
        np.testing.assert_array_equal(found[turned], np.flip(truth[turned], axis))
        np.testing.assert_array_equal(found[~turned], truth[~turned])


def test_an_enlarged_window_has_nothing_from_outside_and_a_smaller_picture_is_whole():
    truth = np.zeros((50, 24, 36), np.uint8)
    truth[:, [0, 0, -1, -1], [0, -1, 0, -1]] = 1, 2, 3, 4
    images = np.zeros((50, 24, 36, 1), np.float32)
    _, large = masks.affine(images, truth, rng(), scale=(1.0, 2.0), share=0.0, degrees=0.0)
    assert (large != VOID).all()
    _, small = masks.affine(images, truth, rng(), scale=(0.5, 0.5), share=0.0, degrees=0.0)
    share = (small != VOID).mean(axis=(1, 2))
    assert abs(share - 0.25).max() < 0.04
    first = (small != VOID).any(axis=2).argmax(axis=1)
    assert len(np.unique(first)) > 5  # it lies anywhere


def test_colours_change_and_masks_do_not():
    images, truth = discs((4, 20, 30))
    for name in ("colour", "pca_colour"):
        changed, same = find_policy(name, "segmentation")[0](images, truth, rng())
        np.testing.assert_array_equal(same, truth)
        assert not np.array_equal(changed, images)


def test_masks_are_placed_the_same_in_one_part_and_in_many(monkeypatch):
    images, truth = discs((7, 20, 26))
    whole = masks.affine(images, truth, rng())
    monkeypatch.setattr(geometry, "CHUNK", 2 * 20 * 26)
    for part, expected in zip(masks.affine(images, truth, rng()), whole, strict=True):
        np.testing.assert_array_equal(part, expected)
