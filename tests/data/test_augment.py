"""Every operation against a slow one for a single picture, or against what must not change."""

import numpy as np
import pytest
from scipy import ndimage

from app.data.augment import geometry, policies
from app.data.augment.pictures import affine, colour, colour_axes, cutmix, cutout, flip, mixup, pca_colour, shift, zoom
from app.data.augment.policies import enlargement, find_policy, fitted
from app.errors import UserError
from tests.data.photos import photo

SHAPES = [(1, 28, 28, 1), (5, 20, 31, 3), (41, 17, 12, 3), (4, 12, 33, 1)]
OPERATIONS, POLICIES = policies.OPERATIONS["classification"], policies.POLICIES["classification"]
STILL = {"degrees": 0.0, "scale": 0.0, "shear": 0.0, "share": 0.0}


def batch_of(shape, classes=4, seed=0):
    images = np.stack([photo(seed + i, *shape[1:]) for i in range(shape[0])]).astype(np.float32)
    targets = np.eye(classes, dtype=np.float32)[np.arange(shape[0]) % classes]
    return images, targets


def rng(seed=1):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", [*OPERATIONS, *POLICIES])
def test_a_policy_gives_float32_pictures_in_range_and_leaves_its_input_alone(name, shape):
    images, targets = batch_of(shape)
    before = images.copy(), targets.copy()
    new, new_targets = images, targets
    for operation in find_policy(name):
        new, new_targets = operation(new, new_targets, rng())
    np.testing.assert_array_equal(images, before[0])
    np.testing.assert_array_equal(targets, before[1])
    assert new.shape == shape
    assert new.dtype == new_targets.dtype == np.float32
    assert new.min() >= 0
    assert new.max() <= 255.001
    np.testing.assert_allclose(new_targets.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("name", [*OPERATIONS, *(name for name in POLICIES if name != "none")])
def test_each_picture_of_a_batch_is_changed_in_its_own_way_and_the_seed_decides(name):
    one, _ = batch_of((1, 24, 24, 3))
    images = np.repeat(one, 16, axis=0) if name not in ("mixup", "cutmix") else batch_of((16, 24, 24, 3))[0]
    targets = np.eye(16, dtype=np.float32)

    def changed(seed):
        generator, new, soft = rng(seed), images, targets
        for operation in find_policy(name):
            new, soft = operation(new, soft, generator)
        return new

    results = changed(1)
    assert len({result.tobytes() for result in results}) >= 2
    np.testing.assert_array_equal(changed(1), results)
    assert not np.array_equal(changed(2), results)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["edge", "constant"])
def test_shift_moves_whole_pixels_by_the_offsets_drawn(shape, mode):
    images, targets = batch_of(shape)
    moved, same = shift(images, targets, rng(), share=0.2, mode=mode)
    count, height, width, _ = shape
    most = max(1, round(0.2 * height)), max(1, round(0.2 * width))
    generator = rng()
    offsets = np.stack([generator.integers(0, 2 * side + 1, count) - side for side in most], axis=1)
    fill = {"mode": "nearest"} if mode == "edge" else {"mode": "constant", "cval": 0}
    expected = [ndimage.shift(images[i], (-down, -across, 0), order=0, **fill) for i, (down, across) in enumerate(offsets)]
    np.testing.assert_array_equal(moved, expected)
    np.testing.assert_array_equal(same, targets)


def test_shift_reaches_both_ends_of_its_range():
    images = np.zeros((400, 9, 9, 1), np.float32)
    images[:, 4, 4] = 255
    moved, _ = shift(images, np.zeros((400, 2), np.float32), rng(), share=1 / 9)
    rows, columns = np.nonzero(moved[..., 0].sum(axis=0))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 5, 3, 5)


def test_flip_mirrors_half_of_the_pictures_and_twice_is_none():
    images, targets = batch_of((200, 6, 9, 3))
    mirrored, same = flip(images, targets, rng())
    turned = np.array([not np.array_equal(new, old) for new, old in zip(mirrored, images, strict=True)])
    assert 70 < turned.sum() < 130
    np.testing.assert_array_equal(mirrored[turned], images[turned][:, :, ::-1])
    np.testing.assert_array_equal(flip(mirrored, same, rng())[0], images)


@pytest.mark.parametrize("shape", SHAPES)
def test_affine_with_nothing_to_do_changes_nothing(shape):
    images, targets = batch_of(shape)
    np.testing.assert_allclose(affine(images, targets, rng(), **STILL)[0], images, atol=1e-3)


