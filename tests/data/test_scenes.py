import itertools

import numpy as np
import pytest

from app.data.catalog import digits, scenes
from app.data.registry import all_datasets, open_source
from app.data.spec import SPLITS
from app.errors import UserError

FEW = {"train": 40, "val": 8, "test": 8}


@pytest.fixture(scope="module")
def boxes():
    return open_source("scenes", 0, "detection")


@pytest.fixture(scope="module")
def masks():
    return open_source("scenes", 0, "segmentation")


@pytest.fixture
def few(monkeypatch):
    """Scenes are decided one by one, so that a test can do with the first of them."""
    monkeypatch.setattr(scenes, "SCENES", FEW)


def there(labels):
    return labels[labels[..., 4] >= 0]


def test_the_splits_have_the_scenes_that_the_table_promises(boxes, masks):
    for source in (boxes, masks):
        assert {split: len(source.splits[split]) for split in SPLITS} == {"train": 3000, "val": 300, "test": 300}
        assert source.size == (128, 128)
        assert source.channels == 1
    assert all_datasets()["scenes"].objectives == ("detection", "segmentation")
    assert boxes.classes == tuple("0123456789")
    assert masks.classes == ("background", *"0123456789")
    assert (boxes.objective, masks.objective) == ("detection", "segmentation")
    assert boxes.fingerprint != masks.fingerprint


def test_every_class_is_about_as_frequent_in_every_split(boxes):
    for split in SPLITS:
        counts = np.bincount(there(boxes.splits[split].labels)[:, 4].astype(int), minlength=10)
        assert counts.min() > 0.6 * counts.mean()


def test_boxes_are_fractions_of_the_canvas_and_fill_up_with_no_box(boxes):
    for split in SPLITS:
        labels = boxes.splits[split].labels
        assert labels.dtype == np.float32
        assert labels.shape[1:] == (5, 6)
        empty = labels[labels[..., 4] < 0]
        assert (empty == (0, 0, 0, 0, -1, 0)).all()
        found = there(labels)
        assert (found[:, :2] < found[:, 2:4]).all()
        assert found[:, :4].min() >= 0
        assert found[:, :4].max() <= 1
        assert (found[:, 5] == 0).all()
        counts = (labels[..., 4] >= 0).sum(axis=1)
        assert set(counts) == {2, 3, 4, 5}


@pytest.mark.parametrize(("side", "lowest", "highest", "most"), [(64, 20, 40, 3), (128, 22, 52, 5), (256, 26, 76, 9)])
def test_number_and_height_of_the_digits_grow_with_the_canvas(few, side, lowest, highest, most):
    labels = scenes.compose(side, side, objective="detection").splits["train"].labels
    heights = (there(labels)[:, 2] - there(labels)[:, 0]) * side
    assert heights.min() >= lowest
    assert heights.max() <= highest
    assert heights.max() - heights.min() > 0.8 * (highest - lowest)
    counts = (labels[..., 4] >= 0).sum(axis=1)
    assert counts.min() == 2
    assert counts.max() == most


def test_a_box_is_tight_around_the_ink_of_its_digit(boxes, masks):
    for split in SPLITS:
        for index in range(50):
            mask, ink = masks.splits[split].mask(index), np.zeros((128, 128), bool)
            for ymin, xmin, ymax, xmax, number in there(boxes.splits[split].labels[index])[:, :5] * ([128] * 4 + [1]):
                part = mask[round(ymin) : round(ymax), round(xmin) : round(xmax)] == number + 1
                ink[round(ymin) : round(ymax), round(xmin) : round(xmax)] = True
                covered = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
                for found, length in zip(covered, part.shape, strict=True):  # a digit in front may hide a row or two
                    assert found[0] <= 0.2 * length
                    assert found[-1] >= 0.8 * length - 1
            assert (mask[~ink] == 0).all()
            assert mask.max() <= 10


def test_a_lone_box_ends_where_its_ink_ends(boxes, masks):
    """Where no other box touches it, the first and last row and column of a box have ink."""
    looked_at = 0
    for index in range(100):
        rows = (there(boxes.splits["train"].labels[index])[:, :4] * 128).round().astype(int)
        mask = masks.splits["train"].mask(index)
        for place, (ymin, xmin, ymax, xmax) in enumerate(rows):
            others = np.delete(rows, place, axis=0)
            if ((others[:, :2] < (ymax, xmax)) & (others[:, 2:] > (ymin, xmin))).all(axis=1).any():
                continue
            part = mask[ymin:ymax, xmin:xmax] > 0
            assert part[0].any()
            assert part[-1].any()
            assert part[:, 0].any()
            assert part[:, -1].any()
            looked_at += 1
    assert looked_at > 200


