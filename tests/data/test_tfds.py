import os
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from app.config import make_config
from app.data.catalog.tfds import DATASETS
from app.data.registry import all_datasets, load_data, open_source
from app.data.spec import SPLITS
from app.errors import UserError
from app.images import load_picture, with_channels
from tests.data.photos import encoded
from tests.data.prepared import prepare, random_rows

# name: TFDS' name, channels, side if pictures share it, splits that it has
ROWS = {
    "mnist": ("mnist", 1, 28, ("train", "test")),
    "fashion_mnist": ("fashion_mnist", 1, 28, ("train", "test")),
    "kmnist": ("kmnist", 1, 28, ("train", "test")),
    "emnist": ("emnist/balanced", 1, 28, ("train", "test")),
    "cifar10": ("cifar10", 3, 32, ("train", "test")),
    "cifar100": ("cifar100", 3, 32, ("train", "test")),
    "svhn_cropped": ("svhn_cropped", 3, 32, ("train", "test", "extra")),
    "tf_flowers": ("tf_flowers", 3, None, ("train",)),
    "oxford_iiit_pet": ("oxford_iiit_pet", 3, None, ("train", "test")),
    "imagenette": ("imagenette/160px-v2", 3, None, ("train", "validation")),
}
PER_CLASS = {"train": 4, "test": 2, "validation": 2, "extra": 1}


@pytest.fixture(scope="module")
def lying(tmp_path_factory):
    """All data sets of the catalogue, prepared, with the rows that were written: name -> split -> rows."""
    folder = tmp_path_factory.mktemp("tfds")
    written = {}
    for name, (dataset, _, _, splits) in ROWS.items():
        written[name], first = {}, 0
        for split in splits:
            count = PER_CLASS[split] * all_datasets()[name].classes
            written[name][split] = random_rows(dataset, count, first)
            first += count
        prepare(folder, dataset, written[name])
    return folder, written


@pytest.fixture
def lies(lying, monkeypatch):
    folder, written = lying
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    _forget_data_dir(monkeypatch, folder)
    return written


@pytest.fixture
def nothing_lies(tmp_path, monkeypatch):
    _forget_data_dir(monkeypatch, tmp_path)
    return tmp_path


def _forget_data_dir(monkeypatch, folder):
    """TFDS reads TFDS_DATA_DIR once, when it is imported."""
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", os.fspath(folder))


def test_no_test_reaches_the_network():
    for address in (("192.0.2.1", 80), ("www.tensorflow.org", 443)):
        with pytest.raises(OSError, match="a test wanted to"):
            socket.create_connection(address, timeout=1)


def test_every_row_of_the_catalogue_is_tried():
    assert set(ROWS) == {spec.name for spec in DATASETS if "classification" in spec.objectives}


@pytest.mark.parametrize("name", ROWS)
def test_a_prepared_set_gives_what_was_written(lies, name):
    dataset, channels, side, splits = ROWS[name]
    source = open_source(name, 0)
    assert source.name == name
    assert source.classes == tuple(tfds.builder(dataset).info.features["label"].names)
    assert len(source.classes) == all_datasets()[name].classes
    assert source.channels == channels
    assert source.size == ((side, side) if side else None)
    places = {split: where_written(source, split, lies[name]) for split in SPLITS}
    published = {"val": "validation", "test": "test"} if "test" in splits else {"val": "", "test": "validation"}
    for split, origin in published.items():
        if origin in splits:
            assert sorted(places[split]) == [(origin, number) for number in range(len(lies[name][origin]))]
            continue
        assert 0 < len(places[split]) < len(places["train"])
        assert {place for place, _ in places[split]} == {"train"}
    from_train = sorted(place for found in places.values() for place in found if place[0] == "train")
    assert from_train == [("train", number) for number in range(len(lies[name]["train"]))]


def where_written(source, split, written):
    """The split and number under which each picture was written, told by its pixels; labels have to be those written there."""

    def small(picture):
        return load_picture(picture, (12, 12, source.channels)) if isinstance(picture, bytes) else picture[::2, ::2]

    places = [(name, number) for name, rows in written.items() for number in range(len(rows))]
    rows = [written[name][number] for name, number in places]
    turned = source.name == "emnist"
    originals = [small(row["image"].swapaxes(0, 1) if turned else encoded(row["image"])).astype(int) for row in rows]
    pictures, found = source.splits[split], []
    for index in range(len(pictures)):
        apart = np.abs(np.stack(originals) - small(pictures.read(index))).mean(axis=(1, 2, 3))
        nearest = apart.argmin()
        assert apart[nearest] <= (0 if source.size else 6)  # sets of any size are kept as JPEG
        assert pictures.labels[index] == rows[nearest]["label"]
        found.append(places[nearest])
    return found