def reference_affine(picture, angle, stretch, slant, moved):
    """The whole map of one picture, in float64, by scipy; black comes in from outside."""
    height, width, channels = picture.shape
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = rotation @ np.array([[1, slant], [0, 1]]) / np.reshape(stretch, (2, 1))
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    offset = centre + moved - matrix @ centre
    padded = np.pad(picture.astype(np.float64), ((1, 1), (1, 1), (0, 0)))  # bilinear towards black, as the operation does
    offset = offset + 1 - matrix @ np.array([1.0, 1.0])
    planes = [ndimage.affine_transform(padded[..., c], matrix, offset, order=1, mode="constant") for c in range(channels)]
    return np.stack(planes, axis=-1)[1:-1, 1:-1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "ranges",
    [
        {"degrees": 40.0},
        {"share": 0.3},
        {"scale": 0.4},
        {"shear": 0.5},
        {"degrees": 30.0, "share": 0.2, "scale": 0.3, "shear": 0.3},
    ],
    ids=["turned", "moved", "scaled", "sheared", "all"],
)
def test_affine_is_what_scipy_makes_of_each_picture(shape, ranges):
    images, targets = batch_of(shape)
    most = STILL | ranges
    new, same = affine(images, targets, rng(), **most)
    count, height, width, _ = shape
    generator = rng()
    angle = np.deg2rad(generator.uniform(-most["degrees"], most["degrees"], count))
    stretch = 1 + generator.uniform(-most["scale"], most["scale"], (2, count))
    slant = generator.uniform(-most["shear"], most["shear"], count)
    moved = generator.uniform(-most["share"], most["share"], (count, 2)) * [height, width]
    for i in range(count):
        expected = reference_affine(images[i], angle[i], stretch[:, i], slant[i], moved[i])
        np.testing.assert_allclose(new[i], expected, atol=0.05)
    np.testing.assert_array_equal(same, targets)


def test_a_quarter_turn_is_exact(monkeypatch):
    images, targets = batch_of((3, 15, 15, 3))

    class Quarter:
        def uniform(self, low, high, size):
            return np.full(size, high)

    turned, _ = affine(images, targets, Quarter(), **STILL | {"degrees": 90.0})
    np.testing.assert_allclose(turned, np.rot90(images, 1, axes=(1, 2)), atol=1e-2)


def test_what_affine_brings_in_is_black_on_every_side():
    images = np.full((64, 12, 16, 1), 255, np.float32)
    new, _ = affine(images, np.zeros((64, 2), np.float32), rng(), **STILL | {"share": 3.0})
    assert {0.0, 255.0} <= set(np.unique(new))
    gone = new.reshape(64, -1).max(axis=1) == 0
    assert gone.any()  # moved out as a whole: exactly 0 is left, whichever way it went


@pytest.mark.parametrize("shape", SHAPES)
def test_colour_is_what_it_does_to_each_picture(shape):
    images, targets = batch_of(shape)
    new, same = colour(images, targets, rng(), brightness=0.5, contrast=0.6, saturation=0.7)
    generator = rng()
    bright, steep, vivid = (generator.uniform(1 - most, 1 + most, shape[0]) for most in (0.5, 0.6, 0.7))
    for i in range(shape[0]):
        expected = images[i].astype(np.float64) * bright[i]
        expected = expected.mean() + (expected - expected.mean()) * steep[i]
        if shape[3] == 3:
            grey = (expected * [0.299, 0.587, 0.114]).sum(axis=-1, keepdims=True)
            expected = grey + (expected - grey) * vivid[i]
        np.testing.assert_allclose(new[i], expected.clip(0, 255), atol=0.01)
    np.testing.assert_array_equal(same, targets)


def test_colour_keeps_the_range_and_grey_stays_grey():
    images = np.repeat(batch_of((8, 20, 20, 1))[0], 3, axis=-1)
    new, _ = colour(images, np.zeros((8, 2), np.float32), rng(), brightness=0.9, contrast=0.9, saturation=0.9)
    np.testing.assert_allclose(new.max(axis=-1), new.min(axis=-1), atol=1e-3)
    assert new.min() >= 0
    assert new.max() <= 255


def test_colour_with_nothing_to_do_changes_nothing():
    images, targets = batch_of((4, 10, 12, 3))
    np.testing.assert_allclose(colour(images, targets, rng(), brightness=0, contrast=0, saturation=0)[0], images, atol=1e-3)


