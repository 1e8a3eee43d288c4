"""LiteRT's CompiledModel: FILE PICTURES ANSWERS."""

import sys
from importlib.metadata import version

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel

file, pictures, answers = sys.argv[1:]
SIGNATURE = "serving_default"
with CompiledModel.from_file(file) as model:
    [pixels] = model.get_input_tensor_details(SIGNATURE).values()
    [classes] = model.get_output_tensor_details(SIGNATURE).values()
    image, answer = model.create_input_buffers(0), model.create_output_buffers(0)
    kind, width = np.dtype(pixels["dtype"]), int(classes["shape"][-1])
    found = []
    for picture in np.load(pictures)["pictures"]:
        image[0].write((picture.astype(np.int16) - 128).astype(np.int8) if kind == np.int8 else picture.astype(kind))
        model.run_by_index(0, image, answer)
        found.append(answer[0].read(width, np.dtype(classes["dtype"])))
stored = np.stack(found)
# An int8 softmax is always stored with this scale.
values = stored if stored.dtype == np.float32 else (stored.astype(np.float32) + 128) / 256
np.savez(answers, probabilities=values, note=f"ai-edge-litert {version('ai-edge-litert')}")