@pytest.mark.parametrize("name", ["emnist", "tfds:emnist/balanced"])
def test_a_turned_picture_of_emnist_stands_upright(lies, name):
    source = open_source(name, 0)
    upright = {row["image"].swapaxes(0, 1).tobytes() for rows in lies["emnist"].values() for row in rows}
    for pictures in source.splits.values():
        assert all(pictures.read(index).tobytes() in upright for index in range(len(pictures)))


def test_a_set_of_bytes_and_one_of_pixels_train_alike(lies):
    for name, shape in {"mnist": (28, 28, 1), "emnist": (28, 28, 1), "imagenette": (32, 32, 3)}.items():
        dataset = load_data(make_config("lenet5", name, {"image_size": shape[0]}), lambda line: None)
        assert dataset.shape == shape
        assert len(np.unique(dataset.train.labels)) == len(dataset.classes)
        source = open_source(name, 0)
        first = source.splits["test"].read(0)
        expected = load_picture(first, shape) if isinstance(first, bytes) else with_channels(first, 1)
        np.testing.assert_array_equal(dataset.test.images[0], expected)


def test_any_other_classification_set_is_read_by_its_name(lies, lying):
    rows = {"train": random_rows("mnist_corrupted/spatter", 40), "test": random_rows("mnist_corrupted/spatter", 20)}
    prepare(lying[0], "mnist_corrupted/spatter", rows)
    source = open_source("tfds:mnist_corrupted/spatter", 0)
    assert source.name == "mnist_corrupted_spatter"
    assert {split: len(source.splits[split]) for split in SPLITS} == {"train": 30, "val": 10, "test": 20}


def test_a_name_and_its_long_form_are_the_same_data(lies):
    assert open_source("tfds:mnist", 0).fingerprint == open_source("mnist", 0).fingerprint
    assert open_source("mnist", 1).fingerprint != open_source("mnist", 0).fingerprint
    assert open_source("kmnist", 0).fingerprint != open_source("mnist", 0).fingerprint


def test_the_split_seed_decides_what_is_drawn(lies):
    first, again, other = (open_source("mnist", seed).splits["val"].names for seed in (0, 0, 1))
    assert first == again != other


def test_another_preparation_is_other_data(lies, lying, tmp_path, monkeypatch):
    before = open_source("mnist", 0).fingerprint
    prepare(tmp_path, "mnist", {"train": random_rows("mnist", 50), "test": random_rows("mnist", 20)})
    _forget_data_dir(monkeypatch, tmp_path)
    assert open_source("mnist", 0).fingerprint != before


