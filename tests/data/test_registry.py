import json

import numpy as np
import pytest

from app.config import make_config
from app.data.registry import all_datasets, check_name, load_data, open_source
from app.data.spec import SPLITS
from app.errors import UserError
from tests.data.photos import photo, write_classes


def load(data, **flags):
    return load_data(make_config("lenet5", data, flags), lambda line: None)


def test_named_sets_without_a_download_come_first():
    assert next(iter(all_datasets())) == "digits"
    assert all(spec.name == name and spec.classes > 1 for name, spec in all_datasets().items())


def test_the_digits_train_at_the_size_of_the_network():
    dataset = load("digits")
    assert dataset.shape == (32, 32, 1)
    assert {split: len(getattr(dataset, split)) for split in SPLITS} == {"train": 1257, "val": 180, "test": 360}
    assert dataset.left_out == ()
    assert dataset.in_two_splits["equal"] == 0
    assert json.loads(json.dumps(dataset.record()))["splits"] == {"train": 1257, "val": 180, "test": 360}


def test_an_image_size_that_is_given_is_used():
    assert load("digits", image_size=40).shape == (40, 40, 1)


def test_a_limit_takes_so_many_of_each_split_and_is_other_data():
    dataset = load("digits", limit=50)
    assert {split: len(getattr(dataset, split)) for split in SPLITS} == {"train": 50, "val": 50, "test": 50}
    assert np.bincount(dataset.train.labels).min() >= 4
    assert len({load("digits", limit=limit).fingerprint for limit in (0, 50, 60)}) == 3


def test_a_limit_above_what_is_there_changes_nothing():
    assert len(load("digits", limit=200).val) == 180


def test_a_folder_and_a_file_are_found_by_their_paths(tmp_path, monkeypatch):
    write_classes(tmp_path / "set", cats=9, dogs=9)
    images = np.stack([photo(seed, 8, 8) for seed in range(20)])
    np.savez(tmp_path / "arrays.npz", x_train=images, y_train=np.arange(20) % 2)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for data in ("set", "./set", str(tmp_path / "set"), "~/set"):
        assert open_source(data, 0).classes == ("cats", "dogs")
    for data in ("arrays.npz", "~/arrays.npz"):
        assert open_source(data, 0).name == "arrays"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("mnits", "no data set 'mnits'; did you mean mnist"),
        ("qqqq", "no data set 'qqqq'; there are: digits, "),
        ("no/such/folder", "there is no no/such/folder; data is a name, tfds:<name>, a folder of pictures or a .npz file"),
        ("gone.npz", "there is no gone.npz; data is a name"),
        ("there.zip", "there.zip is a file; data is a name"),
        ("", "no data set ''"),
    ],
)
def test_data_that_is_not_there_is_told_in_one_line(tmp_path, monkeypatch, data, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.zip").touch()
    with pytest.raises(UserError, match=told):
        check_name(data)
