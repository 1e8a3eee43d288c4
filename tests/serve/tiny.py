"""Releases of a network that gives back what it was shown, made in milliseconds: for tests that count answers."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from app.release import LABELS, Artifact, Release, hashes, labels_text, size, write_release

SHAPE = (4, 4, 3)
NUMBERS = 10  # of a picture come back
SIDE = 192  # of the matrices that are multiplied to pass time


def write_tiny(root: Path, name: str = "tiny", version: int = 1, work: int = 0) -> Path:
    """A release; its output is a picture's first numbers, with the version added to the last of them.

    Args:
        root: of the names.
        work: multiplications of matrices in every run; 50 take some milliseconds.
    """
    folder = root / name / str(version)
    folder.mkdir(parents=True)
    save(_network(version, work), folder / "model.onnx")
    classes = tuple(f"number {number}" for number in range(NUMBERS))
    (folder / LABELS).write_text(labels_text(classes), encoding="utf-8")
    file = Artifact(path="model.onnx", format="onnx", precision="fp32", runtime="ONNX Runtime", input_dtype="float32",
                    channels="RGB", quantisation="", sha256=hashes(folder / "model.onnx"), bytes=size(folder / "model.onnx"),
                    metric=1.0, agreement=1.0, max_difference=0.0, latency_ms=0.01)  # fmt: skip
    image = {"name": "image", "shape": ["batch", *SHAPE], "dtype": "float32", "range": [0, 255], "channels": "RGB",
             "resize": "stretch"}  # fmt: skip
    write_release(Release(
        folder=folder, name=name, version=version, objective="classification", classes=classes, input=image,
        outputs=({"name": "probabilities", "shape": ["batch", NUMBERS]},), files=(file,),
        extras={LABELS: hashes(folder / LABELS)}, metric="accuracy", bounds={}, threshold={}, licence="", left_out={}, run={},
    ))  # fmt: skip
    return folder


def expected(images: np.ndarray, version: int = 1) -> np.ndarray:
    """What the network gives for pictures.

    Shapes: [N, *SHAPE] -> [N, NUMBERS].
    """
    found = images.reshape(len(images), -1)[:, :NUMBERS].astype(np.float32)
    found[:, -1] += version
    return found


def _network(version: int, work: int):
    bias = np.zeros(NUMBERS, np.float32)
    bias[-1] = version
    constants = {"start": np.array([0]), "end": np.array([NUMBERS]), "axis": np.array([1]), "bias": bias}
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Slice", ["flat", "start", "end", "axis"], ["first"]),
    ]
    if work:  # in a loop, which the runtime cannot work out beforehand; nothing of it reaches the output
        constants |= {"times": np.array(work), "on": np.array(True), "zero": np.float32(0),
                      "matrix": np.eye(SIDE, dtype=np.float32)}  # fmt: skip
        body = helper.make_graph(
            [helper.make_node("Identity", ["going"], ["goes"]), helper.make_node("MatMul", ["state", "matrix"], ["next"])],
            "body",
            [_value("turn", TensorProto.INT64, []), _value("going", TensorProto.BOOL, []), _value("state", TensorProto.FLOAT)],
            [_value("goes", TensorProto.BOOL, []), _value("next", TensorProto.FLOAT)],
        )
        nodes += [
            helper.make_node("Loop", ["times", "on", "matrix"], ["last"], body=body),
            helper.make_node("ReduceMax", ["last"], ["most"], keepdims=0),
            helper.make_node("Mul", ["most", "zero"], ["nothing"]),
            helper.make_node("Add", ["first", "nothing"], ["worked"]),
        ]
    nodes.append(helper.make_node("Add", ["worked" if work else "first", "bias"], ["probabilities"]))
    graph = helper.make_graph(
        nodes, "tiny",
        [_value("image", TensorProto.FLOAT, ["batch", *SHAPE])],
        [_value("probabilities", TensorProto.FLOAT, ["batch", NUMBERS])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _value(name: str, kind: int, shape: list | None = None):
    return helper.make_tensor_value_info(name, kind, [SIDE, SIDE] if shape is None else shape)
