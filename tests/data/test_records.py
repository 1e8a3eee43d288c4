"""Boxes and masks of TFDS, of data sets that TFDS' own builders wrote."""

import os

import numpy as np
import pytest
import tensorflow_datasets as tfds

from app.data.catalog.tfds import DATASETS
from app.data.decode import decode
from app.data.registry import all_datasets, open_source
from app.data.spec import SPLITS, VOID
from app.errors import UserError
from tests.data.photos import photo
from tests.data.prepared import prepare, random_rows


def thing(label, *edges, **flags):
    box = tfds.features.BBox(*edges)
    return {"bbox": box, "label": label, "is_difficult": False, "is_truncated": False, "pose": 0, **flags}


def boxed(count, first=0):
    """Pictures of VOC: all have a box of their own class, every third a difficult one, too."""
    rows = []
    for number in range(first, first + count):
        own = [thing(number % 20, 0.25, 0.5, 0.75, 1.0)]
        difficult = [thing(3, 0.0, 0.0, 0.5, 0.5, is_difficult=True)] if number % 3 == 0 else []
        picture = photo(number, 20, 30, cells=4)
        rows.append(
            {"image": picture, "image/filename": "x.jpg", "objects": own + difficult, "labels": [0], "labels_no_difficult": [0]}
        )
    return rows


@pytest.fixture
def lies(tmp_path, monkeypatch):
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", os.fspath(tmp_path))
    return tmp_path


@pytest.fixture
def voc(lies):
    prepare(lies, "voc/2007", {"train": boxed(40), "validation": boxed(20, 100), "test": boxed(20, 200)})
    return lies


@pytest.fixture
def pets(lies):
    rows = {"train": random_rows("oxford_iiit_pet", 74), "test": random_rows("oxford_iiit_pet", 37, 100)}
    for each in rows.values():
        for row in each:
            height, width = row["image"].shape[:2]
            mask = np.full((height, width, 1), 2, np.uint8)
            mask[5:15, 5:15], mask[5:15, 14:16] = 1, 3
            row["segmentation_mask"] = mask
    prepare(lies, "oxford_iiit_pet", rows)
    return lies


def test_boxes_of_voc_are_those_that_were_written(voc):
    source = open_source("voc2007", 0, "detection")
    assert source.objective == "detection"
    assert source.classes == tuple(tfds.builder("voc/2007").info.features["objects"].feature["label"].names)
    assert {split: len(source.splits[split]) for split in SPLITS} == {"train": 40, "val": 20, "test": 20}
    for split, first in (("train", 0), ("val", 100), ("test", 200)):
        labels = source.splits[split].labels
        assert labels.dtype == np.float32
        assert labels.shape[1:] == (2, 6)
        # The rows of a prepared set lie in an order of their own; every class is written equally often.
        own = labels[:, 0]
        assert sorted(own[:, 4]) == sorted(number % 20 for number in range(first, first + len(labels)))
        assert (own[:, :4] == (0.25, 0.5, 0.75, 1.0)).all()
        assert not own[:, 5].any()
        second = labels[:, 1]
        difficult = second[second[:, 4] >= 0]
        assert len(difficult) == sum(number % 3 == 0 for number in range(first, first + len(labels)))
        assert (difficult == (0, 0, 0.5, 0.5, 3, 1)).all()
        assert (second[second[:, 4] < 0] == (0, 0, 0, 0, -1, 0)).all()


def test_boxes_stay_with_their_pictures(voc):
    dataset = decode(open_source("voc2007", 0, "detection"), 20, 30, lambda line: None)
    for picture, boxes in zip(dataset.test.images[:5], dataset.test.labels, strict=False):
        apart = [np.abs(photo(number, 20, 30, cells=4).astype(int) - picture).mean() for number in range(200, 220)]
        number = 200 + int(np.argmin(apart))
        assert boxes[0, 4] == number % 20
        assert (boxes[1, 4] >= 0) == (number % 3 == 0)


