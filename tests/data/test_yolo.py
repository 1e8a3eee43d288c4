import pytest

from app.data import folders
from app.data.formats.yaml import parse
from app.data.spec import SPLITS
from app.errors import UserError
from tests.data.photos import encoded, photo

TWO = ("0 0.5 0.5 1 1", "1 0.25 0.5 0.5 0.5")


def write(folder, place, *names, lines=TWO):
    """Pictures below `place`, which has an `images` in it, and their files of boxes below `labels`."""
    for name in names:
        picture = folder / place / f"{name}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(encoded(photo(sum(str(picture).encode()), 12, 16)))
        if lines is not None:
            file = folder / place.replace("images", "labels") / f"{name}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(lines) + "\n")


def load(folder):
    return folders.load(folder, 0, "detection")


def counts(source):
    return [len(source.splits[split]) for split in SPLITS]


def boxes_of(source, name):
    for split in source.splits.values():
        for index, known in enumerate(split.names):
            if known.endswith(f"{name}.png"):
                return split.labels[index][split.labels[index][:, 4] >= 0]
    raise AssertionError(name)


@pytest.fixture
def usual(tmp_path):
    """images/train|val|test as Ultralytics' own sets have them."""
    write(tmp_path, "images/train", "a", "b", "c")
    write(tmp_path, "images/val", "d", "e")
    write(tmp_path, "images/test", "f")
    places = "path: ../datasets/mine # where it lies\ntrain: images/train\nval: images/val\ntest: images/test\n"
    (tmp_path / "data.yaml").write_text(f"{places}\nnames:\n  0: cat\n  1: dog\n")
    return tmp_path


def test_centres_and_sizes_become_edges(usual):
    source = load(usual)
    assert source.classes == ("cat", "dog")
    assert counts(source) == [3, 2, 1]
    assert source.left_out == ()
    assert boxes_of(source, "a").tolist() == [[0, 0, 1, 1, 0, 0], [0.25, 0, 0.75, 0.5, 1, 0]]


def test_roboflow_s_export_points_one_folder_too_high(tmp_path):
    for split, names in (("train", "abc"), ("valid", "d"), ("test", "e")):
        write(tmp_path, f"{split}/images", *names)
    text = """train: ../train/images
val: ../valid/images
test: ../test/images

nc: 2
names: ['white cell', "red, cell"]

roboflow:
  workspace: joseph-nelson
  license: Public Domain
  url: https://universe.roboflow.com/x/y/dataset/4
"""
    (tmp_path / "data.yaml").write_text(text)
    source = load(tmp_path)
    assert source.classes == ("white cell", "red, cell")
    assert counts(source) == [3, 1, 1]
    assert source.left_out == ()


def test_lists_of_pictures(usual):
    (usual / "train.txt").write_text("./images/train/a.png\nimages/train/b.png\n\n")
    text = (usual / "data.yaml").read_text().replace("train: images/train", "train: [train.txt, images/test]")
    (usual / "data.yaml").write_text(text.replace("test: images/test\n", ""))
    source = load(usual)
    assert sorted(name for split in ("train", "test") for name in source.splits[split].names) == [
        "images/test/f.png", "images/train/a.png", "images/train/b.png",
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["images", "images/train", "train/images"])
def test_without_a_yaml_the_folders_decide(tmp_path, place):
    write(tmp_path, place, *(f"p{number:02}" for number in range(20)))
    if place != "images":
        write(tmp_path, place.replace("train", "val"), "v")
    source = load(tmp_path)
    assert source.classes == ("0", "1")
    assert counts(source) == ([15, 2, 3] if place == "images" else [17, 1, 3])
    (tmp_path / "classes.txt").write_text("cat\ndog\nbird\n")
    source = load(tmp_path)
    assert source.classes == ("cat", "dog")
    assert [str(item) for item in source.left_out] == ["class bird: there is no box of it"]


def test_outlines_become_the_boxes_around_them(usual):
    write(usual, "images/train", "a", lines=("1 0.1 0.2 0.5 0.4 0.3 0.9", "0 0.5 0.5 1 1"))
    assert boxes_of(load(usual), "a")[0].tolist() == pytest.approx([0.2, 0.1, 0.9, 0.5, 1, 0])


def test_pictures_without_a_file_or_a_line_are_background(usual):
    write(usual, "images/train", "none", lines=None)
    write(usual, "images/train", "empty", lines=())
    source = load(usual)
    assert len(boxes_of(source, "none")) == len(boxes_of(source, "empty")) == 0
    assert counts(source) == [5, 2, 1]
    assert source.left_out == ()


