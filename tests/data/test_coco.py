import json

import numpy as np
import pytest

from app.data import folders
from app.data.decode import decode
from app.data.spec import SPLITS, VOID
from app.errors import UserError
from tests.data.photos import encoded, photo

HEIGHT, WIDTH = 20, 40
CATEGORIES = {3: "cat", 7: "dog"}


class Split:
    """A JSON file that grows, with its pictures."""

    def __init__(self, file, pictures, categories=CATEGORIES):
        self.file, self.place = file, pictures
        self.images, self.annotations = [], []
        self.categories = [{"id": number, "name": name} for number, name in categories.items()]

    def add(self, name, *annotations, write=True, **more):
        """A picture of 40x20; an annotation is (category, x, y, width, height) or a dict."""
        number = len(self.images) + 100
        self.images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT, **more})
        for each in annotations:
            known = each if isinstance(each, dict) else {"category_id": each[0], "bbox": list(each[1:])}
            self.annotations.append({"id": len(self.annotations) + 1, "image_id": number, "iscrowd": 0, **known})
        if write:
            path = self.place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(photo(sum(str(path).encode()), HEIGHT, WIDTH)))
        return self

    def save(self):
        self.file.parent.mkdir(parents=True, exist_ok=True)
        content = {"images": self.images, "annotations": self.annotations, "categories": self.categories}
        self.file.write_text(json.dumps(content))
        return self


def challenge(folder, split="train2017"):
    return Split(folder / "annotations" / f"instances_{split}.json", folder / split)


def load(folder, objective="detection"):
    return folders.load(folder, 0, objective)


def boxes_of(source, name):
    for split in source.splits.values():
        for index, known in enumerate(split.names):
            if known.endswith(name):
                return split.labels[index][split.labels[index][:, 4] >= 0]
    raise AssertionError(name)


def mask_of(source, name):
    for split in source.splits.values():
        for index, known in enumerate(split.names):
            if known.endswith(name):
                return split.mask(index)
    raise AssertionError(name)


def outline(category, *polygons, **more):
    return {"category_id": category, "segmentation": [list(polygon) for polygon in polygons], "bbox": [0, 0, 1, 1], **more}


LEFT_HALF = (0, 0, 20, 0, 20, 20, 0, 20)
SQUARE = (5, 5, 15, 5, 15, 15, 5, 15)


def test_boxes_of_the_challenge_s_layout(tmp_path):
    train, val = challenge(tmp_path), challenge(tmp_path, "val2017")
    for number in range(8):
        train.add(f"{number}.png", (7, 10, 5, 20, 10), (3, 0, 0, 40, 20))
    val.add("v.png", (3, 0, 10, 4, 10))
    train.save(), val.save()
    source = load(tmp_path)
    assert source.classes == ("cat", "dog")
    assert source.left_out == ()
    assert {split: len(source.splits[split]) for split in SPLITS} == {"train": 7, "val": 1, "test": 1}
    assert boxes_of(source, "3.png").tolist() == [[0.25, 0.25, 0.75, 0.75, 1, 0], [0, 0, 1, 1, 0, 0]]
    assert boxes_of(source, "v.png")[0].tolist() == pytest.approx([0.5, 0, 1, 0.1, 0, 0])


def test_roboflow_s_export_has_a_category_that_nothing_is_of(tmp_path):
    for split, count in (("train", 3), ("valid", 1), ("test", 2)):
        part = Split(tmp_path / split / "_annotations.coco.json", tmp_path / split, {0: "animals", 1: "dog", 2: "cat"})
        for number in range(count):
            part.add(f"{number}.png", (1, 0, 0, 20, 10), (2, 0, 0, 10, 10))
        part.save()
    (tmp_path / "README.roboflow.txt").touch()
    source = load(tmp_path)
    assert source.classes == ("dog", "cat")
    assert {split: len(source.splits[split]) for split in SPLITS} == {"train": 3, "val": 1, "test": 2}
    assert [str(item) for item in source.left_out] == ["class animals: there is no box of it"]
    assert boxes_of(source, "test/1.png")[:, 4].tolist() == [0, 1]


def test_one_file_is_what_is_trained_on(tmp_path):
    part = Split(tmp_path / "result.json", tmp_path / "images")
    for number in range(20):
        part.add(f"{number}.png", (3, 0, 0, 20, 10), (7, 0, 0, 10, 10))
    part.save()
    (tmp_path / "notes.json").write_text('{"a": 1}')
    assert {split: len(load(tmp_path).splits[split]) for split in SPLITS} == {"train": 15, "val": 2, "test": 3}