def test_a_test_split_without_a_box_is_kept_secret(lies):
    secret = [{**row, "objects": []} for row in boxed(20, 200)]
    prepare(lies, "voc/2007", {"train": boxed(60), "validation": boxed(20, 100), "test": secret})
    source = open_source("tfds:voc/2007", 0, "detection")
    assert {split: len(source.splits[split]) for split in SPLITS} == {"train": 40, "val": 20, "test": 20}
    assert {name.split()[0] for split in ("train", "val") for name in source.splits[split].names} == {"train"}
    assert {name.split()[0] for name in source.splits["test"].names} == {"validation"}


def test_another_set_with_boxes_is_read_by_its_name(lies):
    def rows(count, first):
        names = ("alpha", "dimensions", "location", "rotation_y", "truncated")
        more = {name: np.zeros(3, np.float32) if name in ("dimensions", "location") else 0.0 for name in names}
        box = tfds.features.BBox(0.1, 0.2, 0.3, 0.4)
        objects = [[{"bbox": box, "type": number % 8, "occluded": 0, **more}] for number in range(first, first + count)]
        return [
            {"image": photo(first + place, 20, 30), "image/file_name": "x", "objects": each} for place, each in enumerate(objects)
        ]

    prepare(lies, "kitti", {"train": rows(24, 0), "validation": rows(8, 30), "test": rows(8, 60)})
    source = open_source("tfds:kitti", 0, "detection")
    assert source.name == "kitti"
    assert source.classes[:3] == ("Car", "Van", "Truck")
    assert {split: len(source.splits[split]) for split in SPLITS} == {"train": 24, "val": 8, "test": 8}
    assert source.splits["val"].labels[0, 0, :4].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_masks_of_pets_are_pet_on_background_with_a_void_border(pets):
    source = open_source("oxford_iiit_pet", 0, "segmentation")
    assert source.objective == "segmentation"
    assert source.classes == ("background", "pet")
    assert sum(len(source.splits[split]) for split in SPLITS) == 111
    assert len(source.splits["test"]) == 37
    for split in SPLITS:
        mask = source.splits[split].mask(0)
        expected = np.zeros_like(mask)
        expected[5:15, 5:15], expected[5:15, 14:16] = 1, VOID
        np.testing.assert_array_equal(mask, expected)
    dataset = decode(source, 20, 30, lambda line: None)
    assert set(np.unique(dataset.test.labels)) == {0, 1, VOID}


def test_a_row_gives_what_is_wanted_of_it(pets):
    found = {objective: open_source("oxford_iiit_pet", 0, objective) for objective in ("classification", "segmentation")}
    assert len(found["classification"].classes) == 37
    assert found["classification"].fingerprint != found["segmentation"].fingerprint
    assert all_datasets()["oxford_iiit_pet"].objectives == ("classification", "segmentation")
    with pytest.raises(UserError, match="tfds:oxford_iiit_pet has no features 'image' and 'objects'"):
        open_source("oxford_iiit_pet", 0, "detection")


@pytest.mark.parametrize(
    ("data", "objective", "told"),
    [
        (
            "mnist",
            "detection",
            "tfds:mnist has no features 'image' and 'objects' with a box and a class each; choose a detection set",
        ),
        ("tfds:mnist", "segmentation", "tfds:mnist has no features 'image' and 'segmentation_mask'; choose a segmentation set"),
        (
            "voc2007",
            "classification",
            r"tfds:voc/2007 has no features 'image' and 'label' \(a class\); choose a classification set",
        ),
        ("tfds:wider_face", "detection", "tfds:wider_face has no features 'image' and 'objects'"),
        ("voc2007", "detection", "tfds:voc/2007 is not prepared in .*, and there is no network"),
    ],
)
def test_a_set_without_what_is_wanted_is_told_before_it_is_downloaded(lies, data, objective, told):
    with pytest.raises(UserError, match=told):
        open_source(data, 0, objective)
    assert list(lies.iterdir()) == []


def test_every_row_with_boxes_or_masks_is_tried():
    assert {spec.name for spec in DATASETS if spec.objectives != ("classification",)} == {"voc2007", "oxford_iiit_pet"}
