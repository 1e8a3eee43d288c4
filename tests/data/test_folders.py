import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.config import make_config
from app.data import folders
from app.data.registry import load_data
from app.data.spec import SPLITS
from app.errors import UserError
from app.images import load_picture
from tests.data.photos import encoded, photo, write_classes, write_photos


def names(source):
    return {split: sorted(pictures.names) for split, pictures in source.splits.items()}


def load_lines(folder, **flags):
    lines = []
    dataset = load_data(make_config("lenet5", str(folder), {"image_size": 32, **flags}), lines.append)
    return dataset, lines


@pytest.fixture
def messy(tmp_path):
    """Every kind of good picture in two classes, and every kind of thing that a folder should not hold."""
    folder = tmp_path / "my photos"
    cats, dogs = folder / "cats and 猫", folder / "Hündchen"
    write_photos(cats, 4)
    write_photos(dogs / "deeper" / "still", 4, 100)
    (folder / "no pictures").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    colour, grey = Image.fromarray(photo(1)), Image.fromarray(photo(2)).convert("L")
    good = {
        "a.JPG": encoded(photo(3), "JPEG"),
        "b.jpeg": encoded(np.rot90(photo(4)).copy(), "JPEG", exif=exif),
        "c d.webp": encoded(photo(5), "WEBP"),
        "é.bmp": encoded(photo(6), "BMP"),
        "moves.gif": encoded(colour, "GIF", save_all=True, append_images=[grey.convert("RGB")]),
        "t.tif": encoded(photo(7), "TIFF"),
        "print.tiff": encoded(Image.fromarray(photo(8)).convert("CMYK"), "TIFF"),
        "print.jpg": encoded(Image.fromarray(photo(9)).convert("CMYK"), "JPEG"),
        "grey.png": encoded(grey),
        "grey clear.png": encoded(Image.fromarray(photo(10)).convert("LA")),
        "palette.png": encoded(colour.quantize(16), transparency=3),
        "clear.png": encoded(Image.fromarray(photo(11)).convert("RGBA")),
        "deep.png": encoded(photo(12, channels=1)[..., 0].astype(np.uint16) * 257),
        "bits.png": encoded(Image.fromarray(photo(13)).convert("1")),
    }
    for name, data in good.items():
        (cats / name).write_bytes(data)
    jpeg, png = encoded(photo(14), "JPEG"), encoded(photo(15))
    (dogs / "half.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (dogs / "half.png").write_bytes(png[: len(png) // 2])
    (dogs / "empty.png").touch()
    (dogs / "words.jpg").write_text("not a picture at all")
    (dogs / "notes.txt").write_text("words")
    (dogs / "Thumbs.db").write_text("x")
    (dogs / ".DS_Store").write_text("x")
    (folder / ".DS_Store").write_text("x")
    (folder / ".hidden").mkdir()
    (dogs / ".trash").mkdir()
    (dogs / ".trash" / "old.png").write_bytes(encoded(photo(16)))
    (folder / "stray.png").write_bytes(encoded(photo(17)))
    (dogs / "round").symlink_to(dogs)
    (dogs / "up").symlink_to(folder)
    (dogs / "deeper" / "itself.png").symlink_to(dogs / "deeper" / "itself.png")
    (dogs / "gone.png").symlink_to(folder / "nothing.png")
    os.mkfifo(dogs / "pipe.png")
    return folder


LEFT_OUT = {
    "Hündchen/half.jpg": "the file is truncated",
    "Hündchen/half.png": "the file is truncated",
    "Hündchen/empty.png": "the file is empty",
    "Hündchen/words.jpg": "not a picture",
    "Hündchen/notes.txt": f"not a picture by its ending ({', '.join(folders.EXTENSIONS)})",
    "Hündchen/Thumbs.db": "hidden",
    "Hündchen/.DS_Store": "hidden",
    "Hündchen/.trash": "hidden",
    ".DS_Store": "hidden",
    ".hidden": "hidden",
    "stray.png": "not in a class folder",
    "no pictures": "a class without pictures",
    "Hündchen/round": "a link to a folder that is there already",
    "Hündchen/up": "a link to a folder that is there already",
    "Hündchen/deeper/itself.png": "a link to nothing",
    "Hündchen/gone.png": "a link to nothing",
    "Hündchen/pipe.png": "not a file",
}


def test_a_messy_folder_gives_every_good_picture_and_a_reason_for_the_rest(messy):
    dataset, lines = load_lines(messy)
    assert dataset.classes == ("Hündchen", "cats and 猫")
    assert {item.path: item.reason for item in dataset.left_out} == LEFT_OUT
    assert len(dataset.left_out) == len(LEFT_OUT)
    for path, reason in LEFT_OUT.items():
        assert f"left out: {path}: {reason}" in lines
    labels = np.concatenate([getattr(dataset, split).labels for split in SPLITS])
    assert np.bincount(labels).tolist() == [4, 18]
    assert dataset.shape == (32, 32, 3)
    assert len(json.loads(json.dumps(dataset.record()))["left_out"]) == len(LEFT_OUT)


def test_every_pixel_is_that_of_its_file(messy):
    source = folders.load(messy, 0)
    dataset, _ = load_lines(messy)
    bad = {item.path for item in dataset.left_out}
    for split in SPLITS:
        kept = [name for name in source.splits[split].names if name not in bad]
        expected = [load_picture(messy / name, (32, 32, 3)) for name in kept]
        np.testing.assert_array_equal(getattr(dataset, split).images, expected)
        classes = [dataset.classes[label] for label in getattr(dataset, split).labels]
        assert classes == [Path(name).parts[0] for name in kept]


def test_strict_names_everything_and_refuses(messy):
    lines = []
    config = make_config("lenet5", str(messy), {"image_size": 32, "strict": True})
    with pytest.raises(UserError, match=f"{len(LEFT_OUT)} things in .* would be left out"):
        load_data(config, lines.append)
    assert sum(line.startswith("left out: ") for line in lines) == len(LEFT_OUT)


def test_strict_takes_a_tidy_folder(tmp_path):
    dataset, lines = load_lines(write_classes(tmp_path / "tidy", cats=9, dogs=9), strict=True)
    assert dataset.left_out == ()
    assert len(lines) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_left_out(tmp_path):
    folder = write_classes(tmp_path, cats=4, dogs=4)
    (folder / "cats" / "000.png").chmod(0)
    (folder / "dogs" / "locked").mkdir(mode=0)
    assert {(item.path, item.reason) for item in folders.load(folder, 0).left_out} == {
        ("cats/000.png", "cannot be read"),
        ("dogs/locked", "cannot be read"),
    }


def test_a_file_or_folder_that_the_system_refuses_is_left_out(tmp_path, monkeypatch):
    folder = write_classes(tmp_path, cats=4, dogs=4)
    write_photos(folder / "dogs" / "locked", 1, 50)
    listed = os.scandir

    def scandir(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "000.png")
    assert {(item.path, item.reason) for item in folders.load(folder, 0).left_out} == {
        ("cats/000.png", "cannot be read"),
        ("dogs/locked", "cannot be read"),
    }


def test_a_link_to_a_folder_whose_name_begins_alike_is_followed(tmp_path):
    folder = write_classes(tmp_path / "set", cats=3, dogs=3)
    write_photos(tmp_path / "se", 2, 50)
    write_photos(tmp_path / "set" / "cat", 2, 60)
    (folder / "cats" / "more").symlink_to(tmp_path / "se")
    (folder / "cats" / "others").symlink_to(folder / "cat")
    source = folders.load(folder, 0)
    assert source.left_out == ()
    assert {"cats/more/050.png", "cats/others/060.png"} <= {name for files in names(source).values() for name in files}


def test_a_name_that_is_not_unicode_can_be_told(tmp_path):
    folder = write_classes(tmp_path, cats=4, dogs=4)
    bad = os.fsencode(folder / "dogs") + b"/caf\xe9"
    with open(bad + b".png", "wb") as file:
        file.write(encoded(photo(1)))
    with open(bad + b".jpg", "wb") as file:
        file.write(b"words")
    dataset, lines = load_lines(folder)
    assert [str(item) for item in dataset.left_out] == ["dogs/caf\ufffd.jpg: not a picture"]
    assert "\n".join(lines).encode()
    assert sum(map(len, (dataset.train, dataset.val, dataset.test))) == 9


@pytest.mark.parametrize("train", ["train", "Training"])
@pytest.mark.parametrize("val", ["val", "valid", "validation"])
@pytest.mark.parametrize("test", ["test", "testing"])
def test_split_folders_are_used_as_they_are(tmp_path, train, val, test):
    for number, (split, count) in enumerate(((train, 5), (val, 2), (test, 3))):
        write_photos(tmp_path / split / "cats", count, 100 * number)
        write_photos(tmp_path / split / "dogs", count, 100 * number + 50)
    found = names(folders.load(tmp_path, 0))
    assert {split: len(files) for split, files in found.items()} == {"train": 10, "val": 4, "test": 6}
    for split, given in {"train": train, "val": val, "test": test}.items():
        assert all(Path(name).parts[0] == given for name in found[split])


def test_what_lies_beside_the_splits_is_left_out(tmp_path):
    write_classes(tmp_path / "train", cats=4, dogs=4)
    write_classes(tmp_path / "test", cats=2, dogs=2)
    write_photos(tmp_path / "extra", 1)
    write_photos(tmp_path / "train" / "test", 3, 5000)
    (tmp_path / "readme.txt").write_text("words")
    (tmp_path / ".DS_Store").write_text("x")
    (tmp_path / "test" / "list.csv").write_text("x")
    source = folders.load(tmp_path, 0)
    assert {(item.path, item.reason) for item in source.left_out} == {
        ("extra", "not in a split"),
        ("readme.txt", "not in a split"),
        (".DS_Store", "hidden"),
        ("test/list.csv", "not in a class folder"),
    }
    assert source.classes == ("cats", "dogs", "test")  # below train, it is a class like any other


def test_missing_splits_are_drawn_from_train_and_keep_the_shares(tmp_path):
    source = folders.load(write_classes(tmp_path, cats=80, dogs=40), 0)
    counts = {split: np.bincount(pictures.labels).tolist() for split, pictures in source.splits.items()}
    assert counts == {"test": [12, 6], "val": [8, 4], "train": [60, 30]}
    drawn = [name for files in names(source).values() for name in files]
    assert len(drawn) == len(set(drawn)) == 120


def test_a_large_test_folder_takes_nothing_more_from_train(tmp_path):
    write_classes(tmp_path / "train", cats=10, dogs=10)
    write_classes(tmp_path / "test", cats=60, dogs=60)
    source = folders.load(tmp_path, 0)
    assert {split: len(pictures) for split, pictures in source.splits.items()} == {"train": 18, "val": 2, "test": 120}


@pytest.mark.parametrize("split_folders", [(".",), ("val", "train", "validation")], ids=["classes", "splits"])
def test_the_split_seed_alone_decides_what_is_held_out(tmp_path, monkeypatch, split_folders):
    def told(source):
        drawn = {split: (pictures.names, pictures.labels.tolist()) for split, pictures in source.splits.items()}
        return drawn, source.fingerprint, source.left_out

    folder = tmp_path / "one"
    for number, root in enumerate(folder / name for name in split_folders):
        write_classes(root, dogs=20, cats=20)
        for place in ("b/z", "b/y", "d", "a", "c"):
            write_photos(root / "cats" / place, 3, 7000 + 100 * number + ord(place[-1]))
        for name in ("x.txt", "z.txt", "y.txt"):
            (folder / name).touch()
            (root / "cats" / name).touch()
    first = told(folders.load(folder, 0))
    assert told(folders.load(folder, 1))[0] != first[0]
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    walk, below = os.walk, Path.iterdir

    def walk_backwards(top, **options):
        for here, inside, files in walk(top, **options):
            inside.sort(reverse=True)
            yield here, inside, sorted(files, reverse=True)

    monkeypatch.setattr(Path, "iterdir", lambda path: sorted(below(path), reverse=True))
    monkeypatch.setattr(os, "walk", walk_backwards)
    assert told(folders.load(other, 0)) == first


def test_classes_of_one_two_and_three_pictures_keep_one_to_train_on(tmp_path):
    dataset, _ = load_lines(write_classes(tmp_path, a=1, b=2, c=3, d=20))
    counts = {split: np.bincount(getattr(dataset, split).labels, minlength=4).tolist() for split in SPLITS}
    assert counts["train"][:3] == [1, 1, 1]
    assert counts["test"][:3] == [0, 1, 1]
    assert counts["val"][:3] == [0, 0, 1]
    assert sum(counts[split][3] for split in SPLITS) == 20


def test_a_limit_keeps_every_class(tmp_path):
    dataset, _ = load_lines(write_classes(tmp_path, a=1, b=2, c=3, d=40), limit=10)
    assert np.bincount(dataset.train.labels).tolist() == [1, 1, 1, 7]


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        (
            {},
            "has 0 classes with pictures; at least 2 are needed; expected class/picture.jpg or train|val|test/class/picture.jpg",
        ),
        ({"cats": 3}, r"has 1 class with pictures \(cats\); at least 2 are needed; expected class/picture.jpg"),
        (
            {"cats": 3, "dogs": 0},
            r"has 1 class with pictures \(cats\).*\(1 left out, the first: dogs: a class without pictures\)",
        ),
        ({"cats": 1, "dogs": 1}, "has no picture for val; give it more pictures"),
        ({"train/cats": 5, "train/dogs": 5, "test/cats": 1, "test/ox": 1}, r"test has classes that train lacks \(ox\)"),
        ({"test/cats": 5, "test/dogs": 5}, "has test/class but no train/class; expected"),
        ({"cats": 5, "dogs": 5, "val/cats": 5}, "has val/class but no train/class; expected"),
        ({"train/cats": 5, "train/dogs": 5, "val": 0}, "has no picture for val"),
        ({"train": 5, "test": 5}, "has 0 classes with pictures.*test/1000.png: not in a class folder"),
    ],
)
def test_a_folder_that_cannot_be_used_is_told_in_one_line(tmp_path, counts, told):
    with pytest.raises(UserError, match=told) as error:
        load_lines(write_classes(tmp_path, **counts))
    assert "\n" not in str(error.value)


