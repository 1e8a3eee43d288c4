"""Releases of networks that give back what they were shown, made in milliseconds: for tests that count answers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper, save

from app.release import LABELS, Artifact, Release, hashes, labels_text, size, write_release

SHAPE = (4, 4, 3)
NUMBERS = 10  # of a picture come back
KINDS = ("background", "green", "blue")  # of the detector and the segmenter
MOST = 3  # boxes
PLACES = {"boxes": (0, 12), "classes": (12, 15), "scores": (15, 18), "count": (18, 19)}  # in a picture's numbers
SIDE = 192  # of the matrices that are multiplied to pass time


def write_tiny(root: Path, name: str = "tiny", version: int = 1, work: int = 0) -> Path:
    """A release; its output is a picture's first numbers, with the version added to the last of them.

    Args:
        root: of the names.
        work: multiplications of matrices in every run; 50 take some milliseconds.
    """
    classes = tuple(f"number {number}" for number in range(NUMBERS))
    return _write(root / name / str(version), _network(version, work), "classification", classes, {"probabilities": [NUMBERS]})


def write_tiny_detector(root: Path, name: str = "boxes") -> Path:
    """A release; what it finds is written in a picture's first numbers: see `picture_of`. Its threshold is .5."""
    constants = {f"{name} {place}": np.array([place]) for name, ends in PLACES.items() for place in ends}
    constants |= {"axis": np.array([1]), "full": np.float32(255), "pairs": np.array([-1, MOST, 4]), "one": np.array([-1])}
    nodes = [helper.make_node("Flatten", ["image"], ["flat"])]
    nodes += [
        helper.make_node("Slice", ["flat", f"{name} {start}", f"{name} {end}", "axis"], [f"{name} read"])
        for name, (start, end) in PLACES.items()
    ]
    nodes += [
        helper.make_node("Div", ["boxes read", "full"], ["fractions"]),
        helper.make_node("Reshape", ["fractions", "pairs"], ["boxes"]),
        helper.make_node("Identity", ["classes read"], ["classes"]),
        helper.make_node("Div", ["scores read", "full"], ["scores"]),
        helper.make_node("Reshape", ["count read", "one"], ["count"]),
    ]
    outputs = {"boxes": [MOST, 4], "classes": [MOST], "scores": [MOST], "count": []}
    return _write(root / name / "1", _model(nodes, outputs, constants), "detection", KINDS, outputs, {"probability": 0.5})


def write_tiny_segmenter(root: Path, name: str = "mask") -> Path:
    """A release; a pixel's likeliest class is its strongest channel, red for the background."""
    nodes = [helper.make_node("Div", ["image", "full"], ["masks"])]
    outputs = {"masks": list(SHAPE)}
    return _write(root / name / "1", _model(nodes, outputs, {"full": np.float32(255)}), "segmentation", KINDS, outputs)


def picture_of(boxes: Sequence[tuple[int, int, tuple[int, int, int, int]]]) -> np.ndarray:
    """A picture in which the tiny detector finds these: class, score and box, the latter two in 255ths.

    Shapes: uint8 SHAPE.
    """
    numbers = np.zeros(np.prod(SHAPE), np.uint8)
    for place, (kind, score, box) in enumerate(boxes):
        numbers[PLACES["boxes"][0] + 4 * place :][:4] = box
        numbers[PLACES["classes"][0] + place] = kind
        numbers[PLACES["scores"][0] + place] = score
    numbers[PLACES["count"][0]] = len(boxes)
    return numbers.reshape(SHAPE)


def _write(
    folder: Path, network: ModelProto, objective: str, classes: tuple[str, ...], outputs: dict[str, list[int]], threshold=None
) -> Path:
    folder.mkdir(parents=True)
    save(network, folder / "model.onnx")
    (folder / LABELS).write_text(labels_text(classes), encoding="utf-8")
    file = Artifact(path="model.onnx", format="onnx", precision="fp32", runtime="ONNX Runtime", input_dtype="float32",
                    channels="RGB", quantisation="", sha256=hashes(folder / "model.onnx"), bytes=size(folder / "model.onnx"),
                    metric=1.0, agreement=1.0, max_difference=0.0, latency_ms=0.01)  # fmt: skip
    image = {"name": "image", "shape": ["batch", *SHAPE], "dtype": "float32", "range": [0, 255], "channels": "RGB",
             "resize": "stretch"}  # fmt: skip
    write_release(Release(
        folder=folder, name=folder.parent.name, version=int(folder.name), objective=objective, classes=classes, input=image,
        outputs=tuple({"name": output, "shape": ["batch", *shape]} for output, shape in outputs.items()), files=(file,),
        extras={LABELS: hashes(folder / LABELS)}, metric="", bounds={}, threshold=threshold or {}, licence="", left_out={},
        run={"heldout": 1},
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
    return _model(nodes, {"probabilities": [NUMBERS]}, constants)


def _model(nodes: list, outputs: dict[str, list[int]], constants: dict) -> ModelProto:
    graph = helper.make_graph(
        nodes, "tiny",
        [_value("image", TensorProto.FLOAT, ["batch", *SHAPE])],
        [_value(name, TensorProto.FLOAT, ["batch", *shape]) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _value(name: str, kind: int, shape: list | None = None):
    return helper.make_tensor_value_info(name, kind, [SIDE, SIDE] if shape is None else shape)
