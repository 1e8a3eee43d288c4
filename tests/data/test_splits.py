import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.data.catalog import digits
from app.data.splits import stratified


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.floats(0, 1), st.integers(0, 9))
def test_a_draw_takes_each_picture_once_and_leaves_every_class_one(sizes, share, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    count = round(share * len(labels))
    rest, held = stratified(labels, count, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([rest, held])), np.arange(len(labels)))
    assert (np.bincount(labels[rest], minlength=len(sizes)) >= 1).all()
    drawable = np.array(sizes) > 1
    assert (np.bincount(labels[held], minlength=len(sizes))[drawable] >= 1).all()
    least, most = drawable.sum(), len(labels) - len(sizes)
    assert len(held) == min(max(count, least), most)


def test_a_draw_keeps_the_shares_to_one_picture():
    labels = np.repeat([0, 1, 2], [100, 50, 31])
    _, held = stratified(labels, 40, 3)
    assert len(held) == 40
    assert np.abs(np.bincount(labels[held]) - 40 / 181 * np.array([100, 50, 31])).max() < 1


def test_the_seed_decides_the_draw():
    labels = np.arange(200) % 4
    first, again, other = (stratified(labels, 40, seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("seed", [0, 5])
def test_the_digits_have_one_split_for_every_seed(seed):
    source = digits.load(seed)
    assert {split: len(pictures) for split, pictures in source.splits.items()} == {"train": 1257, "val": 180, "test": 360}
    assert source.fingerprint == digits.load(0).fingerprint
    names = [name for pictures in source.splits.values() for name in pictures.names]
    assert len(set(names)) == 1797
    for pictures in source.splits.values():
        assert np.bincount(pictures.labels).min() / np.bincount(pictures.labels).max() > 0.9
    assert source.splits["train"].read(0).max() == 255
