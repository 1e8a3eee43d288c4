"""OpenVINO on the processor: FILE PICTURES ANSWERS."""

import sys

import numpy as np
import openvino

file, pictures, answers = sys.argv[1:]
# Its default on some processors is bfloat16, which is another network than the one in the file.
model = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
values = model({"image": np.load(pictures)["pictures"].astype(np.float32)})
np.savez(answers, probabilities=values["probabilities"], note=f"openvino {openvino.__version__.split('-')[0]}")
