import io
import zipfile

import numpy as np
import pytest

from app.config import make_config
from app.data.formats import npz
from app.data.registry import load_data
from app.errors import UserError
from tests.data.photos import photo

GREY = np.stack([photo(seed, 8, 9, 1)[..., 0] for seed in range(40)])
LABELS = np.arange(40) % 4


def written(tmp_path, **arrays):
    np.savez(tmp_path / "set.npz", **arrays)
    return tmp_path / "set.npz"


@pytest.mark.parametrize("images", [GREY, GREY[..., None], np.repeat(GREY[..., None], 3, axis=-1)], ids=["hw", "hw1", "hw3"])
@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], LABELS.astype(np.uint8)], ids=["n", "n1", "bytes"])
def test_pictures_and_labels_are_those_of_the_file(tmp_path, images, labels):
    source = npz.load(written(tmp_path, x_train=images, y_train=labels), 0)
    assert source.classes == ("0", "1", "2", "3")
    assert source.size == (8, 9)
    assert source.channels == (3 if images.shape[-1] == 3 else 1)
    seen = []
    for pictures in source.splits.values():
        for index, name in enumerate(pictures.names):
            number = int(name.split()[1])
            np.testing.assert_array_equal(pictures.read(index), images[number].reshape(8, 9, -1))
            assert pictures.labels[index] == LABELS[number]
            seen.append(number)
    assert sorted(seen) == list(range(40))


def test_given_splits_and_class_names_are_used(tmp_path):
    file = written(
        tmp_path, x_train=GREY[:20], y_train=LABELS[:20], x_val=GREY[20:28], y_val=LABELS[20:28],
        x_test=GREY[28:], y_test=LABELS[28:], classes=np.array(["ä", "b", "c", "d"]),
    )  # fmt: skip
    source = npz.load(file, 0)
    assert source.classes == ("ä", "b", "c", "d")
    assert {split: len(pictures) for split, pictures in source.splits.items()} == {"train": 20, "val": 8, "test": 12}


def test_a_file_trains_like_any_data(tmp_path):
    config = make_config("lenet5", str(written(tmp_path, x_train=GREY, y_train=LABELS)), {"image_size": 32})
    dataset = load_data(config, lambda line: None)
    assert dataset.shape == (32, 32, 1)
    assert len(dataset.train) + len(dataset.val) + len(dataset.test) == 40


@pytest.mark.parametrize(
    "change",
    [
        {"x_train": np.where(np.arange(GREY.size).reshape(GREY.shape) == 77, GREY ^ 1, GREY)},
        {"x_train": GREY.reshape(40, 9, 8)},
        {"y_train": LABELS[::-1]},
        {"y_train": LABELS.astype(np.int32)},
        {"classes": np.array(list("abcd"))},
    ],
    ids=["a pixel", "the shape", "labels", "their type", "names"],
)
def test_a_change_of_the_data_changes_its_fingerprint(tmp_path, change):
    whole = {"x_train": GREY, "y_train": LABELS}
    before = npz.load(written(tmp_path, **whole), 0).fingerprint
    assert npz.load(written(tmp_path, **whole), 0).fingerprint == before
    assert npz.load(written(tmp_path, **whole), 1).fingerprint != before
    assert npz.load(written(tmp_path, **whole | change), 0).fingerprint != before


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({}, "has no arrays; expected x_train uint8"),
        ({"images": GREY, "labels": LABELS}, "has images, labels; expected x_train"),
        ({"x_test": GREY, "y_test": LABELS}, "has x_test, y_test; expected x_train"),
        ({"x_train": GREY}, "y_train does not fit x_train"),
        ({"x_train": GREY.astype(np.float32), "y_train": LABELS}, r"x_train is float32 \(40, 8, 9\); expected"),
        ({"x_train": GREY.astype(np.int64), "y_train": LABELS}, "x_train is int64"),
        ({"x_train": GREY[0], "y_train": LABELS[:8]}, r"x_train is uint8 \(8, 9\)"),
        ({"x_train": np.zeros((40, 8, 9, 4), np.uint8), "y_train": LABELS}, r"x_train is uint8 \(40, 8, 9, 4\)"),
        ({"x_train": np.zeros((40, 0, 9), np.uint8), "y_train": LABELS}, r"x_train is uint8 \(40, 0, 9\)"),
        ({"x_train": GREY[:0], "y_train": LABELS[:0]}, r"x_train is uint8 \(0, 8, 9\)"),
        ({"x_train": GREY, "y_train": LABELS[:39]}, r"y_train does not fit x_train \(int64 \(39,\)\)"),
        ({"x_train": GREY, "y_train": LABELS.astype(float)}, "y_train does not fit x_train"),
        ({"x_train": GREY, "y_train": np.eye(4, dtype=int)[LABELS]}, "y_train does not fit x_train"),
        ({"x_train": GREY, "y_train": LABELS - 1}, "y_train does not fit x_train"),
        ({"x_train": GREY, "y_train": LABELS + 1}, "labels up to 4 but 4 of them in y_train; number them from 0 without gaps"),
        ({"x_train": GREY, "y_train": LABELS * 10**14}, "labels up to 300000000000000 but 4 of them"),
        ({"x_train": GREY, "y_train": LABELS, "classes": np.array(["a", "b", "c"])}, "labels up to 3 but 3 classes"),
        ({"x_train": GREY, "y_train": LABELS * 0}, "has 1 class; at least 2 are needed"),
        ({"x_train": GREY, "y_train": LABELS, "x_test": GREY, "y_test": LABELS + 1}, "labels up to 4 but 4 of them"),
        ({"x_train": GREY, "y_train": LABELS, "x_val": GREY[:, :5], "y_val": LABELS}, r"x_val has pictures \(5, 9\), x_train"),
        ({"x_train": GREY, "y_train": LABELS.astype(object)}, "Object arrays cannot be loaded"),
    ],
)  # fmt: skip
def test_arrays_that_cannot_be_used_are_told_in_one_line(tmp_path, arrays, told):
    with pytest.raises(UserError, match=told) as error:
        npz.load(written(tmp_path, **arrays), 0)
    assert "\n" not in str(error.value)


def test_a_class_without_pictures_is_told_by_its_name(tmp_path):
    file = written(tmp_path, x_train=GREY, y_train=LABELS, classes=np.array(["a", "b", "c", "d", "none"]))
    with pytest.raises(UserError, match="no readable picture to train on for none"):
        load_data(make_config("lenet5", str(file), {"image_size": 32}), lambda line: None)


def torn(data):
    return data[: len(data) // 2]


def with_a_byte_changed(data):
    return data[:200] + bytes([data[200] ^ 255]) + data[201:]


def plain_zip():
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        file.writestr("x_train.npy", b"no array")
    return held.getvalue()


def one_array():
    held = io.BytesIO()
    np.save(held, GREY)
    return held.getvalue()


def whole():
    held = io.BytesIO()
    np.savez_compressed(held, x_train=GREY, y_train=LABELS)
    return held.getvalue()


@pytest.mark.parametrize(
    "data", [b"", b"words", one_array(), torn(whole()), with_a_byte_changed(whole()), plain_zip()],
    ids=["empty", "words", "npy", "torn", "changed", "zip"],
)  # fmt: skip
def test_a_file_that_is_no_npz_is_told_in_one_line(tmp_path, data):
    file = tmp_path / "set.npz"
    file.write_bytes(data)
    with pytest.raises(UserError, match=r"(is not a .npz file|cannot be read|x_train is).*; expected x_train") as error:
        npz.load(file, 0)
    assert "\n" not in str(error.value)
