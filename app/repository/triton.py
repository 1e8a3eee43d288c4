"""The layout of NVIDIA Triton Inference Server, for its ONNX Runtime backend.

Source: Triton's documentation, "Model Repository" and "Model Configuration".
"""

from __future__ import annotations

from app.release import LABELS, LARGEST_BATCH, labels_text, onnx_file
from app.repository.place import Layout
from app.repository.plan import Model, served_newest

CONFIG = "config.pbtxt"
FILE = "model.onnx"  # what the backend looks for in a version's folder
PREFERRED = (8, 16, 32)
DELAY_MICROSECONDS = 1000  # that a picture waits for others
USUAL = "onnx-fp32"
PROBABILITIES = "probabilities"  # Triton names the classes of such an output; boxes and masks have no place for names


def triton(models: list[Model], variant: str = USUAL) -> Layout:
    """Where everything goes: `<name>/config.pbtxt`, `<name>/labels.txt`, `<name>/<version>/model.onnx`.

    Args:
        variant: which ONNX file: onnx-fp32, onnx-fp16, onnx-int8.
    Raises:
        UserError: a release has no such file.
    """
    folders, texts, settings = {}, {}, {}
    for model in models:
        for release in model.releases:
            artifact = onnx_file(release, variant, "which Triton needs")
            folders[f"{model.name}/{release.version}"] = {FILE: release.folder / artifact.path}
        texts[f"{model.name}/{LABELS}"] = labels_text(model.newest.classes)
        settings[f"{model.name}/{CONFIG}"] = config(model)
    return Layout(folders, texts, settings, newest=served_newest(models))


def config(model: Model) -> str:
    """The text of config.pbtxt. The batch is no dimension here: Triton puts it in front."""
    release = model.newest
    lines = [
        f'name: "{model.name}"',
        'backend: "onnxruntime"',
        f"max_batch_size: {LARGEST_BATCH}",
        "input [",
        "  {",
        f'    name: "{release.input["name"]}"',
        "    data_type: TYPE_FP32",
        f"    dims: {_dimensions(release.input['shape'])}",
        "  }",
        "]",
    ]
    for output in release.outputs:
        lines += [
            "output [",
            "  {",
            f'    name: "{output["name"]}"',
            "    data_type: TYPE_FP32",
            *_shape(output["shape"]),
            *([f'    label_filename: "{LABELS}"'] if output["name"] == PROBABILITIES else []),
            "  }",
            "]",
        ]
    lines += [
        f"version_policy: {{ {_policy(model)} }}",
        "instance_group [ { kind: KIND_CPU count: 1 } ]",
        "dynamic_batching {",
        f"  preferred_batch_size: [ {', '.join(map(str, PREFERRED))} ]",
        f"  max_queue_delay_microseconds: {DELAY_MICROSECONDS}",
        "}",
    ]
    return "".join(f"{line}\n" for line in lines)


def _shape(shape: list[int | str]) -> list[str]:
    """The dimensions of an output; one number a picture is a vector of one for Triton, and none for the file."""
    return [f"    dims: {_dimensions(shape)}"] if len(shape) > 1 else ["    dims: [ 1 ]", "    reshape: { shape: [ ] }"]


def _dimensions(shape: list[int | str]) -> str:
    return f"[ {', '.join(map(str, shape[1:]))} ]"


def _policy(model: Model) -> str:
    if model.policy == "latest":
        return "latest { num_versions: 1 }"
    return "all { }" if model.policy == "all" else f"specific {{ versions: [ {', '.join(map(str, model.numbers))} ] }}"
