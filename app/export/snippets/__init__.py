"""The snippets of a model card: a Markdown file each, filled with a release's own names and sizes.

What is filled in stands in a file as `{{name}}`; `values` has the names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.export.checks import operators
from app.export.converters import VARIANTS
from app.release import Artifact, Release

HERE = Path(__file__).parent
FLOATS = ("tflite-fp32", "tflite-fp16", "tflite-dynamic")
TFLITE = (*FLOATS, "tflite-int8")
ONNX = ("onnx-fp32", "onnx-fp16", "onnx-int8")
# Operators that TensorFlow Lite Micro spells otherwise than their parts.
SPELT = {"BATCH_MATMUL": "BatchMatMul", "CUMSUM": "CumSum", "PADV2": "PadV2"}

RUN = "Run by the tests"  # so starts what the card says of a snippet that a test runs, and of no other


@dataclass(frozen=True)
class Snippet:
    """How a program uses a release.

    Args:
        name: of its file.
        variants: those that it can use, the one that it names first.
        tried: what was done with it, in words that start with RUN if a test runs it.
        objectives: of the releases that it is for. The file of another objective than classification lies in a folder of its
            name.
    """

    name: str
    title: str
    variants: tuple[str, ...]
    tried: str
    objectives: tuple[str, ...] = ("classification",)


BOTH = ("detection", "segmentation")
NOT_BUILT = "Not built: it needs {}. MediaPipe for Python runs the file."
# The most useful first.
SNIPPETS = (
    Snippet("python_onnx", "Python: ONNX Runtime", ONNX, f"{RUN}."),
    Snippet("python_litert", "Python: LiteRT", TFLITE, f"{RUN}."),
    Snippet(
        "kotlin_mediapipe",
        "Android: MediaPipe Tasks",
        TFLITE,
        f"{RUN} with stand-ins for the classes of Android and MediaPipe; not on a phone. MediaPipe for Python runs the file.",
    ),
    Snippet(
        "kotlin_litert",
        "Android: LiteRT",
        FLOATS,
        f"{RUN} with stand-ins for the classes of Android and LiteRT; not on a phone.",
    ),
    Snippet("swift", "iOS: MediaPipe Tasks", TFLITE, "Not built: it needs Xcode. MediaPipe for Python runs the file."),
    Snippet("browser", "Browser: ONNX Runtime Web", ONNX, f"{RUN} in headless Chromium."),
    Snippet("python_mediapipe", "Python: MediaPipe Tasks", TFLITE, f"{RUN}, with MediaPipe 1.2.2."),
    Snippet(
        "service_protocol",
        "Service: Open Inference Protocol (Convoy, Triton, KServe)",
        ONNX,
        f"{RUN} with `python -m app serve`; not with Triton.",
    ),
    Snippet(
        "service_tensorflow",
        "Service: TensorFlow Serving",
        ("saved_model",),
        f"{RUN} with `python -m app serve`, which answers the same requests; not with TensorFlow Serving.",
    ),
    Snippet("cpp_onnx", "C++: ONNX Runtime", ONNX, f"{RUN}."),
    Snippet(
        "cpp_micro",
        "Microcontrollers: TensorFlow Lite Micro",
        ("tflite-mcu",),
        f"{RUN} with stand-ins for the classes of TensorFlow Lite Micro; not on a board. TensorFlow Lite Micro for Python runs "
        "the file.",
    ),
    Snippet("python_onnx", "Python: ONNX Runtime", ONNX, f"{RUN}.", BOTH),
    Snippet("python_litert", "Python: LiteRT", FLOATS, f"{RUN}.", ("detection",)),
    Snippet("python_litert_halves", "Python: LiteRT, in integers", ("tflite-int8",), f"{RUN}.", ("detection",)),
    Snippet("python_litert", "Python: LiteRT", TFLITE, f"{RUN}.", ("segmentation",)),
    Snippet("kotlin_mediapipe", "Android: MediaPipe Tasks", FLOATS, NOT_BUILT.format("Android's tools"), BOTH),
    Snippet("swift", "iOS: MediaPipe Tasks", FLOATS, NOT_BUILT.format("Xcode"), BOTH),
    Snippet("browser", "Browser: ONNX Runtime Web", ONNX, "Not run in a browser.", BOTH),
    Snippet("python_mediapipe", "Python: MediaPipe Tasks", FLOATS, f"{RUN}, with MediaPipe 1.2.2.", BOTH),
    Snippet(
        "service_protocol",
        "Service: Open Inference Protocol (Convoy, Triton, KServe)",
        ONNX,
        "Not run with a server; the same request is for a classifier, with `python -m app serve`.",
        BOTH,
    ),
)


def sections(release: Release, sample: str) -> Iterator[str]:
    """Heading, how far it was tried, and the filled text of every snippet that the release has a file for.

    Args:
        sample: path of a picture in the release.
    """
    folder = HERE if release.objective == "classification" else HERE / release.objective
    for snippet in SNIPPETS:
        if release.objective not in snippet.objectives:
            continue
        paths = [VARIANTS[variant].path for variant in snippet.variants]
        if files := [file for path in paths if (file := release.file(path))]:
            text = (folder / f"{snippet.name}.md").read_text(encoding="utf-8").rstrip()
            yield f"### {snippet.title}\n\n*{snippet.tried}*\n\n{filled(text, values(release, sample, files))}"


def filled(text: str, names: dict[str, str]) -> str:
    """A text with its `{{names}}` replaced."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: names[found[1]], text)


def values(release: Release, sample: str, files: list[Artifact]) -> dict[str, str]:
    """What snippets may name.

    Args:
        files: that a snippet can use, the one to name first.
    """
    file, *more = files
    others = [f"`{other.path}`" for other in more]
    height, width, _ = release.picture_shape
    operators = operators_of(release.folder / file.path) if file.input_dtype == "int8" else []
    return {
        "name": release.name,
        "file": file.path,
        "others": f" ({', '.join(others)} the same way)" if others else "",
        "stem": Path(file.path).stem,
        "sample": sample,
        "input": release.input["name"],
        "output": release.outputs[0]["name"],
        "height": str(height),
        "width": str(width),
        "channels": "1" if file.channels == "grey" else "3",
        "colours": "grey" if file.channels == "grey" else "red, green and blue",
        "classes": str(len(release.classes)),
        "tail": file.tail,
        "least": f"{max(0.01, release.threshold.get('probability', 0.0)):.4f}",  # MediaPipe takes 0 for: as the file says
        "threshold": f"{release.threshold.get('probability', 0.0):.4f}",
        "operator_count": str(len(operators)),
        "operators": "\n".join(f"    operators.Add{name}();" for name in operators),
    }


def operators_of(path: Path) -> list[str]:
    """The operators of a TFLite file as TensorFlow Lite Micro calls them: CONV_2D is Conv2D."""
    from ai_edge_litert import schema_py_generated as schema

    used = {name for name, _ in operators(schema.Model.GetRootAs(path.read_bytes(), 0))}
    return sorted(SPELT.get(name) or "".join(map(_capital, name.split("_"))) for name in used)


def _capital(part: str) -> str:
    return part.capitalize() if part[0].isalpha() else part  # 2D stays
