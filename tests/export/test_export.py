import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from app.deploy import inference_model
from app.errors import UserError
from app.export import bounds, checks
from app.export import export as export_module
from app.export.converters import VARIANTS
from app.export.export import default_name, export
from app.export.graph import Graph
from app.export.verify import verify_release
from app.release import check_release, find_release
from tests.small_run import copy_run

ROOT = Path(__file__).parents[2]
ONNX = ("onnx-fp32",)
FP32 = VARIANTS["tflite-fp32"]


def quietly(run, out, **options):
    return export(run, out, say=lambda line: None, **options)


def left(folder):
    """Everything in a folder, hidden or not."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) if folder.exists() else []


def test_a_release_holds_every_variant_with_its_figures(release, run):
    assert [file.path for file in release.files] == [variant.path for variant in VARIANTS.values()]
    assert (release.name, release.version, release.objective) == ("lenet5-digits", 1, "classification")
    assert release.classes == tuple(run.classes)
    assert release.input == {
        "name": "image",
        "shape": ["batch", 28, 28, 3],
        "dtype": "float32",
        "range": [0, 255],
        "channels": "RGB",
        "resize": "stretch",
    }
    assert release.outputs == ({"name": "probabilities", "shape": ["batch", 10]},)
    assert release.run["metric"] == run.metrics()["test"]["accuracy"] > 0.85
    assert release.run["heldout"] == 297
    assert release.run["data"] == {"name": "digits", "fingerprint": "0" * 64}
    for file in release.files:
        bound = {"fp32": 1e-4, "fp16": 1e-2}.get(file.precision, 1)
        assert file.max_difference <= bound
        assert file.agreement >= 0.97
        assert abs(file.metric - release.run["metric"]) <= 0.01
        assert file.latency_ms > 0
    assert find_release(release.folder.parent) == release
    check_release(release)


def test_everything_in_a_release_is_hashed(release):
    listed = {*release.extras, "release.json"}
    for file in release.files:
        listed |= {file.path} if isinstance(file.sha256, str) else {f"{file.path}/{inside}" for inside in file.sha256}
    assert {path.relative_to(release.folder).as_posix() for path in release.folder.rglob("*") if path.is_file()} == listed
    assert (release.folder / "labels.txt").read_text() == "".join(f"{digit}\n" for digit in range(10))


def test_the_samples_show_every_class(release):
    samples = json.loads((release.folder / "samples" / "samples.json").read_text())
    assert len(samples["pictures"]) == 16
    assert {picture["label"] for picture in samples["pictures"]} == set(release.classes)
    assert set(samples["outputs"]) == {file.path for file in release.files}


def test_a_second_export_takes_the_next_number_and_leaves_the_first(run, tmp_path):
    said = []
    first = export(run, tmp_path, variants=ONNX, say=said.append)
    second = quietly(run, tmp_path, variants=ONNX)
    assert (first.version, second.version) == (1, 2)
    assert left(tmp_path)[:2] == ["lenet5-digits", "lenet5-digits/1"]
    assert find_release(tmp_path / "lenet5-digits") == second
    check_release(first)
    assert len(said) == 1
    assert said[0].split()[0] == "model.onnx"


def unscaled(graph, path):
    """The file of somebody who thinks that clients divide by 255."""
    image = keras.Input(graph.model.input_shape[1:], name="image")
    model = keras.Model(image, graph.model(image * 255.0))
    FP32.write(replace(graph, model=model, work=graph.work / "unscaled"), path)


def test_a_file_that_wants_other_pixels_stops_the_release_and_nothing_is_left(run, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "tflite-fp32", replace(FP32, write=unscaled))
    with pytest.raises(UserError, match=r"^model-fp32.tflite: an output is [\d.]+ from Keras; the bound for fp32 is 0.0001; "):
        quietly(run, tmp_path, variants=("tflite-fp32", "onnx-fp32"))
    assert left(tmp_path) == []


def test_a_refused_release_leaves_the_one_before(run, tmp_path, monkeypatch):
    first = quietly(run, tmp_path, variants=ONNX)
    before = left(tmp_path)
    monkeypatch.setitem(bounds.DIFFERENCE, "fp32", 1e-12)
    with pytest.raises(UserError, match=r"model.onnx: an output is .* the bound for fp32 is 1e-12"):
        quietly(run, tmp_path, variants=ONNX)
    assert left(tmp_path) == before
    assert find_release(tmp_path / "lenet5-digits") == first


def test_a_file_that_guesses_is_refused_for_what_it_loses(run, tmp_path, monkeypatch):
    def shuffled(graph: Graph, path: Path) -> None:
        network = run.network()
        kernel, bias = network.get_layer("logits").get_weights()
        network.get_layer("logits").set_weights([kernel[:, ::-1], bias[::-1]])
        model = inference_model(network, "classification")
        FP32.write(replace(graph, model=model, work=graph.work / "shuffled"), path)

    monkeypatch.setitem(checks.BYTES_A_WEIGHT, "dynamic", 4)
    monkeypatch.setitem(VARIANTS, "tflite-dynamic", replace(FP32, name="tflite-dynamic", precision="dynamic", write=shuffled))
    with pytest.raises(UserError, match=r"loses \d\d.* points of accuracy .* the bound for dynamic is 0.5; nothing was rel"):
        quietly(run, tmp_path, variants=("tflite-dynamic",))
    assert left(tmp_path) == []


def test_a_converter_that_fails_is_told_in_one_line(run, tmp_path, monkeypatch):
    def fails(graph, path):
        os.write(1, b"a page of chatter")
        raise ValueError("no such operator\nand a page more")

    monkeypatch.setitem(VARIANTS, "onnx-fp32", replace(VARIANTS["onnx-fp32"], write=fails))
    with pytest.raises(UserError, match=r"^model.onnx cannot be made: no such operator; leave onnx-fp32 out.*$") as told:
        quietly(run, tmp_path, variants=ONNX)
    assert "a page of chatter" in told.value.__cause__.__notes__[0]
    assert left(tmp_path) == []


def test_a_file_that_a_network_cannot_have_is_left_out_and_the_reason_recorded(run, tmp_path, monkeypatch):
    def fails(graph, path):
        raise ValueError("no int8 kernel for this operator\nand more")

    monkeypatch.setattr("app.export.export.VARIANTS", {name: VARIANTS[name] for name in ("onnx-fp32", "tflite-mcu")})
    monkeypatch.setitem(export_module.VARIANTS, "tflite-mcu", replace(VARIANTS["tflite-mcu"], write=fails))
    said = []
    made = export(run, tmp_path, say=said.append)
    assert [file.path for file in made.files] == ["model.onnx"]
    assert made.left_out == {"tflite-mcu": "no int8 kernel for this operator"}
    assert said[1].split(maxsplit=1)[1] == "left out: no int8 kernel for this operator"
    with pytest.raises(UserError, match=r"mcu.tflite cannot be made: no int8 kernel for this operator; leave tflite-mcu out"):
        quietly(run, tmp_path, variants=("tflite-mcu",))


def test_a_grey_network_takes_rgb_on_phones_and_one_channel_on_microcontrollers(release):
    channels = {file.path: (file.channels, file.input_dtype) for file in release.files}
    assert channels.pop("model-mcu.tflite") == ("grey", "int8")
    assert channels.pop("model-int8.tflite") == ("RGB", "uint8")
    assert set(channels.values()) == {("RGB", "float32")}


def test_integer_files_say_how_their_numbers_were_chosen_and_are_small(release):
    said = {file.path: file.quantisation for file in release.files if file.quantisation}
    calibrated = "per channel, 100 calibration pictures"
    assert said == {
        "model-dynamic.tflite": "weights alone",
        "model-int8.tflite": calibrated,
        "model-mcu.tflite": calibrated,
        "model-int8.onnx": calibrated,
    }
    sizes = {file.path: file.bytes for file in release.files}
    assert sizes["model-int8.tflite"] <= 0.32 * sizes["model-fp32.tflite"]
    assert sizes["model-int8.onnx"] <= 0.35 * sizes["model.onnx"]


def test_the_threshold_of_the_run_stands_in_the_release(release, run):
    assert release.threshold == run.metrics()["threshold"]
    assert 0 < release.threshold["probability"] < 1


def test_a_name_taken_by_other_data_or_classes_is_refused_before_anything_is_converted(run, tmp_path, monkeypatch):
    quietly(run, tmp_path / "out", variants=ONNX)
    convert = VARIANTS["onnx-fp32"]
    monkeypatch.setitem(VARIANTS, "onnx-fp32", replace(convert, write=lambda graph, path: pytest.fail("it was converted")))
    pets = copy_run(run, tmp_path / "pets", data=run.record["data"] | {"name": "pets"})
    with pytest.raises(UserError, match=r"is a release of data 'digits', and this run was trained on 'pets'; .* --name"):
        quietly(pets, tmp_path / "out", variants=ONNX)
    reversed_classes = copy_run(run, tmp_path / "reversed", classes=run.classes[::-1])
    with pytest.raises(UserError, match=r"is a release with other classes .*; choose another name with --name"):
        quietly(reversed_classes, tmp_path / "out", variants=ONNX)
    monkeypatch.setitem(VARIANTS, "onnx-fp32", convert)
    named = quietly(reversed_classes, tmp_path / "out", variants=ONNX, name="backwards")
    assert named.folder == tmp_path / "out" / "backwards" / "1"


def test_a_name_whose_manifest_was_edited_can_be_exported_again(run, tmp_path):
    first = quietly(run, tmp_path, variants=ONNX)
    (first.folder / "release.json").write_text("{}")
    assert quietly(run, tmp_path, variants=ONNX).version == 2


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "-x", "a b"])
def test_a_name_that_is_no_folders_is_refused(run, tmp_path, name):
    with pytest.raises(UserError, match=r"is no name for a release"):
        quietly(run, tmp_path, name=name)


def test_an_unknown_variant_gets_the_nearest_ones(run, tmp_path):
    with pytest.raises(UserError, match=r"no variant 'onnx'; did you mean onnx-"):
        quietly(run, tmp_path, variants=("onnx",))


@pytest.mark.parametrize("classes", [["a", ""], ["a", "b\nc"], ["a", "a"]])
def test_classes_that_labels_cannot_hold_are_refused(run, tmp_path, classes):
    with pytest.raises(UserError, match=r"rename it in the data"):
        quietly(copy_run(run, tmp_path / "run", classes=classes), tmp_path / "out")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("digits", "lenet5-digits"),
        ("tfds:mnist/3d", "lenet5-3d"),
        ("tfds:mnist", "lenet5-tfds-mnist"),
        ("/home/me/my pets/", "lenet5-my-pets"),
        ("pets/shapes.v2.npz", "lenet5-shapes.v2"),
        ("/data/été", "lenet5-t"),
        ("/data/猫", "lenet5-data"),
    ],
)
def test_a_release_is_called_after_its_network_and_data(run, data, name):
    assert default_name(replace(run.config, data=data)) == name


def test_a_run_without_its_pictures_is_refused(run, tmp_path):
    broken = copy_run(run, tmp_path / "run")
    (broken.folder / "heldout.npz").unlink()
    with pytest.raises(UserError, match=r"has no heldout.npz; train again"):
        quietly(broken, tmp_path / "out")


def test_another_backend_is_told_to_come_back_with_tensorflow(run, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UserError, match=r"needs the TensorFlow backend, not jax; run it again with KERAS_BACKEND=tensorflow"):
        quietly(run, tmp_path)


SCRIPT = """
import sys, time
from pathlib import Path
from app.export.export import export
from app.runs import Run

