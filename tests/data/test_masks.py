import numpy as np
import pytest
from PIL import Image

from app.data import folders
from app.data.decode import decode
from app.data.formats.classes import read_list
from app.data.spec import SPLITS, VOID
from app.errors import UserError
from tests.data.photos import encoded, photo

HEIGHT, WIDTH = 12, 16


def striped(*numbers):
    """A mask with a stripe of columns for each number."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for place, columns in enumerate(np.array_split(np.arange(WIDTH), len(numbers))):
        mask[:, columns] = numbers[place]
    return mask


def write(pictures, masks, *names, mask=None, suffix=""):
    """Pictures and their masks, of 0, 1 and 2 unless another is given."""
    for place in (pictures, masks):
        place.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = pictures / f"{name}.jpg"
        path.write_bytes(encoded(photo(sum(str(path).encode()), HEIGHT, WIDTH), "JPEG"))
        (masks / f"{name}{suffix}.png").write_bytes(encoded(striped(0, 1, 2) if mask is None else mask))


def some(prefix, count):
    return [f"{prefix}{number:02}" for number in range(count)]


def load(folder):
    return folders.load(folder, 0, "segmentation")


def counts(source):
    return [len(source.splits[split]) for split in SPLITS]


def mask_of(source, name):
    for split in source.splits.values():
        for index, known in enumerate(split.names):
            if known.rpartition("/")[2].startswith(f"{name}."):
                return split.mask(index)
    raise AssertionError(name)


LAYOUTS = {
    "train/images": ("{}/images", "{}/masks"),
    "images/train": ("images/{}", "masks/{}"),
    "trainannot": ("{}", "{}annot"),
    "train_masks": ("{}", "{}_masks"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_splits_by_folders(tmp_path, layout):
    for split, count in (("train", 4), ("val", 2), ("test", 3)):
        pictures, masks = (tmp_path / place.format(split) for place in LAYOUTS[layout])
        write(pictures, masks, *some(split, count))
    source = load(tmp_path)
    assert source.objective == "segmentation"
    assert source.classes == ("0", "1", "2")
    assert counts(source) == [4, 2, 3]
    assert source.left_out == ()
    for split in SPLITS:
        assert {name.rpartition("/")[2][: len(split)] for name in source.splits[split].names} == {split}
        np.testing.assert_array_equal(source.splits[split].mask(0), striped(0, 1, 2))


@pytest.mark.parametrize("suffix", ["", "_mask", "_L"])
def test_two_folders_are_split_so_that_every_class_is_learnt(tmp_path, suffix):
    write(tmp_path / "images", tmp_path / "masks", *some("often", 17), mask=striped(0, 1), suffix=suffix)
    write(tmp_path / "images", tmp_path / "masks", *some("seldom", 3), mask=striped(0, 2), suffix=suffix)
    source = load(tmp_path)
    assert sorted(counts(source)) == [2, 3, 15]
    assert source.left_out == ()
    train = source.splits["train"]
    assert {number for index in range(len(train)) for number in np.unique(train.mask(index))} == {0, 1, 2}
    assert sorted(name for split in SPLITS for name in source.splits[split].names)[0] == "images/often00.jpg"


def test_names_come_from_a_list_and_255_and_void_are_void(tmp_path):
    (tmp_path / "classes.txt").write_text("sky\nroad\nvoid\ncar\nhorse\n")
    write(tmp_path / "images", tmp_path / "masks", *some("p", 20), mask=striped(3, 2, 1, 255, 0))
    source = load(tmp_path)
    assert source.classes == ("sky", "road", "car")
    np.testing.assert_array_equal(mask_of(source, "p03"), striped(2, VOID, 1, VOID, 0))
    assert [str(item) for item in source.left_out] == ["class horse: no mask has it"]


def test_numbers_may_have_gaps_and_a_list_may_name_them(tmp_path):
    write(tmp_path / "images", tmp_path / "masks", *some("p", 20), mask=striped(0, 7, 128))
    source = load(tmp_path)
    assert source.classes == ("0", "7", "128")
    np.testing.assert_array_equal(mask_of(source, "p03"), striped(0, 1, 2))
    (tmp_path / "labels.txt").write_text("128 cell\n0 background\n7 void\n")
    source = load(tmp_path)
    assert source.classes == ("background", "cell")
    np.testing.assert_array_equal(mask_of(source, "p03"), striped(0, VOID, 1))


def test_black_and_white_masks_are_told_what_to_write(tmp_path):
    write(tmp_path / "images", tmp_path / "masks", *some("p", 20), mask=striped(0, 255))
    with pytest.raises(UserError, match=r"has 0 in 20 masks to train on; at least 2 classes are needed; where 255 is a class"):
        load(tmp_path)
    (tmp_path / "classes.txt").write_text("0 background\n255 cell\n")
    source = load(tmp_path)
    assert source.classes == ("background", "cell")
    np.testing.assert_array_equal(mask_of(source, "p03"), striped(0, 1))


def test_masks_with_a_palette_of_one_bit_or_of_sixteen_are_numbers(tmp_path):
    write(tmp_path / "images", tmp_path / "masks", *some("p", 20))
    with_palette = Image.fromarray(striped(2, 0, 1), "P")
    with_palette.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    masks = {
        "p00": with_palette,
        "p01": Image.fromarray(striped(0, 255)).convert("1"),
        "p02": Image.fromarray(striped(1, 2).astype(np.uint16)),
        "p03": Image.fromarray(np.repeat(striped(1, 0)[..., None], 3, axis=2)),
    }
    for name, mask in masks.items():
        (tmp_path / "masks" / f"{name}.png").write_bytes(encoded(mask))
    source = load(tmp_path)
    assert source.left_out == ()
    for name, numbers in {"p00": (2, 0, 1), "p01": (0, 1), "p02": (1, 2), "p03": (1, 0)}.items():
        np.testing.assert_array_equal(mask_of(source, name), striped(*numbers))


def test_every_broken_thing_is_told_at_once_and_the_rest_is_used(tmp_path):
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\n")
    pictures, masks = tmp_path / "images", tmp_path / "masks"
    write(pictures, masks, *some("p", 20))
    bad = {
        "beyond": encoded(striped(0, 9, 4)),
        "colour": encoded(photo(3, HEIGHT, WIDTH)),
        "damaged": b"words",
        "deep": encoded(striped(0, 1).astype(np.uint16) * 1000),
        "large": encoded(np.zeros((HEIGHT * 2, WIDTH * 2), np.uint8)),
        "void": encoded(striped(255)),
    }
    for name, content in bad.items():
        write(pictures, masks, name)
        (masks / f"{name}.png").write_bytes(content)
    write(pictures, masks, "blurred", "bare", "words")
    (masks / "blurred.png").unlink()
    (masks / "blurred.jpg").write_bytes(encoded(striped(0, 1, 2), "JPEG"))
    (masks / "bare.png").unlink()
    (masks / "orphan.png").write_bytes(encoded(striped(0, 1)))
    (pictures / "words.jpg").write_text("words")
    source = load(tmp_path)
    assert sorted(map(str, source.left_out)) == [
        "images/bare.jpg: there is no mask for it in masks",
        "masks/beyond.png: the mask has the numbers 4, 9; the classes are 0, 1, 2",
        "masks/blurred.jpg: a mask saved as JPEG, which changes its numbers; save it as PNG",
        "masks/colour.png: a coloured mask; a mask has class numbers, grey or with a palette",
        "masks/damaged.png: the mask cannot be read",
        "masks/deep.png: the mask has the number 1000; class numbers end at 255",
        "masks/large.png: the mask has 32x24 pixels, its picture 16x12",
        "masks/orphan.png: there is no picture for it in images",
        "masks/words.png: not a picture",
    ]
    assert sum(counts(source)) == 21  # one of them void all over


def test_a_split_with_classes_that_nothing_is_learnt_of_is_refused(tmp_path):
    write(tmp_path / "images" / "train", tmp_path / "masks" / "train", *some("a", 4))
    write(tmp_path / "images" / "test", tmp_path / "masks" / "test", "b", mask=striped(0, 5))
    with pytest.raises(UserError, match=r"test has classes that train lacks \(5\); give train masks with them"):
        load(tmp_path)


def test_one_class_is_none_to_tell_apart(tmp_path):
    write(tmp_path / "images", tmp_path / "masks", *some("a", 4), mask=striped(3))
    with pytest.raises(UserError, match=r"has 3 in 4 masks to train on; at least 2 classes are needed$"):
        load(tmp_path)


def test_fingerprints_follow_masks_pictures_and_names(tmp_path):
    write(tmp_path / "images", tmp_path / "masks", *some("a", 10))
    found = [load(tmp_path).fingerprint, load(tmp_path).fingerprint]
    (tmp_path / "masks" / "a00.png").write_bytes(encoded(striped(0, 1, 2, 2)))
    found.append(load(tmp_path).fingerprint)
    (tmp_path / "images" / "a01.jpg").write_bytes(encoded(photo(9, HEIGHT, WIDTH), "JPEG"))
    found.append(load(tmp_path).fingerprint)
    (tmp_path / "classes.txt").write_text("x\ny\nz\n")
    found.append(load(tmp_path).fingerprint)
    assert found[0] == found[1]
    assert len(set(found)) == 4


def test_decoded_masks_have_no_number_between_two_classes(tmp_path):
    write(tmp_path / "images", tmp_path / "masks", *some("a", 10), mask=striped(0, 2, 1, 255))
    source = load(tmp_path)
    (tmp_path / source.splits["train"].names[0]).write_bytes(encoded(photo(9, HEIGHT, WIDTH), "JPEG")[:200])
    dataset = decode(source, 30, 50, lambda line: None)
    assert len(dataset.train.images) == len(dataset.train.labels) == counts(source)[0] - 1
    assert [item.reason for item in dataset.left_out] == ["the file is truncated"]
    for split in (dataset.train, dataset.val, dataset.test):
        assert split.labels.shape[1:] == (30, 50)
        assert set(np.unique(split.labels)) == {0, 1, 2, VOID}


@pytest.fixture
def challenge(tmp_path):
    """SegmentationClass of VOC2012: palettes, 255 around things, more pictures than masks, lists of the splits."""
    folder = tmp_path / "VOC2012"
    for number, name in enumerate(some("2007_", 6)):
        mask = striped(0, 255, 15, 255, 1 if number % 2 else 12)
        write(folder / "JPEGImages", folder / "SegmentationClass", name, mask=mask)
    write(folder / "JPEGImages", folder / "elsewhere", "only boxes")
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, names in {"train": some("2007_", 4), "val": ["2007_04", "2007_05", "2007_99"]}.items():
        (lists / f"{split}.txt").write_text("\n".join(names))
    return folder


def test_masks_of_voc_have_its_classes_and_lists(challenge):
    source = load(challenge)
    assert source.classes == ("background", "aeroplane", "dog", "person")
    assert counts(source) == [2, 2, 2]  # one of each class to test on
    np.testing.assert_array_equal(mask_of(source, "2007_05"), striped(0, 255, 3, 255, 1))
    told = [str(item) for item in source.left_out]
    assert told[0] == "val.txt: 2007_99: there is no mask for it"
    assert len(told) == 18
    assert all(item.endswith(": no mask has it") for item in told[1:])


def test_masks_of_a_folder_of_another_name_have_numbers(challenge):
    source = load(challenge.rename(challenge.parent / "mine"))
    assert source.classes == ("0", "1", "12", "15")


def test_masks_are_no_boxes_and_no_classes(tmp_path):
    write(tmp_path / "train" / "images", tmp_path / "train" / "masks", *some("a", 4))
    with pytest.raises(UserError, match=r"has train/, which is for segmentation; for detection there has to be .*\(YOLO\)"):
        folders.load(tmp_path, 0, "detection")
    with pytest.raises(UserError, match="has images and masks, not a folder for each class; choose a network for segmentation"):
        folders.load(tmp_path, 0, "classification")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cat\n\n# pets\n dog \n3 wheeler\n", {0: "cat", 1: "dog", 2: "3 wheeler"}),
        ("1 cat\n2: dog\n255 Void\n", {1: "cat", 2: "dog", 255: "void"}),
        ("cat\ndog\n255 unlabelled\n", {0: "cat", 1: "dog", 255: "void"}),
        ("\ufeffcat\nunlabeled\ndog", {0: "cat", 1: "void", 2: "dog"}),
    ],
)
def test_a_list_of_classes_may_number_them(tmp_path, text, names):
    (tmp_path / "classes.txt").write_text(text, encoding="utf-8")
    assert read_list(tmp_path / "classes.txt") == names


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 cat\n1 dog\n", r"has the number 1 twice \(1 dog\); mend it"),
        ("300 cat\n1 dog\n", r"has the number 300 above 255 \(300 cat\); mend it"),
        ("cat\ndog\ncat\n", "has cat twice; give each class one line"),
    ],
)
def test_a_list_of_classes_that_cannot_be_meant_is_refused(tmp_path, text, told):
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(UserError, match=told):
        read_list(tmp_path / "classes.txt")
