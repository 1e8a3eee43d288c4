import numpy as np
import pytest

from app.data import folders
from app.data.decode import decode
from app.data.spec import SPLITS
from app.errors import UserError
from tests.data.photos import encoded, photo

HEIGHT, WIDTH = 20, 40


def write(folder, name, *objects, size=(HEIGHT, WIDTH), ending=".jpg", picture=True, annotations="Annotations"):
    """A picture of 40x20 and its XML; an object is (class, xmin, ymin, xmax, ymax) or more text of XML."""
    place = folder / annotations
    pictures = folder / ("JPEGImages" if annotations else "")
    for each in (place, pictures):
        each.mkdir(parents=True, exist_ok=True)
    parts = [each if isinstance(each, str) else thing(*each) for each in objects]
    stated = f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>"
    text = f"<annotation><filename>{name}{ending}</filename>{stated}{''.join(parts)}</annotation>"
    (place / f"{name}.xml").write_text(text)
    if picture:
        seed = sum(name.encode()) * 7 + len(list(pictures.iterdir()))
        (pictures / f"{name}{ending}").write_bytes(encoded(photo(seed, HEIGHT, WIDTH), "JPEG"))


def thing(name, xmin, ymin, xmax, ymax, more=""):
    edges = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<object><name>{name}</name>{more}<bndbox>{edges}</bndbox></object>"


def write_lists(folder, **names):
    place = folder / "ImageSets" / "Main"
    place.mkdir(parents=True, exist_ok=True)
    for name, lines in names.items():
        (place / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))


def load(folder):
    return folders.load(folder, 0, "detection")


def stems(source):
    return {
        split: sorted(name.rpartition("/")[2].partition(".")[0] for name in source.splits[split].names) for split in source.splits
    }


def boxes_of(source, stem):
    for split in source.splits.values():
        for name, labels in zip(split.names, split.labels, strict=True):
            if name.rpartition("/")[2].partition(".")[0] == stem:
                return labels[labels[:, 4] >= 0]
    raise AssertionError(stem)


@pytest.fixture
def listed(tmp_path):
    """Pictures in three splits, with a class in each."""
    for number in range(6):
        write(tmp_path, f"p{number}", ("cat", 1, 1, 20, 10), ("dog", 21, 11, 40, 20))
    write_lists(tmp_path, train=["p0", "p1", "p2"], val=["p3"], test=["p4", "p5"])
    return tmp_path


def test_a_box_from_1_to_the_last_pixel_is_the_whole_picture(tmp_path):
    write(tmp_path, "whole", ("cat", 1, 1, WIDTH, HEIGHT))
    write(tmp_path, "right half", ("cat", 21, 1, 40, 20))
    for number in range(8):
        write(tmp_path, f"other{number}", ("cat", 11, 6, 20, 20))
    source = load(tmp_path)
    assert source.objective == "detection"
    assert source.classes == ("cat",)
    assert boxes_of(source, "whole").tolist() == [[0, 0, 1, 1, 0, 0]]
    assert boxes_of(source, "right half").tolist() == [[0, 0.5, 1, 1, 0, 0]]
    assert boxes_of(source, "other3").tolist() == [[0.25, 0.25, 1, 0.5, 0, 0]]


def test_classes_are_numbered_by_their_names(listed):
    source = load(listed)
    assert source.classes == ("cat", "dog")
    assert boxes_of(source, "p4")[:, 4].tolist() == [0, 1]
    assert source.left_out == ()


def test_lists_decide_the_splits(listed):
    assert stems(load(listed)) == {"train": ["p0", "p1", "p2"], "val": ["p3"], "test": ["p4", "p5"]}


def test_trainval_without_train_gives_what_val_has_not(listed):
    for name in ("train", "test"):
        (listed / "ImageSets" / "Main" / f"{name}.txt").unlink()
    write_lists(listed, trainval=["p0 1", "p1 -1", "p2", "p3"])
    found = stems(load(listed))
    assert found["val"] == ["p3"]
    assert sorted(found["train"] + found["test"]) == ["p0", "p1", "p2"]


def test_beside_a_test_list_all_of_trainval_is_trained_on_but_what_validation_needs(tmp_path):
    names = [f"p{number:02}" for number in range(24)]
    for name in names:
        write(tmp_path, name, ("cat", 1, 1, 20, 10))
    write_lists(tmp_path, train=names[:10], val=names[10:20], trainval=names[:20], test=names[20:])
    found = stems(load(tmp_path))
    assert found["test"] == names[20:]
    assert len(found["val"]) == 2
    assert sorted(found["train"] + found["val"]) == names[:20]


def test_without_lists_the_splits_are_drawn(tmp_path):
    for number in range(40):
        write(tmp_path, f"p{number:02}", ("cat" if number % 4 else "dog", 1, 1, 20, 10))
    source = load(tmp_path)
    assert {split: len(source.splits[split]) for split in SPLITS} == {"train": 30, "val": 4, "test": 6}
    assert sorted(name for names in stems(source).values() for name in names) == [f"p{number:02}" for number in range(40)]
    for split in SPLITS:
        assert set(source.splits[split].labels[..., 4].ravel()) >= {0, 1}
    assert stems(folders.load(tmp_path, 1, "detection")) != stems(source)