def say(line):
    print(line.split()[0], flush=True)
    time.sleep({pause})

release = export(Run(Path({run!r})), Path({out!r}), variants={variants!r}, say=say)
print(release.version, flush=True)
"""


def start(run, out, variants, pause):
    code = textwrap.dedent(SCRIPT).format(run=str(run.folder), out=str(out), variants=variants, pause=pause)
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_an_export_that_was_killed_leaves_no_release_and_the_next_one_cleans_up(run, tmp_path):
    with start(run, tmp_path, ("tflite-fp32", "onnx-fp32"), pause=60) as process:
        assert process.stdout.readline() == "model-fp32.tflite\n"
        # While it lives, its work is not taken for leftovers.
        assert quietly(run, tmp_path, variants=ONNX, name="other").version == 1
        at_work = [path for path in left(tmp_path / "lenet5-digits") if path.endswith("model-fp32.tflite")]
        assert len(at_work) == 1
        assert quietly(run, tmp_path, variants=ONNX).version == 1
        assert at_work[0] in left(tmp_path / "lenet5-digits")
        os.kill(process.pid, signal.SIGKILL)
    assert find_release(tmp_path / "lenet5-digits").version == 1
    assert quietly(run, tmp_path, variants=ONNX).version == 2
    assert sorted(os.listdir(tmp_path / "lenet5-digits")) == ["1", "2"]


def test_two_exports_at_once_take_two_numbers(run, tmp_path):
    processes = [start(run, tmp_path, ONNX, pause=1) for _ in range(2)]
    said = [process.communicate(timeout=120)[0].split() for process in processes]
    assert sorted(said) == [["model.onnx", "1"], ["model.onnx", "2"]]
    assert sorted(os.listdir(tmp_path / "lenet5-digits")) == ["1", "2"]
    for version in ("1", "2"):
        release = find_release(tmp_path / "lenet5-digits" / version)
        assert str(release.version) == version
        assert [verdict.status for verdict in verify_release(release.folder)] == ["passed"]


def test_another_process_exports_the_same_bytes(run, release, tmp_path):
    variants = (
        "tflite-fp32",
        "tflite-fp16",
        "tflite-dynamic",
        "tflite-int8",
        "tflite-mcu",
        "onnx-fp32",
        "onnx-fp16",
        "onnx-int8",
    )
    start(run, tmp_path, variants, pause=0).communicate(timeout=300)
    again = find_release(tmp_path / "lenet5-digits")
    assert {file.path: file.sha256 for file in again.files} == {
        file.path: file.sha256 for file in release.files if file.path != "saved_model"
    }


def test_the_labels_of_the_held_out_pictures_reach_the_samples(release, run):
    heldout = run.arrays("heldout")
    samples = json.loads((release.folder / "samples" / "samples.json").read_text())
    recorded = np.array(samples["outputs"]["model.onnx"]["probabilities"])
    places = [int(np.abs(heldout["probabilities"] - row).max(axis=1).argmin()) for row in recorded]
    assert [str(heldout["labels"][place]) for place in places] == [picture["label"] for picture in samples["pictures"]]
