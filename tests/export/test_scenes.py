"""Releases of a detector and of a segmenter: what they hold, and what is refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest

from app.deploy import divided, main_path
from app.errors import UserError
from app.export.bounds import bounds_for
from app.export.card import card
from app.export.checks import Trial, answers, check_bounds, examine
from app.export.contract import check_outputs
from app.export.converters import VARIANTS
from app.export.export import export
from app.export.failures import weaknesses
from app.export.metadata import read_metadata
from app.export.samples import choose, classes_in, read_answers
from app.export.verify import judge, verify_release
from app.predict.ask import predict
from app.release import hashes, read_release
from app.runners import open_file, run_pictures
from models.lazy import keras
from tests import small_run
from tests.export.recorded import rewrite

SAMPLE = "samples/00.png"


@pytest.fixture
def copied_detector(detection_release, tmp_path):
    return shutil.copytree(detection_release.folder, tmp_path / "shapes" / "1")


@pytest.fixture
def copied_segmenter(segmentation_release, tmp_path):
    return shutil.copytree(segmentation_release.folder, tmp_path / "shapes" / "1")


def test_the_files_of_a_detector_find_what_keras_finds(detection_release):
    assert [file.path for file in detection_release.files] == [VARIANTS[name].path for name in small_run.BOXES]
    assert detection_release.run["metric"] > 0.9
    for file in detection_release.files:
        assert detection_release.run["metric"] - file.metric <= {"fp32": 0.005, "fp16": 0.005, "int8": 0.03}[file.precision]
        assert file.agreement >= {"fp32": 0.99, "fp16": 0.98, "int8": 0.7}[file.precision]
    shapes = [(output["name"], output["shape"]) for output in detection_release.outputs]
    most = shapes[0][1][1]
    assert shapes == [
        ("boxes", ["batch", most, 4]),
        ("classes", ["batch", most]),
        ("scores", ["batch", most]),
        ("count", ["batch"]),
    ]


def test_the_files_of_a_segmenter_answer_as_keras_does(segmentation_release):
    assert segmentation_release.run["metric"] > 0.85
    assert segmentation_release.outputs == ({"name": "masks", "shape": ["batch", 64, 64, 3]},)
    for file in segmentation_release.files:
        assert abs(segmentation_release.run["metric"] - file.metric) <= {"fp32": 0.005, "int8": 0.02}[file.precision]
        assert file.agreement >= {"fp32": 0.999, "int8": 0.98}[file.precision]
        assert file.max_difference <= {"fp32": 1e-4, "int8": 1}[file.precision]


@pytest.mark.parametrize("kind", ["detection", "segmentation"])
@pytest.mark.parametrize("path", ["model.onnx", "model-int8.onnx"])
def test_a_batch_of_four_is_four_times_one(request, kind, path):
    release = request.getfixturevalue(f"{kind}_release")
    runner = open_file(release.folder / path, "onnx")
    pictures = small_run.shapes(4, 3)[0].astype(np.float32)
    together, alone = runner.run(pictures), [runner.run(picture[None]) for picture in pictures]
    for name, values in together.items():
        assert np.abs(values - np.concatenate([one[name] for one in alone])).max() < 1e-5, name


def test_an_integer_detector_is_two_files_and_the_tail_is_hashed(copied_detector):
    release = read_release(copied_detector)
    file = release.file("model-int8.tflite")
    assert (file.input_dtype, file.tail) == ("uint8", "model-int8-tail.tflite")
    assert file.bytes == sum((copied_detector / name).stat().st_size for name in (file.path, file.tail))
    assert file.tail_sha256 == hashes(copied_detector / file.tail)
    assert {one.tail for one in release.files if one is not file} == {""}
    tail = copied_detector / file.tail
    content = bytearray(tail.read_bytes())
    content[len(content) // 2] ^= 1
    tail.write_bytes(content)
    uses = (verify_release, lambda folder: predict(folder, [folder / SAMPLE]), lambda folder: verify_release(folder / file.path))
    for use in uses:
        with pytest.raises(UserError, match=r"model-int8-tail.tflite was altered after the release was verified"):
            use(copied_detector)
    tail.unlink()
    for use in uses:
        with pytest.raises(UserError, match=r"model-int8-tail.tflite is missing; export it again"):
            use(copied_detector)


def test_half_a_detector_says_what_it_lacks(copied_detector, tmp_path):
    shutil.copy(copied_detector / "model-int8.tflite", tmp_path / "alone.tflite")
    with pytest.raises(UserError, match=r"alone-tail.tflite is missing; it is a part of this network"):
        open_file(tmp_path / "alone.tflite", "tflite")
    with pytest.raises(UserError, match=r"model-int8-tail.tflite takes head0 and no picture: it is the second half"):
        open_file(copied_detector / "model-int8-tail.tflite", "tflite")


def test_the_two_halves_of_a_detector_are_the_whole():
    network = main_path(small_run.detection_run().network())
    body, tail = divided(network)
    pictures = small_run.shapes(5, 4)[0].astype(np.float32)
    heads = body.predict(pictures, verbose=0)
    assert list(heads) == ["head0"]
    assert heads["head0"].shape == (5, 8, 8, 48), "the cut is before the last convolution, which sees one place at a time"
    whole = small_run.detection_run().inference_model().predict(pictures, verbose=0)
    found = tail.predict(heads, verbose=0)
    assert all(np.abs(found[name] - whole[name]).max() < 1e-5 for name in whole)


def test_a_released_detector_is_verified_and_an_answer_that_is_another_is_refused(copied_detector):
    assert {verdict.status for verdict in verify_release(copied_detector)} == {"passed"}

    def change(outputs):
        boxes = outputs["model.onnx"]["boxes"]
        for rows in boxes[:4]:
            rows[0] = [0.0, 0.0, 0.1, 0.1]

    rewrite(copied_detector, change)
    status = {verdict.path: verdict.status for verdict in verify_release(copied_detector)}
    assert status.pop("model.onnx") == "failed"
    assert set(status.values()) == {"passed"}


def test_a_released_segmenter_is_verified_and_an_answer_that_is_another_is_refused(copied_segmenter):
    assert {verdict.status for verdict in verify_release(copied_segmenter)} == {"passed"}

    def change(outputs):
        masks = outputs["model.onnx"]["masks"]
        masks[0], masks[1] = masks[1], masks[0]

    rewrite(copied_segmenter, change)
    status = {verdict.path: (verdict.status, verdict.detail) for verdict in verify_release(copied_segmenter)}
    assert status.pop("model.onnx")[0] == "failed"
    assert {one for one, _ in status.values()} == {"passed"}
    assert all(detail.startswith("16 samples, 100.00 % of the pixels as recorded") for _, detail in status.values())


def test_answers_that_are_no_numbers_are_not_as_recorded(copied_segmenter):
    release = read_release(copied_segmenter)
    recorded = read_answers(copied_segmenter)[1]["model.onnx"]
    found = {"masks": np.full((16, 64, 64, 3), np.nan, np.float32)}
    assert judge(release.file("model.onnx"), found, recorded)[0] is False


def test_the_samples_are_small_and_read_back_as_they_were_answered(detection_release, segmentation_release):
    for release in (detection_release, segmentation_release):
        folder = release.folder
        assert (folder / "samples" / "samples.json").stat().st_size < 300_000
        paths, recorded = read_answers(folder)
        pictures = np.stack([np.asarray(keras.utils.load_img(folder / path)) for path in paths])
        found = run_pictures(open_file(folder / "model.onnx", "onnx"), pictures)
        if "masks" in found:
            assert (recorded["model.onnx"]["masks"] == found["masks"].argmax(axis=-1)).mean() > 0.999
        else:
            told = recorded["model.onnx"]
            assert (told["count"] == (found["scores"] >= 0.1).sum(axis=1)).all()
            end = told["scores"].shape[1]
            there = told["scores"] > 0
            assert np.abs(told["boxes"][there] - found["boxes"][:, :end][there]).max() < 1e-5
    labels = json.loads((detection_release.folder / "samples" / "samples.json").read_text())["pictures"]
    assert {label for picture in labels for label in picture["labels"]} == {"square", "disc"}


def test_samples_show_every_class_that_is_in_boxes_or_masks():
    boxes = np.full((40, 2, 6), -1.0, np.float32)
    boxes[:, 0, 4] = 0
    boxes[35, 1, 4] = 1
    assert classes_in(boxes)[35] == [0, 1]
    assert 35 in choose(boxes)
    masks = np.full((40, 4, 4), 255, np.uint8)
    masks[:, 0], masks[20, 1] = 0, 3
    assert classes_in(masks)[20] == [0, 3]
    assert 20 in choose(masks)
    assert len(choose(masks)) == 16


def test_files_say_of_themselves_what_their_outputs_mean(detection_release, segmentation_release):
    detector = read_metadata((detection_release.folder / "model-fp32.tflite").read_bytes())
    assert detector.outputs == ("boxes", "classes", "scores", "count")
    assert (detector.description.labelled, detector.description.labels) == ("classes", ("square", "disc"))
    segmenter = read_metadata((segmentation_release.folder / "model-fp32.tflite").read_bytes())
    assert (segmenter.outputs, segmenter.description.labels) == (("masks",), ("background", "square", "disc"))
    assert detector.normalisation == segmenter.normalisation == (0, 1)
    body = read_metadata((detection_release.folder / "model-int8.tflite").read_bytes())
    assert (body.inputs, body.outputs, body.description.labels) == (("image",), ("head0",), ())
    tail = read_metadata((detection_release.folder / "model-int8-tail.tflite").read_bytes())
    assert (tail.inputs, tail.outputs) == (("head0",), ("boxes", "classes", "scores", "count"))


def test_a_microcontroller_gets_no_detector(tmp_path):
    with pytest.raises(UserError, match=r"model-mcu.tflite cannot be made: it is for classification; leave tflite-mcu out"):
        export(small_run.detection_run(), tmp_path, variants=("tflite-mcu",), say=lambda line: None)
    assert not list(tmp_path.iterdir())


def test_what_is_not_tried_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("app.export.export.VARIANTS", {name: VARIANTS[name] for name in ("onnx-fp32", "tflite-mcu")})
    made = export(small_run.segmentation_run(), tmp_path, say=lambda line: None)
    assert made.left_out == {"tflite-mcu": "it is for classification"}


# Gates


@pytest.fixture(scope="module")
def trial():
    run = small_run.detection_run()
    heldout = run.arrays("heldout")
    reference = {name: heldout[name] for name in run.objective.outputs}
    return Trial(
        pictures=heldout["images"],
        labels=heldout["labels"],
        reference=reference,
        objective=run.objective,
        classes=tuple(run.classes),
        weights=run.network().count_params(),
        operations=500,
        bounds=bounds_for("detection", None),
        exact=reference,
    )


@pytest.fixture(scope="module")
def artifact(trial, detection_release):
    return examine(trial, VARIANTS["onnx-fp32"], detection_release.folder / "model.onnx")


def test_bounds_are_those_of_the_objective():
    assert bounds_for("detection", None) == {"fp32": 0.005, "fp16": 0.005, "int8": 0.03, "dynamic": 0.015}
    assert bounds_for("segmentation", None) == {"fp32": 0.005, "fp16": 0.005, "int8": 0.02, "dynamic": 0.01}
    assert bounds_for("detection", 10)["int8"] == 0.1


@pytest.mark.parametrize(
    ("precision", "lost", "agreement", "said"),
    [
        ("fp32", 0.006, 1.0, r"loses 0.60 points of map50 .*; the bound for fp32 is 0.5"),
        ("fp16", -0.006, 1.0, r"gains 0.60 points of map50, so it is another network; the bound for fp16 is 0.5"),
        ("fp32", 0.0, 0.98, r"answers 2.00% of the boxes otherwise than Keras; the bound for fp32 is 1%"),
        ("int8", 0.031, 1.0, r"loses 3.10 points of map50 .*; the bound for int8 is 3; nothing was released"),
        ("dynamic", 0.016, 1.0, r"loses 1.60 points of map50 .*; the bound for dynamic is 1.5"),
    ],
)
def test_a_file_beyond_its_bound_is_refused(trial, artifact, precision, lost, agreement, said):
    held = replace(artifact, precision=precision, agreement=1.0, metric=trial.metric, max_difference=0.9)
    check_bounds(trial, held)
    with pytest.raises(UserError, match=said):
        check_bounds(trial, replace(held, metric=trial.metric - lost, agreement=agreement))


def test_a_number_that_is_none_is_noticed_in_any_output():
    class Broken:
        input_name, input_shape = "image", (64, 64, 3)

        def run(self, images):
            masks = np.zeros((len(images), 64, 64, 3), np.float32)
            masks[-1, 5, 5, 1] = np.nan
            return {"masks": masks}

    objective = small_run.segmentation_run().objective
    kept, exact = answers(Broken(), np.zeros((40, 64, 64, 3), np.uint8), objective)
    assert kept["masks"].shape == (40, 64, 64)
    assert np.isnan(exact["masks"]).all()


def test_masks_of_many_pictures_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr("app.export.checks.FLOATS_BYTES", 1)
    run = small_run.segmentation_run()
    from app.runners.keras import KerasRunner

    kept, exact = answers(KerasRunner(run.inference_model()), run.arrays("heldout")["images"], run.objective)
    assert len(exact["masks"]) == 32 < len(kept["masks"]) == 64


def boxes(**changes):
    found = {
        "boxes": np.zeros((2, 3, 4), np.float32),
        "classes": np.zeros((2, 3), np.float32),
        "scores": np.array([[0.9, 0.5, 0.0]] * 2, np.float32),
        "count": np.array([2.0, 2.0], np.float32),
    }
    return found | {name: np.asarray(values, np.float32) for name, values in changes.items()}


@pytest.mark.parametrize(
    ("objective", "outputs", "said"),
    [
        ("detection", boxes(boxes=np.zeros((2, 3, 5))), r"gives boxes of \[2, 3, 5\], not \[2, 3, 4\]"),
        ("detection", boxes(boxes=np.full((2, 3, 4), 30.0)), "gives boxes that are no fractions of the picture"),
        ("detection", boxes(classes=np.full((2, 3), 2.0)), "gives the class 2, and there are 2, from 0"),
        ("detection", boxes(scores=[[0.5, 0.9, 0.0]] * 2), "gives scores that do not go down from 1 to 0"),
        ("segmentation", {"masks": np.full((1, 4, 4, 3), 1 / 3)}, "gives 3 probabilities for 2 classes"),
        (
            "segmentation",
            {"masks": np.zeros((1, 4, 4, 2))},
            "gives probabilities that do not add up to 1; the softmax has to be inside",
        ),
        ("segmentation", {"masks": np.zeros((1, 4, 4))}, r"gives masks of \[1, 4, 4\]"),
    ],
)
def test_outputs_that_are_not_what_they_are_called_are_refused(objective, outputs, said):
    with pytest.raises(UserError, match=f"^model.onnx {said}"):
        check_outputs("model.onnx", objective, outputs, 2, integers=False)
    check_outputs("model.onnx", "detection", boxes(), 2, integers=False)


# The card


def test_the_card_of_a_detector_tells_boxes(detection_release):
    text = card(detection_release, SAMPLE)
    assert text == (detection_release.folder / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: object-detection" in text
    assert "finds objects of 2 classes in a picture, with a box around each: square, disc" in text
    assert "- Output `boxes`: float32 [batch, " in text
    assert "`model-int8.tflite`, `model-int8-tail.tflite`" in text
    assert "| class | most often taken for | boxes | AP50 | AP | recall | precision |" in text
    assert f"below **{detection_release.threshold['probability']:.4f}**" in text
    assert "{{" not in text


def test_the_card_of_a_segmenter_tells_pixels(segmentation_release):
    text = card(segmentation_release, SAMPLE)
    assert "pipeline_tag: image-segmentation" in text
    assert "says of every pixel of a picture which of 3 classes it is of: background, square, disc" in text
    assert "- Output `masks`: float32 [batch, 64, 64, 3], of every pixel" in text
    assert "| class | most often taken for | pixels | IoU | recall | precision |" in text
    assert "## Which boxes" not in text
    assert "## None of these" not in text
    assert "{{" not in text


def test_what_a_detector_does_not_find_is_told_as_such(detection_release):
    figures = detection_release.run["figures"] | {"confusion": [[5, 1, 4], [0, 9, 0], [2, 1, 0]], "boxes": 19}
    told = "\n".join(weaknesses(replace(detection_release, run=detection_release.run | {"figures": figures})))
    assert "Of 19 boxes it found 15, 3 of its own are on the background" in told
    assert "| square | not found (4), disc (1) |" in told


def test_boxes_are_not_rounded_to_half_precision_on_their_way(detection_release):
    graph = onnx.load(detection_release.folder / "model-fp16.onnx").graph
    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
    assert len(casts) > 3
    rounded = {name for name, node in casts.items() if node.attribute[0].i == onnx.TensorProto.FLOAT16}
    assert [name for name, node in casts.items() if node.input[0] in rounded] == []
