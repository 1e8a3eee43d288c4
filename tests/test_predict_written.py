"""Answers about boxes and masks as text, JSON, CSV and pictures."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from app.answers import Answer, Box, Boxes, Label, Mask, Share
from app.draw import colour
from app.errors import UserError
from app.predict.drawn import draw_answer, draw_rows
from app.predict.written import write_csv, write_json, write_text

FOUND = Boxes((Box("dog", 1, 0.9, 0.5, 0.5, 1.0, 1.0), Box("cat", 0, 0.45, 0.1, 0.2, 0.3, 0.4)))
PIXELS = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], np.uint8)
SEEN = Mask(PIXELS, ("background", "cat"), (Share("cat", 1, 0.75), Share("background", 0, 0.25)))
LABELS = Answer((Label("cat", 0.9), Label("dog", 0.1)))
UNREAD = "the file is empty"


def text(rows, write, *settings):
    file = io.StringIO(newline="")
    write(rows, file, *settings)
    return file.getvalue()


def table(rows, objective):
    return list(csv.reader(io.StringIO(text(rows, write_csv, objective, None))))


def test_the_text_says_where_boxes_are_and_how_large_areas():
    rows = [("a.png", FOUND), ("b.png", Boxes(())), ("c.png", SEEN), ("d.png", UNREAD)]
    assert text(rows, write_text).splitlines() == [
        "a.png: dog 90.0% (x 50-100, y 50-100)  cat 45.0% (x 20-40, y 10-30)",
        "b.png: nothing found",
        "c.png: cat 75.0%  background 25.0%",
        "d.png: the file is empty",
    ]


def test_the_json_has_boxes_or_a_mask():
    found, seen = map(json.loads, text([("a.png", FOUND), ("c.png", SEEN)], write_json).splitlines())
    assert found == {"path": "a.png", **FOUND.to_json()}
    assert (seen["path"], seen["mask"]["classes"][0]) == ("c.png", {"label": "cat", "share": 0.75})


def test_the_csv_has_a_line_a_box():
    assert table([("a.png", FOUND), ("b.png", Boxes(())), ("d.png", UNREAD)], "detection") == [
        ["path", "label", "score", "ymin", "xmin", "ymax", "xmax", "error"],
        ["a.png", "dog", "0.9", "0.5", "0.5", "1.0", "1.0", ""],
        ["a.png", "cat", "0.45", "0.1", "0.2", "0.3", "0.4", ""],
        ["b.png", "", "", "", "", "", "", ""],
        ["d.png", "", "", "", "", "", "", UNREAD],
    ]


def test_the_csv_has_a_line_a_class_of_a_mask():
    assert table([("c.png", SEEN), ("d.png", UNREAD)], "segmentation") == [
        ["path", "label", "share", "error"],
        ["c.png", "cat", "0.75", ""],
        ["c.png", "background", "0.25", ""],
        ["d.png", "", "", UNREAD],
    ]


def photograph(file, size=(600, 500), **settings):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 90)).save(file, **settings)
    return str(file)


@pytest.mark.parametrize("answer", [FOUND, SEEN, LABELS, Boxes(()), Answer((Label("cat", 0.2),), True)])
def test_an_answer_is_drawn_at_the_pictures_own_size(tmp_path, answer):
    drawn = draw_answer(photograph(tmp_path / "a.png"), answer)
    assert drawn.shape[1:] == (600, 3)
    assert drawn.shape[0] >= 500
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 2


def test_boxes_and_masks_are_drawn_in_the_colours_of_their_classes(tmp_path):
    path = photograph(tmp_path / "a.png")
    for answer in (FOUND, SEEN):
        assert (draw_answer(path, answer)[:500] == colour(1)).all(axis=2).sum() > 200


def test_a_photograph_that_lies_on_its_side_is_drawn_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = photograph(tmp_path / "a.jpg", exif=exif)
    assert draw_answer(path, FOUND).shape == (600, 500, 3)


def test_every_answer_is_drawn_once_and_pictures_of_one_name_are_numbered(tmp_path):
    paths = [photograph(tmp_path / name) for name in ("a/cat.png", "b/cat.jpg", "b/Cat.png", "b/dog.png")]
    rows = [*((path, FOUND) for path in paths), ("gone.png", UNREAD)]
    assert list(draw_rows(rows, tmp_path / "new" / "drawn")) == rows
    names = {file.name for file in (tmp_path / "new" / "drawn").iterdir()}
    assert names == {"cat-answer.png", "cat-answer-2.png", "Cat-answer-3.png", "dog-answer.png"}


def test_a_persons_own_pictures_are_not_written_over(tmp_path):
    path = photograph(tmp_path / "cat.png")
    before = (tmp_path / "cat.png").read_bytes()
    list(draw_rows([(path, FOUND)], tmp_path))
    assert (tmp_path / "cat.png").read_bytes() == before
    assert (tmp_path / "cat-answer.png").is_file()


def test_a_folder_that_cannot_be_written_is_told_before_the_first_answer(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--draw .*file cannot be written \(File exists\); give a folder that can"):
        draw_rows(iter(()), tmp_path / "file")