def test_a_list_that_is_lacking_is_drawn(listed):
    for number in range(20):
        write(listed, f"more{number}", ("cat", 1, 1, 20, 10), ("dog", 1, 1, 5, 5))
    (listed / "ImageSets" / "Main" / "val.txt").unlink()
    write_lists(listed, train=["p0", "p1", "p2", *(f"more{number}" for number in range(20))], test=["p4", "p5"])
    source = load(listed)
    assert stems(source)["test"] == ["p4", "p5"]
    assert {split: len(source.splits[split]) for split in SPLITS} == {"train": 21, "val": 2, "test": 2}
    assert [str(item) for item in source.left_out] == ["Annotations: 1 files that are in no list of ImageSets/Main"]


def test_difficult_boxes_are_ignored(listed):
    write(listed, "p0", ("cat", 1, 1, 20, 10, "<difficult>1</difficult>"), ("dog", 1, 1, 9, 9, "<difficult>0</difficult>"))
    assert boxes_of(load(listed), "p0")[:, 5].tolist() == [1, 0]


def test_a_part_of_an_object_is_no_object(listed):
    head = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    write(listed, "p0", ("cat", 1, 1, 20, 10, head))
    assert load(listed).classes == ("cat", "dog")
    assert len(boxes_of(load(listed), "p0")) == 1


def test_every_broken_thing_is_told_at_once_and_the_rest_is_used(listed):
    write(listed, "p0", ("cat", 5, 5, 5, 9), ("cat", 1, 1, 20, 10), ("dog", 9, 9, 4, 12))
    write(listed, "p1", ("cat", 50, 1, 60, 9), "<object><name>dog</name></object>", ("dog", 1, 1, 9, 9))
    write(listed, "p2", "<object><bndbox><xmin>1</xmin></bndbox></object>", ("cat", "a", "b", 3, 4), ("cat", 30, 10, 60, 90))
    write(listed, "p3", ("cat", 1, 1, 20, 10), size=(WIDTH, HEIGHT))
    (listed / "Annotations" / "p4.xml").write_text("<annotation><object>")
    for number in range(4):
        write(listed, f"more{number}", ("dog", 1, 1, 9, 9), ("cat", 1, 1, 9, 9))
    (listed / "JPEGImages" / "more3.jpg").unlink()
    (listed / "JPEGImages" / "more2.jpg").write_text("words")
    write_lists(listed, val=["p3", "more0"], train=["p0", "p1", "p2", "gone", "more1", "more2", "more3"])
    source = load(listed)
    assert sorted(map(str, source.left_out)) == [
        "Annotations/more3.xml: its picture more3.jpg is not there",
        "Annotations/p0.xml: box 1 (cat) has no area",
        "Annotations/p0.xml: box 3 (dog) has no area",
        "Annotations/p1.xml: box 1 (cat) lies outside the picture",
        "Annotations/p1.xml: box 2 (dog) is not four numbers",
        "Annotations/p2.xml: box 1 has no class",
        "Annotations/p2.xml: box 2 (cat) is not four numbers",
        "Annotations/p4.xml: not a readable .xml (no element found: line 1, column 20)",
        "JPEGImages/more2.jpg: not a picture",
        "JPEGImages/p3.jpg: Annotations/p3.xml is for 20x40 pixels, the picture has 40x20",
        "train.txt: gone: there is no Annotations/gone.xml",
    ]
    assert boxes_of(source, "p0").tolist() == [[0, 0, 0.5, 0.5, 0, 0]]
    assert boxes_of(source, "p2").tolist() == [[pytest.approx(0.45), pytest.approx(0.725), 1, 1, 0, 0]]
    assert stems(source) == {"train": ["more1", "p0", "p1", "p2"], "val": ["more0"], "test": ["p5"]}


def test_a_size_of_nothing_states_nothing(listed):
    write(listed, "p0", ("cat", 1, 1, 20, 10), ("dog", 1, 1, 20, 10), size=(0, 0))
    assert boxes_of(load(listed), "p0")[0].tolist() == [0, 0, 0.5, 0.5, 0, 0]


