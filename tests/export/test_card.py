import re
from dataclasses import replace

import numpy as np
import pytest

from app.export.card import card
from app.export.markdown import plain

SAMPLE = "samples/00.png"


def test_the_card_of_a_release_is_the_one_that_is_written_now(release):
    assert (release.folder / "README.md").read_text(encoding="utf-8") == card(release, SAMPLE)


def test_nothing_is_left_to_fill_in(release):
    assert "{{" not in card(release, SAMPLE)


def test_snippets_without_a_file_are_left_out(release):
    onnx = replace(release, files=(release.file("model-int8.onnx"),))
    text = card(onnx, SAMPLE)
    assert re.findall(r"^### (.*)", text, re.MULTILINE) == [
        "Python: ONNX Runtime",
        "Browser: ONNX Runtime Web",
        "Service: Open Inference Protocol (Convoy, Triton, KServe)",
        "C++: ONNX Runtime",
    ]
    assert "model.onnx" not in text.replace("1/model.onnx", "")  # as Triton wants it to be called
    assert 'InferenceSession("model-int8.onnx")' in text
    assert "tflite" not in text.split("### ")[0]


def cells(text, first):
    """The cells of the table whose first column has that name."""
    lines = text[text.index(f"| {first} |") :].split("\n\n")[0].splitlines()
    return [line[2:-2].split(" | ") for line in lines]


def test_the_table_has_the_figures_of_every_file(release):
    head, _, *rows = cells(card(release, SAMPLE), "file")
    assert head == ["file", "runtime", "precision", "bytes", "accuracy", "agreement", "largest difference", "ms"]
    assert len(rows) == len(release.files)
    for row, file in zip(rows, release.files, strict=True):
        assert row[0] == f"`{file.path}`"
        assert int(row[3].replace(",", "")) == file.bytes
        assert [float(row[4]), float(row[5])] == pytest.approx([file.metric, file.agreement], abs=5e-5)
        assert row[2].startswith(file.precision)
        assert row[2].endswith(file.quantisation)
    assert rows[4][2] == "int8: per channel, 100 calibration pictures"


def described(release, confusion, classes):
    """The release with other classes and answers."""
    counts = np.array(confusion)
    recall = np.diag(counts) / counts.sum(axis=1).clip(1)
    figures = {
        name: {"precision": 0.5, "recall": recall[place], "f1": 0.5, "pictures": int(counts[place].sum())}
        for place, name in enumerate(classes)
    }
    changed = release.run["figures"] | {"confusion": confusion, "classes": figures}
    return replace(release, classes=tuple(classes), run=release.run | {"figures": changed})


def test_the_classes_that_are_missed_most_come_first_with_what_they_are_taken_for(release):
    confusion = [[9, 1, 0, 0], [3, 2, 4, 1], [0, 0, 2, 0], [0, 0, 0, 0]]
    text = card(described(release, confusion, ["cat", "dog", "owl", "elk"]), SAMPLE)
    words = "Missed most often: **dog** (8 of 10 pictures; 4 taken for **owl**, 3 taken for **cat**); **cat** (1 of 10 pictures; "
    assert words in text
    rows = cells(text, "class")[2:]
    assert [row[:4] for row in rows] == [
        ["dog", "owl (4), cat (3)", "10", "0.200"],
        ["cat", "dog (1)", "10", "0.900"],
        ["owl", "-", "2", "1.000"],
    ]
    assert "Classes without held-out pictures, of which nothing is known: 1." in text


def test_of_many_classes_the_worst_are_told(release):
    confusion = (np.eye(40, dtype=int) * np.arange(1, 41)[:, None]).tolist()
    for place in range(40):
        confusion[place][(place + 1) % 40] = 1
    text = card(described(release, confusion, [f"class {place}" for place in range(40)]), SAMPLE)
    assert [row[0] for row in cells(text, "class")[2:]] == [f"class {place}" for place in range(10)]
    assert "The 10 classes with the lowest recall." in text
    assert "class 9 and 30 more (`labels.txt`)" in text


def test_a_network_without_a_mistake_has_none_named(release):
    text = card(described(release, np.eye(3, dtype=int).tolist(), ["cat", "dog", "owl"]), SAMPLE)
    assert "It missed none of the held-out pictures." in text


def test_the_threshold_is_told_with_what_it_does_and_what_was_not_tried(release):
    chosen = {"probability": 0.4321, "right_kept": 0.99, "wrong_refused": 0.1234, "pictures": 5000}
    text = card(replace(release, threshold=chosen), SAMPLE)
    assert "below **0.4321** for none of them" in text
    assert "On 5,000 validation pictures this keeps 99.0 % of the right answers and drops 12.3 % of the wrong ones." in text
    assert "**not** tested on pictures of other things" in text
    assert ">= 0.4321" in text


def test_without_a_threshold_nothing_is_dropped(release):
    text = card(replace(release, threshold={}), SAMPLE)
    assert "The run chose no probability below which an answer is to be dropped; the snippets drop none." in text
    assert set(re.findall(r">= ([0-9.]+)", text)) == {"0.0000"}


@pytest.mark.parametrize(
    ("licence", "front", "told"),
    [
        ("Apache-2.0", "license: apache-2.0", "Licence: Apache-2.0."),
        ('ours: "ask" #1 é', 'license: other\nlicense_name: "ours: \\"ask\\" #1 é"', 'Licence: ours: "ask" #1 é.'),
        ("", None, "Licence: not stated."),
    ],
)
def test_the_licence_is_told_to_people_and_to_programs(release, licence, front, told):
    text = card(replace(release, licence=licence), SAMPLE)
    head = text.split("---\n")[1]
    assert ("license" in head) == bool(licence)
    assert front is None or f"{front}\n" in head
    assert told in text


def test_what_could_not_be_made_is_told_with_the_reason(release):
    text = card(replace(release, left_out={"tflite-mcu": "no int8 kernel for <this> operator"}), SAMPLE)
    assert "- `model-mcu.tflite`: no int8 kernel for &#60;this&#62; operator" in text
    assert "Left out" not in card(release, SAMPLE)


def test_classes_cannot_break_a_table(release):
    text = card(described(release, [[1, 2], [0, 3]], ["a|b <i> _x_ *y* `z`", "snake_case [1] \\"]), SAMPLE)
    rows = cells(text, "class")
    assert {len(row) for row in rows} == {6}
    assert "a&#124;b &#60;i&#62; \\_x\\_ \\*y\\* \\`z\\`" in rows[2]
    assert "snake_case \\[1\\] \\\\ (2)" in rows[2]


def test_the_recipe_has_what_was_set_and_nothing_that_was_off(release):
    config = release.run["config"] | {"ema": 0.999, "options": {"pooling": "max"}}
    rows = {row[0]: row[1] for row in cells(card(replace(release, run=release.run | {"config": config}), SAMPLE), "setting")}
    assert rows["`epochs`"] == str(config["epochs"])
    assert (rows["`ema`"], rows["`pooling`"], rows["`seed`"]) == ("0.999", "max", "0")
    assert not {"`dropout`", "`freeze`", "`weights`", "`class_weights`", "`limit`"} & set(rows)


def test_markdown_shows_a_text_as_it_is():
    assert plain("plain words, 1-2; über 猫") == "plain words, 1-2; über 猫"