@pytest.mark.parametrize("shape", [(60, 40, 40, 3), (60, 20, 40, 1)])
def test_cutout_covers_one_box_of_the_wanted_size_with_the_mean(shape):
    images = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    new, same = cutout(images, np.zeros((60, 2), np.float32), rng(), share=0.25)
    covered = (new != images).any(axis=-1)
    whole = 0
    for i in range(60):
        rows, columns = np.nonzero(covered[i].any(axis=1))[0], np.nonzero(covered[i].any(axis=0))[0]
        assert covered[i].sum() == len(rows) * len(columns)  # a box, and nothing outside it
        assert 0 < len(rows) <= shape[1] // 4 + 1
        assert 0 < len(columns) <= shape[2] // 4 + 1
        whole += len(rows) >= shape[1] // 4 and len(columns) >= shape[2] // 4
        np.testing.assert_allclose(new[i][covered[i]], np.broadcast_to(images[i].mean(axis=(0, 1)), (covered[i].sum(), shape[3])))
    assert whole > 20  # most boxes lie inside as a whole
    np.testing.assert_array_equal(same, 0)


def plain_batch(count=50, height=10, width=14):
    """Pictures of one value each, so that a mixture tells where its pixels come from, and targets that tell the same."""
    values = np.arange(count, dtype=np.float32)
    return np.broadcast_to(values[:, None, None, None], (count, height, width, 1)).copy(), np.eye(count, dtype=np.float32)


def test_mixup_blends_pixels_and_targets_alike():
    images, targets = plain_batch()
    new, soft = mixup(images, targets, rng(), alpha=1.0)
    np.testing.assert_allclose(new[:, 0, 0, 0], soft @ np.arange(50), rtol=1e-4, atol=1e-4)
    assert (new == new[:, :1, :1]).all()
    assert (np.diag(soft) >= 0.5 - 1e-6).all()  # a picture stays mostly itself
    assert ((soft > 0).sum(axis=1) <= 2).all()
    assert len(np.unique(np.diag(soft).round(3))) > 20  # each in its own share


@pytest.mark.parametrize("channels", [1, 3])
def test_cutmix_gives_targets_by_the_share_of_pixels(channels):
    images, targets = plain_batch()
    images = np.repeat(images, channels, axis=-1)
    new, soft = cutmix(images, targets, rng())
    for i in range(50):
        values, counts = np.unique(new[i, ..., 0], return_counts=True)
        shares = np.zeros(50)
        shares[values.astype(int)] = counts / counts.sum()
        np.testing.assert_allclose(soft[i], shares, atol=1e-6)
        assert len(values) <= 2
    mixed = (soft > 0).sum(axis=1) == 2
    assert mixed.sum() > 30


def test_soft_targets_stay_soft_when_they_are_mixed():
    images, _ = plain_batch(8)
    targets = np.full((8, 8), 0.02, np.float32) + np.eye(8, dtype=np.float32) * 0.84
    for operation in (mixup, cutmix):
        soft = operation(images, targets, rng())[1]
        np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-6)
        assert soft.min() >= 0.02 - 1e-6


def test_a_single_picture_is_mixed_with_itself():
    images, targets = batch_of((1, 9, 9, 3))
    for operation in (mixup, cutmix):
        new, soft = operation(images, targets, rng())
        np.testing.assert_allclose(new, images, atol=1e-3)
        np.testing.assert_allclose(soft, targets, atol=1e-6)


def test_policies_are_joined_in_order():
    assert find_policy("flip") == (flip,)
    assert find_policy("flip+cutout+flip") == (flip, cutout, flip)
    assert find_policy("none") == ()
    assert find_policy("none+digits") == POLICIES["digits"] == (affine,)
    assert find_policy("photos+mixup") == (*POLICIES["photos"], mixup)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("flipp", "no augmentation 'flipp'; did you mean flip"),
        ("crop+cutot", "no augmentation 'cutot'; did you mean cutout"),
        ("xyz", "no augmentation 'xyz'; there are: none, digits, crop, photos, strong, shift, flip"),
        ("", "no augmentation ''; there are: none"),
        ("flip+", "no augmentation ''"),
    ],
)
def test_an_unknown_augmentation_is_told_with_the_nearest(name, told):
    with pytest.raises(UserError, match=told.replace("?", r"\?")):
        find_policy(name)