def test_a_picture_that_was_taken_upright_has_boxes_of_what_is_seen(tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(8):
        write(tmp_path, f"p{number}", ("cat", 1, 1, 10, 10), size=(WIDTH, HEIGHT))
        lying = encoded(photo(number, HEIGHT, WIDTH), "JPEG", exif=exif)
        (tmp_path / "JPEGImages" / f"p{number}.jpg").write_bytes(lying)
    source = load(tmp_path)
    assert source.left_out == ()
    assert boxes_of(source, "p0")[0, :4].tolist() == [0, 0, 0.25, 0.5]


def test_pictures_without_objects_stay_as_background(listed):
    write(listed, "p1")
    source = load(listed)
    assert len(boxes_of(source, "p1")) == 0
    assert "p1" in stems(source)["train"]
    assert source.left_out == ()


@pytest.mark.parametrize("filename", ["other.jpg", "C:\\pictures\\p1.jpg", ""])
def test_a_picture_is_found_by_the_name_of_its_xml_when_the_name_inside_is_of_another_place(listed, filename):
    file = listed / "Annotations" / "p1.xml"
    file.write_text(file.read_text().replace("<filename>p1.jpg<", f"<filename>{filename}<"))
    assert "p1" in stems(load(listed))["train"]


@pytest.mark.parametrize("top", ["", "train"])
def test_pictures_may_lie_in_images(tmp_path, top):
    for number in range(20):
        write(tmp_path / top, f"p{number:02}", ("cat", 1, 1, 20, 10))
    (tmp_path / top / "JPEGImages").rename(tmp_path / top / "images")
    (tmp_path / top / "Annotations").rename(tmp_path / top / "annotations")
    source = load(tmp_path)
    assert source.left_out == ()
    assert [len(source.splits[split]) for split in SPLITS] == [15, 2, 3]


def test_files_beside_the_pictures_in_folders_of_splits(tmp_path):
    for split, count in (("train", 4), ("valid", 2), ("test", 1)):
        for number in range(count):
            write(tmp_path / split, f"{split}{number}", ("cell", 1, 1, 9, 9), annotations="")
    (tmp_path / "train" / "bare.jpg").write_bytes(encoded(photo(99)))
    source = load(tmp_path)
    assert stems(source) == {
        "train": [f"train{number}" for number in range(4)], "val": ["valid0", "valid1"], "test": ["test0"],
    }  # fmt: skip
    assert [str(item) for item in source.left_out] == ["train/bare.jpg: no .xml for it; one without objects makes it background"]


def test_a_test_split_with_classes_that_nothing_is_learnt_of_is_refused(listed):
    write(listed, "p5", ("horse", 1, 1, 9, 9))
    with pytest.raises(UserError, match=r"test has classes that train lacks \(horse\); give train boxes of them"):
        load(listed)


def test_a_folder_without_a_box_is_refused_with_what_was_left_out(listed):
    for number in range(6):
        write(listed, f"p{number}", ("cat", 5, 5, 5, 9))
    with pytest.raises(UserError, match=r"no box to train on, in 3 pictures \(6 left out, the first: Annotations/p0.xml: box 1"):
        load(listed)


def test_lists_without_one_to_train_on_are_refused(listed):
    (listed / "ImageSets" / "Main" / "train.txt").unlink()
    with pytest.raises(UserError, match=r"has val.txt, test.txt but no train.txt or trainval.txt; add one"):
        load(listed)


def test_fingerprints_follow_boxes_pictures_and_splits(listed):
    found = [load(listed).fingerprint, load(listed).fingerprint]
    write(listed, "p0", ("cat", 1, 1, 21, 10), ("dog", 21, 11, 40, 20), picture=False)
    found.append(load(listed).fingerprint)
    (listed / "JPEGImages" / "p1.jpg").write_bytes(encoded(photo(77, HEIGHT, WIDTH), "JPEG"))
    found.append(load(listed).fingerprint)
    write_lists(listed, val=["p2"], train=["p0", "p1", "p3"])
    found.append(load(listed).fingerprint)
    assert found[0] == found[1]
    assert len(set(found)) == 4


def test_decoded_pictures_keep_their_boxes(listed):
    (listed / "JPEGImages" / "p1.jpg").write_bytes(encoded(photo(3, HEIGHT, WIDTH), "JPEG")[:300])
    dataset = decode(load(listed), 32, 48, lambda line: None)
    assert dataset.train.images.shape == (2, 32, 48, 3)
    assert dataset.train.labels.shape == (2, 2, 6)
    np.testing.assert_allclose(dataset.train.labels[0], [[0, 0, 0.5, 0.5, 0, 0], [0.5, 0.5, 1, 1, 1, 0]])
    assert [str(item) for item in dataset.left_out] == ["JPEGImages/p1.jpg: the file is truncated"]


@pytest.mark.parametrize(
    ("objective", "told"),
    [
        ("segmentation", "which is for detection; for segmentation there has to be"),
        ("classification", "not a folder for each class; choose a network for detection"),
    ],
)
def test_boxes_are_no_answer_to_another_question(listed, objective, told):
    with pytest.raises(UserError, match=told) as error:
        folders.load(listed, 0, objective)
    assert "\n" not in str(error.value)


def test_a_folder_of_nothing_that_is_known_is_told_what_it_has(tmp_path):
    (tmp_path / "cats").mkdir()
    (tmp_path / "notes.txt").touch()
    for objective in ("detection", "segmentation"):
        with pytest.raises(UserError, match=rf"has cats/, notes.txt; for {objective} there has to be .*VOC"):
            folders.load(tmp_path, 0, objective)
