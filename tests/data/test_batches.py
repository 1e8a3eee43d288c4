from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.config import make_config
from app.data.batches import Batches, first_batch
from app.data.spec import Dataset, Split
from app.data.targets.one_hot import one_hot
from tests.data.photos import photo

COUNT, CLASSES = 50, 5
NAMES = tuple(f"class {number}" for number in range(CLASSES))


def made(counts=(10,) * CLASSES):
    """Each picture tells its number in its first pixel."""
    images = np.stack([photo(i, 9, 11) for i in range(sum(counts))])
    images[:, 0, 0, 0] = np.arange(len(images))
    split = Split(images, np.repeat(np.arange(len(counts)), counts))
    return Dataset("made", NAMES[: len(counts)], "made", split, split, split)


DATASET = made()


def batches(training=True, dataset=DATASET, **flags):
    config = make_config("lenet5", "made", {"batch_size": 16, "epochs": 10, "label_smoothing": 0.0, "augment": "none", **flags})
    return Batches(dataset.train, dataset, config, training=training)


def epoch_of(given, epoch):
    given.epoch = epoch
    return [given[index] for index in range(len(given))]


def numbers(epoch):
    return np.concatenate([images[:, 0, 0, 0] for images, *_ in epoch]).astype(int)


def same(one, other):
    return all(np.array_equal(a, b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("epoch", [0, 3])
def test_every_picture_comes_exactly_once_an_epoch_with_its_own_target(epoch):
    seen = epoch_of(batches(), epoch)
    assert [len(images) for images, _ in seen] == [16, 16, 16, 2]
    assert sorted(numbers(seen)) == list(range(COUNT))
    for images, targets in seen:
        assert images.dtype == targets.dtype == np.float32
        chosen = images[:, 0, 0, 0].astype(int)
        np.testing.assert_array_equal(images, DATASET.train.images[chosen])
        np.testing.assert_array_equal(targets, np.eye(CLASSES)[DATASET.train.labels[chosen]])


@pytest.mark.parametrize(("size", "lengths"), [(50, [50]), (25, [25, 25]), (64, [50]), (49, [49, 1])])
def test_the_last_batch_holds_what_is_left(size, lengths):
    assert [len(images) for images, _ in epoch_of(batches(batch_size=size), 0)] == lengths


def test_seed_and_epoch_decide_the_order():
    first = numbers(epoch_of(batches(), 0))
    np.testing.assert_array_equal(numbers(epoch_of(batches(), 0)), first)
    assert not np.array_equal(numbers(epoch_of(batches(), 1)), first)
    assert not np.array_equal(numbers(epoch_of(batches(seed=1), 0)), first)
    assert not np.array_equal(first, np.arange(COUNT))


def test_an_epoch_is_the_same_whatever_was_read_before():
    given = batches(augment="photos+cutmix")
    second = epoch_of(given, 1)
    epoch_of(given, 0)
    assert same(epoch_of(given, 1), second)
    assert same(epoch_of(batches(augment="photos+cutmix"), 1), second)
    assert not same(epoch_of(given, 2), second)


def test_threads_in_any_order_give_the_same_batches():
    expected = epoch_of(batches(augment="strong", batch_size=4), 2)
    given = batches(augment="strong", batch_size=4)
    given.epoch = 2
    with ThreadPoolExecutor(6) as pool:
        reverse = list(pool.map(given.__getitem__, reversed(range(len(given)))))
    assert same(reversed(reverse), expected)


def test_keras_reads_the_same_batches_in_order_with_several_workers():
    config = make_config("lenet5", "made", {"batch_size": 16, "epochs": 2, "augment": "photos"})
    given = Batches(DATASET.train, DATASET, config, training=True, workers=3)
    expected = epoch_of(batches(augment="photos", epochs=2, label_smoothing=config.label_smoothing), 1)
    given.epoch = 1
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

    adapter = PyDatasetAdapter(given, shuffle=False)
    adapter.on_epoch_begin()
    iterator = adapter.get_numpy_iterator()
    read = [next(iterator) for _ in range(len(given))]
    adapter.on_epoch_end()
    assert same(read, expected)


def test_the_seed_and_the_batch_decide_the_augmentation():
    flags = {"augment": "flip+colour", "batch_size": 50}
    first = epoch_of(batches(**flags), 0)
    assert not same(epoch_of(batches(**flags, seed=1), 0), first)
    plain = made((50,))
    plain.train.images[...] = photo(1, 9, 11)
    (one, *_), (two, *_), *_ = epoch_of(batches(dataset=plain, augment="colour"), 0)
    assert not np.array_equal(one, two)


def test_the_first_augmentation_does_not_repeat_the_draws_of_the_order():
    seen = []
    given = batches()
    given.policy = (lambda images, targets, rng: (seen.append(rng.random()), (images, targets))[1],)
    epoch_of(given, 0)
    assert np.random.default_rng((given.config.seed, 0)).random() not in seen
    assert len(set(seen)) == len(given)


@pytest.mark.parametrize(("clean", "augmented"), [(0.0, 10), (0.2, 8), (0.25, 8), (1.0, 0)])
def test_the_last_epochs_are_clean(clean, augmented):
    given = batches(augment="colour", clean_epochs=clean)
    for epoch in (0, 7, 8, 9):
        changed = any(not np.array_equal(images, images.round()) for images, _ in epoch_of(given, epoch))
        assert changed == (epoch < augmented)


def test_validation_comes_in_order_and_as_it_is():
    given = batches(training=False, augment="strong", label_smoothing=0.1, class_weights="balanced")
    for epoch in (0, 5):
        seen = epoch_of(given, epoch)
        np.testing.assert_array_equal(numbers(seen), np.arange(COUNT))
        np.testing.assert_array_equal(np.concatenate([images for images, _ in seen]), DATASET.train.images)
        np.testing.assert_array_equal(np.concatenate([targets for _, targets in seen]), np.eye(CLASSES)[DATASET.train.labels])


def test_smoothing_spreads_a_share_over_all_classes_in_training_alone():
    (_, targets), *_ = epoch_of(batches(label_smoothing=0.1), 0)
    assert sorted({float(value) for value in targets.round(4).ravel()}) == pytest.approx([0.02, 0.92])
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(one_hot(np.array([2, 0]), 4, 0.2), [[0.05, 0.05, 0.85, 0.05], [0.85, 0.05, 0.05, 0.05]])
    np.testing.assert_array_equal(one_hot(np.array([1]), 3), [[0, 1, 0]])


def test_balanced_classes_weigh_the_same_in_sum_and_the_mean_picture_one():
    dataset = made((30, 12, 6, 1, 1))
    seen = epoch_of(batches(dataset=dataset, class_weights="balanced"), 0)
    targets, weights = (np.concatenate([batch[part] for batch in seen]) for part in (1, 2))
    assert weights.dtype == np.float32
    assert weights.shape == (50,)
    np.testing.assert_allclose(targets.T @ weights, np.full(5, 10), rtol=1e-6)
    assert weights.mean() == pytest.approx(1)


def test_a_mixed_picture_weighs_as_its_classes_do_by_their_shares():
    dataset = made((30, 12, 6, 1, 1))
    given = batches(dataset=dataset, class_weights="balanced", augment="mixup")
    weights = given.class_weights
    for _, targets, mixed in epoch_of(given, 0):
        np.testing.assert_allclose(mixed, targets @ weights, rtol=1e-5)


def test_without_class_weights_there_are_none():
    assert all(len(batch) == 2 for batch in epoch_of(batches(), 0))


def test_pictures_in_the_memory_map_are_untouched(tmp_path):
    np.save(tmp_path / "images.npy", DATASET.train.images)
    before = (tmp_path / "images.npy").read_bytes()
    images = np.load(tmp_path / "images.npy", mmap_mode="r+")
    split = Split(images, DATASET.train.labels)
    dataset = Dataset("made", NAMES, "made", split, split, split)
    for epoch in range(2):
        epoch_of(batches(dataset=dataset, augment="strong+shift+cutmix"), epoch)
    images.flush()
    assert (tmp_path / "images.npy").read_bytes() == before


def test_the_first_batch_is_kept_as_the_network_sees_it():
    given = batches(augment="photos", batch_size=50, label_smoothing=0.1)
    kept, (images, targets) = first_batch(given), given[0]
    assert kept["images"].dtype == np.uint8
    np.testing.assert_allclose(kept["images"], images, atol=0.51)
    np.testing.assert_array_equal(kept["labels"], targets)
    assert len(first_batch(batches(dataset=made((40, 40)), batch_size=80))["images"]) == 64


def test_windows_are_cut_from_the_enlarged_pictures_while_there_is_augmentation():
    config = make_config("lenet5", "made", {"batch_size": 16, "epochs": 10, "augment": "window", "clean_epochs": 0.5})
    square = Split(np.zeros((COUNT, 8, 8, 3), np.uint8), DATASET.train.labels)
    enlarged = Split(np.full((COUNT, 10, 10, 3), 200, np.uint8), square.labels)
    given = Batches(square, DATASET, config, training=True, enlarged=enlarged)
    augmented, clean = epoch_of(given, 0), epoch_of(given, 5)
    assert {images.shape[1:] for images, _ in augmented + clean} == {(8, 8, 3)}
    assert {float(images.mean()) for images, _ in augmented} == {200.0}
    assert {float(images.mean()) for images, _ in clean} == {0.0}


def test_every_head_gets_the_targets_and_the_weights_of_the_classes():
    config = make_config("lenet5", "made", {"batch_size": 16, "class_weights": "balanced", "augment": "none"})
    plain = Batches(DATASET.train, DATASET, config, training=True)[0]
    images, targets, weights = Batches(DATASET.train, DATASET, config, training=True, heads=("logits", "auxiliary1"))[0]
    assert list(targets) == list(weights) == ["logits", "auxiliary1"]
    for name in targets:
        assert same([plain], [(images, targets[name], weights[name])])


def test_boxes_that_are_an_input_have_one_length_through_the_whole_training():
    rng = np.random.default_rng(0)
    labels = np.full((8, 2, 6), -1, np.float32)
    labels[:4, 0] = (0.2, 0.2, 0.8, 0.8, 0, 0)
    split = Split(rng.integers(0, 255, (8, 64, 64, 1)).astype(np.uint8), labels)
    dataset = Dataset("boxes", ("a",), "0", split, split, split)
    settings = {"batch_size": 4, "epochs": 2, "clean_epochs": 0.5, "augment": "scenes", "warmup": 0.5}
    config = make_config("faster_rcnn_small", "scenes", settings)
    lengths = set()
    for training in (True, False):
        given = Batches(split, dataset, config, training=training, encode=lambda boxes: {"truth": boxes})
        for given.epoch in (0, 1):
            for index in range(len(given)):
                ([inputs],) = [given[index]]
                assert set(inputs) == {"image", "truth"}
                lengths.add(inputs["truth"].shape[1])
                assert set(inputs["truth"][..., 4].ravel()) <= {-1, 0}
    assert lengths == {8}
