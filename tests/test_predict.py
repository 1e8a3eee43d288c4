import csv
import io
import json
import shutil

import numpy as np
import onnx
import pytest
from PIL import Image

from app.answers import Answer, Label
from app.errors import UserError
from app.export.export import export
from app.predict.ask import answers, find_pictures, open_network, predict
from app.predict.written import write_csv, write_json, write_text
from tests.slim import run_without
from tests.small_run import copy_run, small_release, small_run


@pytest.fixture(scope="module")
def run():
    return small_run()


@pytest.fixture(scope="module")
def release():
    return small_release()


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    """The first 70 held-out pictures of the run, as grey PNGs."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, picture in enumerate(run.arrays("heldout")["images"][:70]):
        Image.fromarray(picture[..., 0]).save(folder / f"{number:03}.png")
    return folder


def table(rows, classes):
    """Probabilities as the network gave them, in the order of the classes."""
    return np.array([[{one.label: one.probability for one in row.labels}[name] for name in classes] for _, row in rows])


@pytest.mark.parametrize(
    ("source", "bound"),
    [("run", 1e-5), ("release", 1e-5), ("model.onnx", 1e-5), ("model-fp32.tflite", 1e-5), ("model-int8.tflite", 0.2)],
)
def test_every_source_answers_what_the_run_held_out_says(run, release, folder, source, bound):
    path = {"run": run.folder, "release": release.folder.parent}.get(source, release.folder / source)
    rows = list(predict(path, [folder], top=10))
    assert [row[0] for row in rows] == [str(folder / f"{number:03}.png") for number in range(70)]
    assert np.abs(table(rows, run.classes) - run.arrays("heldout")["probabilities"][:70]).max() < bound


def test_an_answer_has_the_likeliest_classes_first(release, folder):
    (_, answer), *_ = predict(release.folder, [folder / "000.png"], top=3)
    assert len(answer.labels) == 3
    assert [label.probability for label in answer.labels] == sorted((one.probability for one in answer.labels), reverse=True)


def test_pictures_that_cannot_be_read_do_not_stop_the_others(release, folder, tmp_path):
    for number in range(70):
        shutil.copy(folder / f"{number:03}.png", tmp_path)
    (tmp_path / "010.png").write_bytes(b"")
    (tmp_path / "040.png").write_text("words")
    rows = list(predict(release.folder, [tmp_path, tmp_path / "missing.png"]))
    whole = [answer for _, answer in predict(release.folder, [folder])]
    assert [number for number, (_, answer) in enumerate(rows) if isinstance(answer, str)] == [10, 40, 70]
    for number, reason in ((10, "the file is empty"), (40, "not a "), (70, "there is no such file")):
        assert rows[number][1].startswith(reason)
    assert [rows[number][1] for number in (0, 11, 41, 69)] == [whole[number] for number in (0, 11, 41, 69)]


def test_a_batch_of_nothing_but_unreadable_pictures_is_told_too(release, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    assert list(predict(release.folder, [tmp_path])) == [(str(tmp_path / "a.png"), "the file is empty")]


def test_folders_are_searched_whole_and_in_order(tmp_path):
    for name in ("b/2.PNG", "b/1.jpeg", "a.jpg", "notes.txt", "c/d/e.webp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = ["a.jpg", "b/1.jpeg", "b/2.PNG", "c/d/e.webp"]
    assert find_pictures([tmp_path]) == [str(tmp_path / name) for name in found]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no picture in .*empty'; it needs files that end in .jpg"):
        find_pictures([tmp_path / "empty"])


def test_a_lone_onnx_file_knows_its_labels(run, release, folder, tmp_path):
    named = copy_run(run, tmp_path / "run", classes=[f"digit {digit}" for digit in range(10)])
    made = export(named, tmp_path / "out", variants=("onnx-fp32",), say=lambda line: None)
    shutil.copy(made.folder / "model.onnx", tmp_path / "lone.onnx")
    (_, answer), *_ = predict(tmp_path / "lone.onnx", [folder / "000.png"])
    assert answer.labels[0].label == f"digit {run.arrays('heldout')['probabilities'][0].argmax()}"


def test_a_lone_tflite_file_knows_its_labels_and_without_them_gives_their_numbers(run, folder, tmp_path):
    named = copy_run(run, tmp_path / "run", classes=[f"digit {digit}" for digit in range(10)])
    made = export(named, tmp_path / "out", variants=("tflite-fp32", "tflite-mcu"), say=lambda line: None)
    right = run.arrays("heldout")["probabilities"][0].argmax()
    for name, label in (("model-fp32.tflite", f"digit {right}"), ("model-mcu.tflite", str(right))):
        shutil.copy(made.folder / name, tmp_path)
        (_, answer), *_ = answers(open_network(tmp_path / name), [str(folder / "000.png")], 1)
        assert answer.labels[0].label == label


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        ({"labels": "cat,dog"}, "says of its labels or threshold what is no JSON"),
        ({"threshold": "high"}, "says of its labels or threshold what is no JSON"),
        ({"objective": "poetry"}, "is for 'poetry'; this program knows classification, detection, segmentation"),
        ({"labels": '["cat", "dog"]'}, "has 2 labels for 10 probabilities"),
    ],
)
def test_a_foreign_file_that_describes_itself_otherwise_is_refused_in_one_line(release, tmp_path, notes, said):
    proto = onnx.load(release.folder / "model.onnx")
    onnx.helper.set_model_props(proto, {note.key: note.value for note in proto.metadata_props} | notes)
    onnx.save(proto, tmp_path / "foreign.onnx")
    with pytest.raises(UserError, match=said):
        open_network(tmp_path / "foreign.onnx")


def test_a_picture_of_something_else_is_none_of_the_classes(release, folder, tmp_path):
    Image.fromarray(np.full((28, 28), 128, np.uint8)).save(tmp_path / "grey.png")
    threshold = release.threshold["probability"]
    rows = [answer for _, answer in predict(release.folder, [folder, tmp_path / "grey.png"])]
    assert [row.none_of_these for row in rows] == [row.labels[0].probability < threshold for row in rows]
    assert sum(row.none_of_these for row in rows[:-1]) < 10
    assert rows[-1].none_of_these
    text = io.StringIO()
    write_text([("grey.png", rows[-1])], text)
    assert text.getvalue().startswith("grey.png: none of these (nearest: ")


def test_a_file_in_a_release_is_checked_before_it_is_used(release, folder, tmp_path):
    copied = shutil.copytree(release.folder, tmp_path / "1")
    content = bytearray((copied / "model-fp32.tflite").read_bytes())
    content[-100] ^= 1
    (copied / "model-fp32.tflite").write_bytes(content)
    with pytest.raises(UserError, match=r"model-fp32.tflite was altered"):
        predict(copied / "model-fp32.tflite", [folder])
    list(predict(copied / "model.onnx", [folder / "000.png"]))
    (copied / "labels.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match=r"labels.txt was altered"):
        predict(copied / "model.onnx", [folder])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", "no run, release or file 'nowhere'; give runs/latest, exported/NAME, or a .onnx or .tflite file"),
        ("tests/slim.py", "is no network that can be run"),
        ("tests", "no release in 'tests'"),
    ],
)
def test_what_is_no_network_is_told_before_any_picture_is_read(folder, source, said):
    with pytest.raises(UserError, match=said):
        predict(source, [folder])


def test_top_must_be_a_number_of_classes(release, folder):
    with pytest.raises(UserError, match=r"--top 0 is no number of classes"):
        predict(release.folder, [folder], top=0)


def test_the_csv_has_a_column_for_every_label_and_a_reason(release, folder, tmp_path):
    (tmp_path / "a, b.png").write_bytes(b"")
    rows = list(predict(release.folder, [folder / "000.png", tmp_path], top=2))
    text = io.StringIO(newline="")
    write_csv(rows, text, "classification", 2)
    header, good, bad = csv.reader(io.StringIO(text.getvalue()))
    assert header == ["path", "label", "probability", "label2", "probability2", "none_of_these", "error"]
    first, second = rows[0][1].labels
    assert good == [rows[0][0], first.label, str(first.probability), second.label, str(second.probability), "false", ""]
    assert bad == [str(tmp_path / "a, b.png"), "", "", "", "", "", "the file is empty"]


def test_the_text_has_a_line_a_picture():
    text = io.StringIO()
    write_text([("a.png", Answer((Label("cat", 0.9051), Label("dog", 0.0949)))), ("b.png", "the file is empty")], text)
    assert text.getvalue() == "a.png: cat 90.5%  dog 9.5%\nb.png: the file is empty\n"


def test_the_json_has_an_object_a_line(release, folder, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    rows = list(predict(release.folder, [folder / "000.png", tmp_path], top=2))
    text = io.StringIO()
    write_json(rows, text)
    good, bad = map(json.loads, text.getvalue().splitlines())
    assert good["path"] == rows[0][0]
    assert [set(label) for label in good["labels"]] == [{"label", "probability"}] * 2
    assert bad == {"path": str(tmp_path / "a.png"), "error": "the file is empty"}
    assert isinstance(rows[0][1], Answer)


def test_a_release_answers_where_there_is_neither_tensorflow_nor_keras_nor_litert(release, folder):
    code = f"""
from app.predict.ask import predict
print(sum(not isinstance(answer, str) for _, answer in predict({str(release.folder)!r}, [{str(folder)!r}])))
"""
    assert run_without(["tensorflow", "keras", "ai_edge_litert", "onnx"], code).strip() == "70"
