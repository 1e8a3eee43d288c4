"""Detectors and segmenters at the size of their papers, as files of both runtimes. Untrained: what is shown is that they
convert, load and answer as Keras does. Those of more than 100 million weights as TFLite alone: tf2onnx wants over 20 GB for them.
"""

import subprocess
import sys

import pytest

CODE = """
import sys
from pathlib import Path

import keras
import numpy as np

from app.deploy import inference_model
from app.export.converters import VARIANTS
from app.export.graph import Graph, Notes
from app.runners import open_file, run_pictures
from app.runners.keras import KerasRunner
from models.registry import get_model

name, folder, *variants = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]
spec = get_model(name)
keras.utils.set_random_seed(0)
model = inference_model(spec.build(spec.input_shape, spec.classes), spec.objective)
height, width = spec.input_shape[:2]
picture = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
expected = run_pictures(KerasRunner(model), picture)
classes = tuple(f"class {number}" for number in range(spec.classes))
notes = Notes(name, "", "", spec.objective, classes, {"name": "image", "range": [0, 255]}, 0.5, {})
graph = Graph(model, model, picture, notes, folder)
for variant in variants:
    row = VARIANTS[variant]
    row.write(graph, folder / row.path)
    found = run_pictures(open_file(folder / row.path, row.format), picture)
    assert {key: value.shape for key, value in found.items()} == {key: value.shape for key, value in expected.items()}
    if spec.objective == "segmentation":  # of maxima that are as large, rounding decides which is remembered
        assert np.isclose(found["masks"], expected["masks"], atol=1e-3).mean() > 0.999
    else:  # which of places that are as likely comes first is decided by rounding
        np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-3)
        assert found["boxes"].min() >= 0 and found["boxes"].max() <= 1
    (folder / row.path).unlink()
    print(variant, "answers", flush=True)
"""
BOTH = ("onnx-fp32", "tflite-fp32")
VARIANTS = {
    "yolo_v5n": BOTH,
    "yolo_v5s": BOTH,
    "yolo_v5m": BOTH,
    "segnet": BOTH,
    "unet": BOTH,
    "fcn32s": BOTH[1:],
    "faster_rcnn": BOTH[1:],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_its_files_answer_as_keras_does(name, tmp_path):
    """In a process of its own: what TensorFlow took for one would be lacking for the next."""
    command = [sys.executable, "-c", CODE, name, str(tmp_path), *VARIANTS[name]]
    done = subprocess.run(command, capture_output=True, text=True)
    told = f"exit code {done.returncode}: {done.stderr[-2000:]}"
    answered = [line.split()[0] for line in done.stdout.splitlines() if line.endswith("answers")]
    assert answered == list(VARIANTS[name]), told