def test_digits_hardly_overlap(boxes):
    for labels in boxes.splits["train"].labels:
        for one, other in itertools.combinations(there(labels)[:, :4] * 128, 2):
            sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
            smaller = min(np.prod(box[2:] - box[:2]) for box in (one, other))
            assert sides.clip(0).prod() <= 0.0801 * smaller


def test_digits_are_brighter_than_what_they_lie_on_in_nearly_all_scenes(masks):
    pictures = masks.splits["test"]
    apart = []
    for index in range(100):
        pixels, ink = pictures.read(index)[..., 0].astype(float), pictures.mask(index) > 0
        apart.append(pixels[ink].mean() - pixels[~ink].mean())
    assert np.mean(np.array(apart) > 30) > 0.9
    assert min(apart) > 0


def test_both_objectives_see_the_same_pixels(boxes, masks):
    for split in SPLITS:
        picture = boxes.splits[split].read(7)
        assert picture.shape == (128, 128, 1)
        assert picture.dtype == np.uint8
        np.testing.assert_array_equal(picture, masks.splits[split].read(7))


def test_a_scene_is_decided_by_its_split_and_number_alone(boxes):
    again = open_source("scenes", 5, "detection")
    assert again.fingerprint == boxes.fingerprint
    for split in SPLITS:
        np.testing.assert_array_equal(again.splits[split].read(99), boxes.splits[split].read(99))
        np.testing.assert_array_equal(again.splits[split].labels, boxes.splits[split].labels)
    seen = {boxes.splits[split].read(index).tobytes() for split in SPLITS for index in range(100)}
    assert len(seen) == 300


def test_the_first_scenes_stay_when_there_are_fewer(boxes, few):
    fewer = scenes.load(0, "detection")
    for index in range(8):
        np.testing.assert_array_equal(fewer.splits["test"].read(index), boxes.splits["test"].read(index))
    assert fewer.fingerprint != boxes.fingerprint


def test_no_digit_stands_in_two_splits(few, monkeypatch):
    taken = {}
    whole = scenes._templates

    def note(pictures):
        taken[len(taken)] = [pictures.read(index).tobytes() for index in range(len(pictures))]
        return whole(pictures)

    monkeypatch.setattr(scenes, "_templates", note)
    scenes.load(0, "detection")
    splits = digits.load(0).splits
    assert [len(part) for part in taken.values()] == [len(splits[split]) for split in SPLITS]
    for one, other in itertools.combinations(taken.values(), 2):
        assert not set(one) & set(other)


def test_a_canvas_need_not_be_square(few):
    source = scenes.compose(96, 192, objective="segmentation")
    assert source.size == (96, 192)
    pictures = source.splits["train"]
    assert pictures.read(0).shape == (96, 192, 1)
    assert pictures.mask(0).shape == (96, 192)
    assert source.compose(64, 64).splits["val"].mask(1).shape == (64, 64)


@pytest.mark.parametrize(
    ("name", "value"),
    [("INK", 0.4), ("OVERLAP", 0.02), ("SEED", 1), ("TEMPLATE", 64), ("LEAST_HEIGHT", 22)],
)
def test_what_changes_pixels_changes_the_fingerprint(few, monkeypatch, name, value):
    before = scenes.load(0, "segmentation").fingerprint
    assert scenes.load(0, "segmentation").fingerprint == before
    monkeypatch.setattr(scenes, name, value)
    assert scenes.load(0, "segmentation").fingerprint != before


def test_another_ground_changes_the_fingerprint_though_no_box_moves(few, monkeypatch):
    before = scenes.load(0, "detection")
    monkeypatch.setattr(scenes, "_ground", lambda rng, height, width: np.zeros((height, width), np.float32))
    after = scenes.load(0, "detection")
    np.testing.assert_array_equal(after.splits["train"].labels, before.splits["train"].labels)
    assert after.fingerprint != before.fingerprint


def test_a_canvas_changes_the_fingerprint(few):
    assert scenes.compose(64, 64, objective="detection").fingerprint != scenes.compose(64, 66, objective="detection").fingerprint


def test_a_canvas_without_room_is_refused():
    with pytest.raises(UserError, match="scenes cannot be 128x48; they need 64 pixels a side: --image-size 64"):
        scenes.compose(48, 128, objective="detection")