def test_a_prepared_set_is_read_without_tensorflow(lying):
    code = (
        "import sys; from app.data.registry import open_source; source = open_source('mnist', 0); source.splits['train'].read(0)"
    )
    code += "; print([name for name in ('tensorflow', 'keras', 'jax', 'torch') if name in sys.modules])"
    environment = os.environ | {"TFDS_DATA_DIR": str(lying[0])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout == "[]\n", done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("tfds:mnistt", "no TFDS data set 'mnistt'; did you mean mnist, kmnist, emnist?"),
        ("tfds:cifar", "no TFDS data set 'cifar'; did you mean .*cifar10"),
        ("tfds:mnist/none", "tfds:mnist/none: BuilderConfig none not found"),
        ("tfds:mnist:99.0.0", "tfds:mnist:99.0.0: Dataset mnist cannot be loaded at version 99.0.0, only: 3.0.1"),
        ("tfds:", "tfds:: Parsing builder name string"),
        ("tfds:../mnist", "tfds:../mnist: Parsing builder name string"),
        ("tfds:coco/2017", "tfds:coco/2017 has no features 'image' and 'label'"),
        ("tfds:imdb_reviews", "tfds:imdb_reviews has no features 'image' and 'label'"),
        ("tfds:celeb_a", "tfds:celeb_a has no features 'image' and 'label'"),
        (
            "tfds:cats_vs_dogs",
            "tfds:cats_vs_dogs is not prepared in .*, and there is no network to download it; set TFDS_DATA_DIR",
        ),
        ("emnist", "tfds:emnist/balanced is not prepared in .*, and there is no network"),
    ],
)
def test_a_set_that_cannot_be_had_is_told_in_one_line(nothing_lies, data, told):
    with pytest.raises(UserError, match=told) as error:
        open_source(data, 0)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    assert list(nothing_lies.iterdir()) == []


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (ConnectionError("reset\nby peer"), "could not be downloaded: reset$"),
        (tfds.download.DownloadError("503"), "could not be downloaded: 503$"),
        (AssertionError("Manual directory is empty. Create it"), "could not be downloaded: Manual directory is empty"),
        (ImportError("No module named 'x'"), "preparing it needs a package: No module named 'x'"),
    ],
)
def test_a_download_that_fails_is_told_in_one_line(nothing_lies, monkeypatch, failure, told):
    def fail(builder, **options):
        raise failure

    monkeypatch.setattr("app.data.catalog.tfds._online", lambda: True)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(UserError, match=f"tfds:mnist is not prepared in .*{told}"):
        open_source("mnist", 0)


def test_a_download_is_prepared_for_random_access(nothing_lies, monkeypatch):
    rows = {"train": random_rows("mnist", 40), "test": random_rows("mnist", 20)}
    monkeypatch.setattr("app.data.catalog.tfds._online", lambda: True)
    builder = type(tfds.builder("mnist"))
    monkeypatch.setattr(builder, "_split_generators", lambda *_: {name: iter(enumerate(rows[name])) for name in rows})
    assert len(open_source("mnist", 0).splits["test"]) == 20
    assert list(nothing_lies.glob("mnist/3.0.1/*.array_record*"))


def test_a_set_that_lies_in_another_form_is_told(nothing_lies):
    prepare(nothing_lies, "mnist", {"train": random_rows("mnist", 20), "test": random_rows("mnist", 10)}, "tfrecord")
    with pytest.raises(
        UserError, match=r"tfds:mnist lies in .*3.0.1 as tfrecord, not as array_record; delete it, or set TFDS_DATA_DIR"
    ):
        open_source("mnist", 0)


def test_a_set_without_train_is_told(nothing_lies):
    prepare(nothing_lies, "mnist", {"test": random_rows("mnist", 20)})
    with pytest.raises(UserError, match="tfds:mnist has no split 'train' with labels; it has test"):
        open_source("mnist", 0)


def test_a_split_whose_labels_are_secret_is_drawn_from_train_instead(nothing_lies):
    rows = random_rows("mnist", 60)
    secret = [{**row, "label": -1} for row in random_rows("mnist", 30, 100)]
    prepare(nothing_lies, "mnist", {"train": rows, "test": secret})
    source = open_source("mnist", 0)
    assert all((pictures.labels >= 0).all() for pictures in source.splits.values())
    assert sum(len(pictures) for pictures in source.splits.values()) == 60


def test_a_set_that_was_prepared_anew_is_not_read_with_old_labels(nothing_lies):
    rows = random_rows("mnist", 40)
    prepare(nothing_lies, "mnist", {"train": rows, "test": rows[:10]})
    before = open_source("mnist", 0).splits["test"].labels
    shutil.rmtree(nothing_lies / "mnist")
    prepare(nothing_lies, "mnist", {"train": rows, "test": rows[:12]})
    assert len(open_source("mnist", 0).splits["test"].labels) == 12 > len(before)


def test_a_set_of_the_same_size_with_other_labels_is_other_data(nothing_lies):
    rows = random_rows("mnist", 40)
    found = []
    for step in (0, 1):
        moved = [{**row, "label": (row["label"] + step) % 10} for row in rows]
        prepare(nothing_lies, "mnist", {"train": moved, "test": moved[:10]})
        source = open_source("mnist", 0)
        found.append((source.fingerprint, source.splits["test"].labels))
        shutil.rmtree(nothing_lies / "mnist")
    assert found[0][0] != found[1][0]
    np.testing.assert_array_equal((found[0][1] + 1) % 10, found[1][1])
