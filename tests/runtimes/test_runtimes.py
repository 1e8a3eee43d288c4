"""Every file of two releases, grey and in colour, in the runtimes that it is made for."""

import numpy as np
import pytest

from app.export.bounds import DIFFERENCE
from tests.runtimes import environments
from tests.runtimes.environments import Environment, Unreachable, pins
from tests.runtimes.prove import RUNTIMES, finish, prove, same_answers, verify_without_frameworks

PHONES = ("model-fp32.tflite", "model-fp16.tflite", "model-dynamic.tflite", "model-int8.tflite")
FILES = {
    "MediaPipe Tasks": PHONES,
    "LiteRT CompiledModel": (*PHONES, "model-mcu.tflite"),
    "TensorFlow Lite Micro": ("model-mcu.tflite",),
    "OpenVINO": ("model.onnx", "model-fp16.onnx", "model-int8.onnx"),
    "OpenCV dnn": ("model.onnx", "model-fp16.onnx", "model-int8.onnx"),
}
# Runtimes with kernels of their own round integers at other places.
SAME_FILE = {("TensorFlow Lite Micro", "int8"): 0.98, ("OpenVINO", "int8"): 0.98, ("OpenCV dnn", "int8"): 0.98}
SAME_AS_KERAS = 0.995


@pytest.mark.slow
@pytest.mark.parametrize("network", ["grey", "colour"])
@pytest.mark.parametrize(
    ("runtime", "path"), [(name, path) for name, paths in FILES.items() for path in paths], indirect=["runtime"]
)
def test_a_file_answers_in_a_foreign_runtime_as_here(runtime, path, network, networks):
    run, release = networks[network]
    proof = prove(runtime, release, path, run.arrays("heldout"))
    precision = release.file(path).precision
    assert proof.pictures > 290
    assert proof.with_file >= SAME_FILE.get((runtime.name, precision), 0.998), proof
    if precision in DIFFERENCE:
        assert proof.with_keras >= SAME_AS_KERAS, proof
        assert proof.difference <= DIFFERENCE[precision], proof


@pytest.mark.slow
def test_every_file_is_proved_somewhere(networks):
    for _, release in networks.values():
        taken = {(name, file.path) for name, runtime in RUNTIMES.items() for file in release.files if runtime.takes(file)}
        assert taken == {(name, path) for name, paths in FILES.items() for path in paths}
        assert {file.path for file in release.files} - {path for _, path in taken} == {"saved_model"}


@pytest.mark.slow
def test_the_order_of_colours_matters_to_the_colour_network(colour_run):
    """Else a runtime that swaps red and blue would pass."""
    heldout = colour_run.arrays("heldout")
    swapped = colour_run.inference_model().predict(heldout["images"][..., ::-1], verbose=0)["probabilities"]
    assert same_answers(swapped.argmax(axis=1), heldout["probabilities"]) < 0.5
    assert (heldout["probabilities"].argmax(axis=1) == heldout["labels"]).mean() > 0.9


@pytest.mark.slow
def test_a_release_is_verified_where_there_is_no_framework(serving, networks):
    for _, release in networks.values():
        lines = {line.split()[0]: line for line in verify_without_frameworks(release).splitlines()}
        assert "not executed" in lines.pop("saved_model")
        files = {line for line in lines if line.endswith((".tflite", ".onnx"))}
        assert files == {file.path for file in release.files} - {"saved_model"}
        assert all(lines[file].split()[1] == "passed" for file in files)


@pytest.mark.slow
def test_one_file_is_verified_where_there_is_no_framework(serving, release):
    said = finish(environments.SERVING, ["-m", "app", "verify", str(release.folder / "model.onnx")], "verify")
    assert [line.split()[1] for line in said.splitlines() if line.startswith("model.onnx")] == ["passed"]


@pytest.mark.slow
def test_the_serving_environment_has_no_framework(serving):
    for package in ("tensorflow", "keras", "jax"):
        with pytest.raises(RuntimeError, match="No module named"):
            finish(environments.SERVING, ["-c", f"import {package}"], package)


def test_an_answer_is_right_if_it_is_as_likely_as_any():
    probabilities = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]], np.float32)
    assert same_answers(np.array([1, 2]), probabilities) == 1
    assert same_answers(np.array([2, 2]), probabilities) == 0.5


def test_pins_are_the_projects_own():
    served, all_of_them = pins("requirements-serve.txt"), pins("requirements.txt")
    assert {"numpy", "pillow", "onnxruntime"} <= set(served)
    assert {*served.values(), all_of_them["ai-edge-litert"]} == set(environments.SERVING.pins)
    assert all_of_them["importlib_resources"].startswith("importlib_resources==")
    assert "#" not in "".join(all_of_them.values())


@pytest.mark.slow
@pytest.mark.parametrize(("version", "error"), [("1", Unreachable), ("2", RuntimeError)])
def test_no_index_is_told_from_an_index_without_the_version(version, error, tmp_path, monkeypatch):
    if error is RuntimeError:
        (tmp_path / "no_such_package-1-py3-none-any.whl").touch()
    monkeypatch.setenv("CONVOY_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(error, match=f"pip cannot install no-such-package=={version}"):
        Environment("none", (f"no-such-package=={version}",)).python()
    assert not list(tmp_path.glob("runtimes/*")), "what is half made is not kept"