def test_every_broken_thing_is_told_at_once_and_the_rest_is_used(usual):
    lines = (
        "0 0.5 0.5 0 0.5",
        "7 0.5 0.5 1 1",
        "cat 0 0 1 1",
        "0 0.5 0.5 1",
        "0 3 0.5 0.5 0.5",
        "0 1.9 0.5 0.1 0.1",
        "1 0.9 0.9 0.4 0.4",
    )
    write(usual, "images/train", "a", lines=lines)
    write(
        usual,
        "images/train",
        "b",
        lines=("0.5 0.5 0.5 1 1", "0 nan 0.5 1 1", "", "0 0.5 0.5 1 1 0.9", "0 0.5 0.5 1 1", "-1 0 0 1 1", "1e999 0 0 1 1"),
    )
    (usual / "labels" / "train" / "orphan.txt").write_text("0 0.5 0.5 1 1\n")
    source = load(usual)
    assert [str(item) for item in source.left_out] == [
        "labels/train/a.txt: line 2 has the class 7; the classes are 0 to 1",
        "labels/train/a.txt: line 3 is no class with 4 numbers or an outline: cat 0 0 1 1",
        "labels/train/a.txt: line 4 is no class with 4 numbers or an outline: 0 0.5 0.5 1",
        "labels/train/a.txt: line 5 (cat) is not in fractions of the picture: 0 3 0.5 0.5 0.5",
        "labels/train/b.txt: line 1 is no class with 4 numbers or an outline: 0.5 0.5 0.5 1 1",
        "labels/train/b.txt: line 2 is no class with 4 numbers or an outline: 0 nan 0.5 1 1",
        "labels/train/b.txt: line 4 is no class with 4 numbers or an outline: 0 0.5 0.5 1 1 0.9",
        "labels/train/b.txt: line 6 is no class with 4 numbers or an outline: -1 0 0 1 1",
        "labels/train/b.txt: line 7 is no class with 4 numbers or an outline: 1e999 0 0 1 1",
        "labels/train/orphan.txt: there is no picture for it",
        "labels/train/a.txt: box 1 (cat) has no area",
        "labels/train/a.txt: box 2 (cat) lies outside the picture",
    ]
    assert boxes_of(source, "a").tolist() == [[pytest.approx(0.7), pytest.approx(0.7), 1, 1, 1, 0]]
    assert boxes_of(source, "b").tolist() == [[0, 0, 1, 1, 0, 0]]


def test_a_split_that_is_not_there_or_is_the_training_is_drawn_and_told(usual):
    write(usual, "images/train", *(f"p{number:02}" for number in range(17)))
    text = (usual / "data.yaml").read_text()
    (usual / "data.yaml").write_text(
        text.replace("val: images/val", "val: images/train").replace("images/test", "images/nothing")
    )
    source = load(usual)
    assert [str(item) for item in source.left_out] == [
        "data.yaml: val is images/train, which has the pictures of another split; drawn from train",
        "data.yaml: test is images/nothing, which is not there; drawn from train",
    ]
    assert counts(source) == [15, 2, 3]
    assert len({name for split in SPLITS for name in source.splits[split].names}) == 20


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("names: [cat, dog]\n", r"data.yaml has names; it needs names .* and train \(a folder of pictures\)"),
        ("names: cat\ntrain: images/train\n", r"names is 'cat'; it has to be a list of names, or number: name lines"),
        ("names: [cat, dog]\ntrain: images/nowhere\n", r"train is images/nowhere, which is not there; give a folder below"),
        ("names: [cat, dog]\n  - x\n???\ntrain: a\n", r"data.yaml: line 2 is not understood: - x; expected lines such as names:"),
        ("train: images/train\nnames: [cat,\n", r"data.yaml: line 2 opens a list that is not closed"),
    ],
)
def test_a_yaml_that_cannot_be_used_is_told_in_one_line(usual, text, told):
    (usual / "data.yaml").write_text(text)
    with pytest.raises(UserError, match=told) as error:
        load(usual)
    assert "\n" not in str(error.value)


def test_fingerprints_follow_boxes_and_names(usual):
    before = load(usual).fingerprint
    assert load(usual).fingerprint == before
    write(usual, "images/train", "a", lines=("0 0.5 0.5 1 1", "1 0.25 0.5 0.5 0.4"))
    moved = load(usual).fingerprint
    (usual / "data.yaml").write_text((usual / "data.yaml").read_text().replace("dog", "fox"))
    assert len({before, moved, load(usual).fingerprint}) == 3


def test_lists_and_mappings_of_yaml_as_people_write_them():
    text = """---
# a comment
path: 'my data'   # quoted
train: images/train # 128 images
val:
  - images/val
  - "images/more #2"
test:
names: {0: person, 1: 'traffic: light', 10: "it's"}
colours: [ 'it''s', l'eau,
  # between
  b c,   "d,e" ]
kinds:
    0: a b
    1: "c" # d
    2: e:f
flat:
- x
- y
download: |
  from utils import x
  for a in b:
    print(f'{a}: ok')
nc: 3
url: https://example.org/a#b
"""
    found = parse(text)
    assert found["path"] == "my data"
    assert found["train"] == "images/train"
    assert found["val"] == ["images/val", "images/more #2"]
    assert found["test"] == ""
    assert found["names"] == {"0": "person", "1": "traffic: light", "10": "it's"}
    assert found["colours"] == ["it's", "l'eau", "b c", "d,e"]
    assert found["kinds"] == {"0": "a b", "1": "c", "2": "e:f"}
    assert found["flat"] == ["x", "y"]
    assert found["nc"] == "3"
    assert found["url"] == "https://example.org/a#b"