def test_numbers_may_be_words(tmp_path):
    for name in ("train", "val", "test"):
        part = challenge(tmp_path, name).add("a.png", (3, 0, 0, 20, 10), (7, 0, 0, 10, 10))
        for entry in part.images + part.categories:
            entry["id"] = str(entry["id"])
        for entry in part.annotations:
            entry |= {"image_id": str(entry["image_id"]), "category_id": str(entry["category_id"])}
        part.save()
    assert boxes_of(load(tmp_path), "train/a.png")[:, 4].tolist() == [0, 1]


def test_a_crowd_is_ignored_and_a_picture_without_annotations_is_background(tmp_path):
    train, val, test = (challenge(tmp_path, name) for name in ("train", "val", "test"))
    for part in (train, val, test):
        part.add("a.png", {"category_id": 3, "bbox": [0, 0, 10, 10], "iscrowd": 1}, (3, 0, 0, 10, 10), (7, 0, 0, 10, 10))
        part.add("empty.png").save()
    source = load(tmp_path)
    assert boxes_of(source, "train/a.png")[:, 5].tolist() == [1, 0, 0]
    assert len(boxes_of(source, "val/empty.png")) == 0
    assert [len(source.splits[split]) for split in SPLITS] == [2, 2, 2]


def test_every_broken_thing_is_told_at_once_and_the_rest_is_used(tmp_path):
    train, val, test = (challenge(tmp_path, name) for name in ("train", "val", "test"))
    for part in (val, test):
        part.add("a.png", (3, 0, 0, 10, 10), (7, 0, 0, 10, 10)).save()
    train.add("good.png", (3, 30, 10, 20, 20), (7, 0, 0, 10, 10))
    train.add("bad.png", (3, 5, 5, 0, 4), (7, 50, 5, 4, 4), {"category_id": 3, "bbox": [1, 2]}, {"category_id": 7})
    train.add("gone.png", (3, 0, 0, 10, 10), write=False)
    train.add("small.png", (3, 0, 0, 10, 10), width=400, height=200)
    train.add("unknown.png", (99, 0, 0, 10, 10))
    train.add("words.png", write=False)
    (tmp_path / "train" / "words.png").write_text("words")
    train.annotations += ["x", {"id": 50, "image_id": 1, "category_id": 3, "bbox": [0, 0, 1, 1]}, {"image_id": [], "id": 1}]
    train.images += [5, {"file_name": "a.png"}, dict(train.images[0])]
    train.save()
    source = load(tmp_path)
    file = "annotations/instances_train.json"
    assert sorted(map(str, source.left_out)) == sorted(
        [
            f"{file}, bad.png: box 1 (cat) has no area",
            f"{file}, bad.png: box 2 (dog) lies outside the picture",
            f"{file}, bad.png: box 3 (cat) is not four numbers",
            f"{file}, bad.png: box 4 (dog) is not four numbers",
            f"{file}, gone.png: its picture gone.png is not there",
            f"{file}: 1 annotations of the image 1, which is none of the images",
            f"{file}: an annotation without image_id or category_id: x",
            f"{file}: an annotation without image_id or category_id: {{'image_id': [], 'id': 1}}",
            f"{file}: an image without an id of its own: 5",
            f"{file}: an image without an id of its own: {{'file_name': 'a.png'}}",
            f"{file}: an image without an id of its own: {{'id': 100, 'file_name': 'good.png', 'wi",
            f"{file}: annotation 9 has the category 99, which is none of the categories",
            "train/small.png: annotations/instances_train.json, small.png is for 400x200 pixels, the picture has 40x20",
            "train/words.png: not a picture",
        ]
    )
    assert boxes_of(source, "good.png")[0].tolist() == [0.5, 0.75, 1, 1, 0, 0]
    assert [len(source.splits[split]) for split in SPLITS] == [3, 1, 1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"images": [], "annotations": [', r"instances_train.json is not JSON \(.*\); mend it or export it again"),
        ('{"images": [], "annotations": {}}', r"instances_train.json lacks annotations, categories; COCO's files have lists of"),
        ('{"images": [], "annotations": [], "categories": []}', r"has no box to train on, in 0 pictures"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_line(tmp_path, text, told):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train.json").write_text(text)
    with pytest.raises(UserError, match=told) as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


def test_without_a_file_to_train_on_it_is_told_which_there_are(tmp_path):
    challenge(tmp_path, "val").add("a.png", (3, 0, 0, 1, 1)).save()
    with pytest.raises(UserError, match=r"has annotations/instances_val.json but none to train on; expected annotations/inst"):
        load(tmp_path)


def test_files_whose_split_is_not_told_are_left_out(tmp_path):
    for name in ("train", "val", "test", "more"):
        challenge(tmp_path, name).add("a.png", (3, 0, 0, 9, 9), (7, 0, 0, 9, 9)).save()
    left_out = [str(item) for item in load(tmp_path).left_out]
    assert left_out == ["annotations/instances_more.json: neither its name nor its folder's says train, val or test"]


def test_fingerprints_follow_boxes(tmp_path):
    parts = [challenge(tmp_path, name) for name in ("train", "val", "test")]
    for part in parts:
        part.add("a.png", (3, 0, 0, 9, 9), (7, 0, 0, 9, 9)).save()
    before = load(tmp_path).fingerprint
    assert load(tmp_path).fingerprint == before
    parts[0].annotations[0]["bbox"] = [0, 0, 9, 8]
    parts[0].save()
    assert load(tmp_path).fingerprint != before


@pytest.fixture
def outlined(tmp_path):
    pytest.importorskip("pycocotools")
    for name in ("train", "val", "test"):
        part = challenge(tmp_path, name)
        part.add("a.png", outline(7, SQUARE, area=100), outline(3, LEFT_HALF, area=400))
        part.add("empty.png").save()
    return tmp_path


def test_outlines_become_masks_with_small_things_in_front(outlined):
    source = load(outlined, "segmentation")
    assert source.objective == "segmentation"
    assert source.classes == ("background", "cat", "dog")
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[:, :20] = 1
    expected[5:15, 5:15] = 2
    np.testing.assert_array_equal(mask_of(source, "train/a.png"), expected)
    assert not mask_of(source, "val/empty.png").any()


def test_run_lengths_and_crowds(outlined):
    whole = {"counts": [0, 200, 600], "size": [HEIGHT, WIDTH]}  # by columns: the first ten
    part = challenge(outlined, "train")
    part.add("a.png", outline(7, SQUARE), outline(3, LEFT_HALF))
    part.add("b.png", {"category_id": 3, "segmentation": whole, "iscrowd": 1}, {"category_id": 7, "segmentation": whole}).save()
    part.add("c.png", {"category_id": 7, "segmentation": whole, "iscrowd": 1}).save()
    source = load(outlined, "segmentation")
    crowd = mask_of(source, "c.png")
    assert (crowd[:, :10] == VOID).all()
    assert not crowd[:, 10:].any()


def test_the_other_class_s_number_is_its_place_among_the_names(outlined):
    for name in ("train", "val", "test"):
        part = Split(
            outlined / "annotations" / f"instances_{name}.json", outlined / name, {1: "never", 2: "background", 3: "cat"}
        )
        part.add("a.png", outline(3, SQUARE)).save()
    source = load(outlined, "segmentation")
    assert source.classes == ("background", "cat")
    assert set(np.unique(mask_of(source, "test/a.png"))) == {0, 1}
    assert [str(item) for item in source.left_out] == ["class never: no mask has it"]


def test_broken_outlines_are_told_and_the_rest_is_used(outlined):
    part = challenge(outlined, "train")
    part.add("a.png", outline(7, SQUARE), outline(3, LEFT_HALF, area=400), outline(3), {"category_id": 7, "bbox": [0, 0, 4, 4]})
    part.add("b.png", {"category_id": 3, "segmentation": {"counts": [0, 3], "size": [9, 9]}})
    part.add("c.png", {"category_id": 3, "segmentation": {"counts": "no run lengths", "size": [HEIGHT, WIDTH]}})
    part.save()
    source = load(outlined, "segmentation")
    told = sorted(map(str, source.left_out))
    file = "annotations/instances_train.json"
    assert told[0] == f"{file}, a.png: annotation 3 (cat) has no outline"
    assert told[1] == f"{file}, a.png: annotation 4 (dog) has no outline"
    assert told[2].startswith(f"{file}, b.png: ")
    assert mask_of(source, "train/a.png").max() == 2
    assert not any(name.endswith("b.png") for name in source.splits["train"].names)


def test_decoded_masks_are_those_of_the_pictures(outlined):
    dataset = decode(load(outlined, "segmentation"), 10, 20, lambda line: None)
    assert dataset.train.labels.shape == (2, 10, 20)
    mask = dataset.train.labels[0]
    assert (mask[:, 10:] == 0).all()
    assert (mask[3:7, 3:7] == 2).all()
    assert (mask[:2, :10] == 1).all()