def test_a_class_of_which_nothing_can_be_read_is_told(tmp_path):
    folder = write_classes(tmp_path, cats=9, dogs=9, ox=0)
    for number in range(3):
        (folder / "ox" / f"{number}.png").write_text("words")
    with pytest.raises(UserError, match=r"no readable picture to train on for ox; add some \(3 left out, the first: ox/"):
        load_lines(folder)


def test_a_folder_of_pictures_none_of_which_can_be_read_is_told(tmp_path):
    for name in "abcdef":
        for kind in ("cats", "dogs"):
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / f"{name}.png").write_text("words")
    with pytest.raises(UserError, match=r"no picture for train.*\(12 left out, the first: .*: not a picture\)"):
        load_lines(tmp_path)


def test_the_same_pictures_elsewhere_are_the_same_data(tmp_path):
    folder = write_classes(tmp_path / "here", cats=5, dogs=5)
    shutil.copytree(folder, tmp_path / "far" / "away")
    (tmp_path / "far" / "away" / "notes.txt").write_text("changes nothing")
    assert folders.load(tmp_path / "far" / "away", 0).fingerprint == folders.load(folder, 0).fingerprint


def one_pixel(folder):
    picture = photo(0, 12, 16).copy()
    picture[3, 4, 1] ^= 1
    (folder / "cats" / "000.png").write_bytes(encoded(picture))


@pytest.mark.parametrize(
    "change",
    [
        one_pixel,
        lambda folder: (folder / "cats").rename(folder / "lions"),
        lambda folder: (folder / "cats" / "000.png").rename(folder / "dogs" / "000.png"),
        lambda folder: (folder / "cats" / "000.png").rename(folder / "cats" / "renamed.png"),
        lambda folder: (folder / "cats" / "000.png").unlink(),
    ],
    ids=["a pixel", "a class's name", "a file's class", "a file's name", "a file less"],
)
def test_a_change_of_the_data_changes_its_fingerprint(tmp_path, change):
    folder = write_classes(tmp_path, cats=5, dogs=5)
    before = folders.load(folder, 0).fingerprint
    change(folder)
    assert folders.load(folder, 0).fingerprint != before


def test_another_split_is_another_fingerprint(tmp_path):
    folder = write_classes(tmp_path, cats=5, dogs=5)
    assert folders.load(folder, 0).fingerprint != folders.load(folder, 1).fingerprint