def test_pictures_are_interpolated_the_same_in_one_part_and_in_many(monkeypatch):
    images, targets = batch_of((20, 12, 15, 3))
    whole = affine(images, targets, rng())[0]
    monkeypatch.setattr(geometry, "CHUNK", 3 * 12 * 15)
    np.testing.assert_array_equal(affine(images, targets, rng())[0], whole)


@pytest.mark.parametrize("factor", [1.0, 1.5, 2.3])
def test_a_window_is_the_enlarged_picture_cut_out(factor):
    """A slope stays a slope: its steepness tells the scale, its first value where the window lies."""
    rows, columns = np.meshgrid(np.arange(40.0), np.arange(40.0), indexing="ij")
    slopes = np.repeat(np.stack([rows, columns], axis=-1)[None], 50, axis=0).astype(np.float32)
    windows, _ = zoom(slopes, np.eye(50), rng(), smallest=factor, largest=factor, side=20)
    assert windows.shape == (50, 20, 20, 2)
    step = 40 / factor / 20
    inner = windows[:, 2:-2, 2:-2]
    np.testing.assert_allclose(np.diff(inner[..., 0], axis=1), step, atol=1e-3)
    np.testing.assert_allclose(np.diff(inner[..., 1], axis=2), step, atol=1e-3)
    first = windows[:, 2, 2] - 2.5 * step + 0.5
    assert first.min() >= -1e-3
    assert (first + 40 / factor).max() <= 40 + 1e-3
    spread = 40 - 40 / factor
    assert (np.ptp(first, axis=0) >= 0.8 * spread - 1e-3).all()


def test_scales_are_drawn_for_each_picture_over_the_papers_range():
    slopes = np.repeat(np.arange(60.0)[None, :, None, None], 300, axis=0).repeat(60, axis=2).astype(np.float32)
    windows, _ = find_policy("scales")[0](slopes, np.eye(300), rng())
    factors = 1 / np.diff(windows[:, 20:22, 30, 0], axis=1).ravel()
    assert factors.min() >= 256 / 224 - 1e-3
    assert factors.max() <= 512 / 224 + 1e-3
    assert factors.min() < 1.2
    assert factors.max() > 2.2


def test_pictures_are_stored_as_large_as_their_largest_window_needs():
    assert enlargement(find_policy("flip+colour")) == 1
    assert enlargement(find_policy("window+flip")) == 256 / 224
    assert enlargement(find_policy("scales+flip")) == 512 / 224


def test_a_window_out_of_a_window_is_refused():
    with pytest.raises(UserError, match="cuts two windows"):
        find_policy("scales+flip+window")


def test_the_axes_of_colours_are_those_of_their_covariance():
    along = rng(3).normal(0, 20, (4000, 1)) * [[1.0, 0.5, 0.25]] + rng(4).normal(0, 2, (4000, 3)) + 128
    axes = colour_axes(along.reshape(10, 20, 20, 3).astype(np.float32))
    values = np.linalg.norm(axes, axis=0) / 255
    np.testing.assert_allclose(np.sort(values), np.sort(np.linalg.eigvalsh(np.cov(along / 255, rowvar=False))), rtol=1e-3)
    longest = axes[:, values.argmax()]
    np.testing.assert_allclose(np.abs(longest / longest[0]), [1, 0.5, 0.25], atol=0.02)


def test_colours_move_along_the_axes_of_the_training_pictures_all_pixels_alike():
    images, targets = batch_of((200, 6, 6, 3))
    images = images * 0.2 + 100  # far from black and white, where nothing is cut off
    axes = np.diag([30.0, 0.0, 10.0]).astype(np.float32)
    moved = pca_colour(images, targets, rng(), axes=axes)[0] - images
    np.testing.assert_allclose(np.ptp(moved, axis=(1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(moved[:, 0, 0].std(axis=0), [3, 0, 1], rtol=0.15, atol=1e-4)


def test_an_operation_that_learns_is_fitted_to_the_training_pictures():
    images, targets = batch_of((8, 24, 24, 3))
    window, colours = fitted(find_policy("window+pca_colour"), images, 12)
    small, _ = window(images, targets, rng())
    assert small.shape == (8, 12, 12, 3)
    expected = pca_colour(small, targets, rng(), axes=colour_axes(images))[0]
    np.testing.assert_array_equal(colours(small, targets, rng())[0], expected)
    assert fitted(find_policy("flip"), images, 12) == find_policy("flip")
