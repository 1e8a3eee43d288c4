"""The model card of a release: what it is, how good each file is, and how to run it."""

from __future__ import annotations

from app.release import Release

ONNX = """\
```python
import numpy as np
import onnxruntime
from PIL import Image

labels = open("labels.txt", encoding="utf-8").read().splitlines()
picture = Image.open("{sample}").convert("RGB").resize(({width}, {height}), Image.Resampling.BILINEAR)
image = np.asarray(picture, np.float32)[None]
session = onnxruntime.InferenceSession("{path}")
(probabilities,) = session.run(["probabilities"], {{"image": image}})
print(labels[probabilities[0].argmax()])
```
"""

LITERT = """\
```python
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

labels = open("labels.txt", encoding="utf-8").read().splitlines()
picture = Image.open("{sample}").convert("RGB").resize(({width}, {height}), Image.Resampling.BILINEAR)
network = Interpreter("{path}").get_signature_runner("serving_default")
image = np.asarray(picture)[None].astype(network.get_input_details()["image"]["dtype"])
print(labels[network(image=image)["probabilities"][0].argmax()])
```
"""


def card(release: Release, sample: str) -> str:
    """The README.md of a release.

    Args:
        sample: path of a picture in the release, for the snippets.
    """
    height, width, _ = release.picture_shape
    model, data, pictures = release.run["config"]["model"], release.run["data"]["name"], release.run["heldout"]
    rows = "\n".join(
        f"| `{file.path}` | {file.runtime} | {file.precision} | {file.bytes:,} | {file.metric:.4f} | {file.agreement:.4f} "
        f"| {file.max_difference:.1e} | {file.latency_ms:.2f} |"
        for file in release.files
    )
    parts = [
        f"# {release.name}",
        f"{model} for {release.objective}, trained on {data}: {len(release.classes)} classes, listed in `labels.txt`.",
        f"Input `image`: float32 [batch, {height}, {width}, 3], RGB, values 0..255, whole picture stretched to that size. "
        "Scaling is inside; send the pixels as they are. The int8 TFLite file takes the same values as uint8. "
        "TFLite files take one picture at a time.",
        f"Output `probabilities`: float32 [batch, {len(release.classes)}], in the order of `labels.txt`.",
        f"Measured on {pictures:,} held-out pictures of {data}; Keras has {release.metric} {release.run['metric']:.4f}. "
        "Latency is the median of single pictures on the machine that exported, its CPU.",
        f"| file | runtime | precision | bytes | {release.metric} | agrees with Keras | largest difference | ms |\n"
        f"|---|---|---|---:|---:|---:|---:|---:|\n{rows}",
        "It answers with one of its classes whatever the picture shows; pictures unlike the training data were not tested.",
        "Check it on any machine, from a checkout of the program that made it: `python -m app verify` and this folder's path.",
    ]
    for heading, snippet, file_format in (("ONNX Runtime", ONNX, "onnx"), ("LiteRT", LITERT, "tflite")):
        if path := next((file.path for file in release.files if file.format == file_format), ""):
            parts += [f"## {heading}", snippet.format(path=path, sample=sample, height=height, width=width).rstrip()]
    return "\n\n".join(parts) + "\n"
