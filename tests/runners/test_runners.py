import logging
import os

import numpy as np
import pytest

from app.errors import UserError
from app.images import with_channels
from app.runners import open_file, run_pictures
from app.runners.keras import KerasRunner
from app.runners.litert import quantised, real_numbers
from app.runners.silence import silenced
from tests.slim import run_without

FILES = {
    "saved_model": ("saved_model", 1e-5),
    "model-fp32.tflite": ("tflite", 1e-5),
    "model-fp16.tflite": ("tflite", 1e-2),
    "model-dynamic.tflite": ("tflite", 0.2),
    "model-int8.tflite": ("tflite", 0.2),
    "model.onnx": ("onnx", 1e-5),
}


@pytest.fixture(scope="module")
def pictures(run):
    return run.arrays("heldout")["images"]


@pytest.fixture(scope="module")
def expected(run):
    return run.arrays("heldout")["probabilities"]


@pytest.mark.parametrize(("name", "kind", "bound"), [(name, *row) for name, row in FILES.items()])
def test_every_file_answers_as_keras_did_whatever_the_number_of_pictures(release, pictures, expected, name, kind, bound):
    runner = open_file(release.folder / name, kind)
    assert runner.input_name == "image"
    assert runner.input_shape == (28, 28, 3)
    for number in (1, 5, 33):
        outputs = run_pictures(runner, pictures[:number])
        assert list(outputs) == ["probabilities"]
        assert outputs["probabilities"].dtype == np.float32
        assert outputs["probabilities"].shape == (number, 10)
        assert np.abs(outputs["probabilities"] - expected[:number]).max() < bound
        assert np.abs(outputs["probabilities"].sum(axis=1) - 1).max() < 0.03


def test_the_keras_runner_gives_what_the_run_recorded(run, pictures, expected):
    runner = KerasRunner(run.inference_model())
    assert runner.input_shape == (28, 28, 3)
    assert np.abs(run_pictures(runner, pictures)["probabilities"] - expected).max() < 1e-5


def test_pictures_may_come_grey_or_rgb(release, pictures):
    runner = open_file(release.folder / "model.onnx", "onnx")
    grey, rgb = (run_pictures(runner, some)["probabilities"] for some in (pictures[:3], with_channels(pictures[:3], 3)))
    assert np.array_equal(grey, rgb)


def test_bytes_are_rounded_and_kept_in_range_for_an_integer_input():
    unsigned = {"dtype": np.uint8, "quantization": (1.0, 0)}
    signed = {"dtype": np.int8, "quantization": (1.0, -128)}
    values = np.array([-3, 0, 1.6, 255, 300], np.float32)
    assert quantised(values, unsigned).tolist() == [0, 0, 2, 255, 255]
    assert quantised(values, signed).tolist() == [-128, -128, -126, 127, 127]
    assert quantised(values, {"dtype": np.float32, "quantization": (0.0, 0)}).tolist() == values.tolist()


def test_integer_outputs_become_real_numbers():
    details = {"dtype": np.int8, "quantization": (1 / 256, -128)}
    assert real_numbers(np.array([-128, 0, 127], np.int8), details).tolist() == [0, 0.5, 255 / 256]


@pytest.mark.parametrize("kind", ["saved_model", "tflite", "onnx"])
def test_a_file_that_is_none_is_told_in_one_line(tmp_path, kind):
    path = tmp_path / "wrong"
    path.mkdir() if kind == "saved_model" else path.write_bytes(b"not a network")
    with pytest.raises(UserError, match="wrong cannot be opened by") as told:
        open_file(path, kind)
    assert "\n" not in str(told.value)


def test_onnx_files_run_where_there_is_neither_tensorflow_nor_keras_nor_litert(release):
    code = f"""
import numpy as np
from app.runners import RuntimeMissing, open_file
folder = {str(release.folder)!r}
print(open_file(folder + "/model.onnx", "onnx").run(np.zeros((2, 28, 28, 3), np.float32))["probabilities"].shape)
for kind in ("tflite", "saved_model"):
    try:
        open_file(folder, kind)
    except RuntimeMissing as error:
        print(error)
"""
    printed = run_without(["tensorflow", "keras", "ai_edge_litert", "app.runs"], code)
    assert "(2, 10)" in printed
    assert "needs LiteRT; install it with: pip install ai-edge-litert" in printed
    assert "needs TensorFlow; install it with: pip install tensorflow" in printed


def test_litert_files_run_where_there_is_neither_tensorflow_nor_keras(release):
    code = f"""
import numpy as np
from app.runners import open_file
print(open_file({str(release.folder / "model-int8.tflite")!r}, "tflite").run(np.zeros((2, 28, 28, 3), np.float32)))
"""
    assert "probabilities" in run_without(["tensorflow", "keras", "onnxruntime"], code)


def fail_after_a_word():
    with silenced():
        os.write(1, b"the reason\n")
        raise ValueError("wrong")


def test_native_chatter_stays_off_the_screen_and_on_the_error(capfd):
    with silenced():
        os.write(1, b"native\n")
        os.write(2, b"native\n")
    with pytest.raises(ValueError, match="wrong") as raised:
        fail_after_a_word()
    assert raised.value.__notes__ == ["the reason"]
    print("after")
    assert capfd.readouterr() == ("after\n", "")


def test_a_logger_that_is_set_up_in_silence_can_be_used_afterwards(capfd):
    with silenced():
        handler = logging.StreamHandler()
    handler.handle(logging.makeLogRecord({"msg": "later"}))
    assert capfd.readouterr().err == "later\n"
