import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from app.data import duplicates
from app.data.duplicates import count_in_two_splits
from app.images import load_picture, resize
from tests.data.photos import encoded, photo

SHAPE = (48, 64, 3)
TRAIN = np.stack([photo(seed, *SHAPE[:2]) for seed in range(60)])


def counted(pictures, train=TRAIN):
    return count_in_two_splits({"train": train, "val": np.zeros((0, *train.shape[1:]), np.uint8), "test": np.stack(pictures)})


def reencoded(picture, quality):
    return load_picture(encoded(picture, "JPEG", quality=quality), picture.shape)


def scaled(picture, share):
    height, width = (round(side * share) for side in picture.shape[:2])
    return resize(resize(picture, height, width), *picture.shape[:2])


def test_equal_pictures_are_counted():
    assert counted([TRAIN[3], TRAIN[7], photo(100)]) == {"equal": 2, "near": 0}


@pytest.mark.parametrize("quality", [40, 75, 95])
def test_a_picture_that_was_encoded_again_is_counted(quality):
    assert counted([reencoded(TRAIN[i], quality) for i in range(5)]) == {"equal": 0, "near": 5}


@pytest.mark.parametrize("share", [0.8, 1.25, 2.0])
def test_a_picture_that_was_scaled_is_counted(share):
    assert counted([scaled(TRAIN[i], share) for i in range(5)]) == {"equal": 0, "near": 5}


def test_a_brighter_copy_is_counted():
    brighter = (TRAIN[4] * 0.6 + 60).astype(np.uint8)
    assert counted([brighter]) == {"equal": 0, "near": 1}


def test_grey_copies_are_counted():
    grey = np.stack([np.asarray(Image.fromarray(picture).convert("L"))[..., None] for picture in TRAIN])
    again = load_picture(encoded(grey[5], "JPEG", quality=80), grey[5].shape)
    assert counted([grey[2], again], grey) == {"equal": 1, "near": 1}


def test_different_pictures_are_not_counted():
    assert counted([photo(seed, *SHAPE[:2]) for seed in range(100, 300)]) == {"equal": 0, "near": 0}


def test_digits_that_different_people_wrote_are_not_counted():
    digits = (load_digits().images * 15.9375).astype(np.uint8)
    found = count_in_two_splits({"train": digits[:1200, ..., None], "test": digits[1200:, ..., None]})
    assert found["equal"] == 0
    assert found["near"] <= 2  # of 597: slim ones may look the same on 8x8 pixels


def test_plain_pictures_are_not_counted():
    plain = [np.full(SHAPE, colour, np.uint8) for colour in (0, 128, 255)] + [np.broadcast_to(np.uint8([250, 9, 9]), SHAPE)]
    nearly = np.full(SHAPE, 128, np.uint8)
    nearly[5, 6] = 130
    train = np.concatenate([TRAIN, plain, [nearly]])
    assert counted([*plain, np.full(SHAPE, 77, np.uint8), nearly + np.uint8(1)], train) == {"equal": 0, "near": 0}


def test_every_pair_of_splits_is_compared_and_a_picture_counts_once_for_each():
    splits = {"train": TRAIN[:10], "val": TRAIN[10:20], "test": np.concatenate([TRAIN[:1], TRAIN[10:11], TRAIN[30:33]])}
    assert count_in_two_splits(splits) == {"equal": 2, "near": 0}


def test_copies_inside_one_split_are_not_counted():
    assert counted([photo(200), photo(200)]) == {"equal": 0, "near": 0}


def test_comparing_in_parts_finds_the_same(monkeypatch):
    pictures = [
        TRAIN[1],
        reencoded(TRAIN[59], 75),
        reencoded(TRAIN[0], 75),
        *(photo(seed, *SHAPE[:2]) for seed in range(100, 120)),
    ]
    monkeypatch.setattr(duplicates, "CHUNK", 5)
    monkeypatch.setattr(duplicates, "WIDE_CHUNK", 7)
    assert counted(pictures) == {"equal": 1, "near": 2}


def test_pictures_smaller_than_the_signature_are_compared():
    small = np.stack([photo(seed, 8, 8, 1) for seed in range(20)])
    assert counted([small[3], small[4] // 2 + 20, photo(50, 8, 8, 1)], small) == {"equal": 1, "near": 1}
