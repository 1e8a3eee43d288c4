from dataclasses import replace

import numpy as np
import pytest

from app.errors import UserError
from app.export.bounds import bounds_for
from app.export.checks import Trial, check_bounds, check_operators, check_size, examine, largest_difference
from app.export.converters import VARIANTS
from app.export.graph import Graph
from app.images import with_channels
from app.objectives import OBJECTIVES
from app.release import Artifact

LABELS = np.arange(1000) % 10


@pytest.fixture
def trial():
    """A thousand pictures, of which Keras is right about 900."""
    reference = np.eye(10, dtype=np.float32)[np.where(np.arange(1000) < 100, (LABELS + 1) % 10, LABELS)]
    return Trial(
        pictures=np.zeros((1000, 4, 4, 1), np.uint8),
        labels=LABELS,
        reference={"probabilities": reference},
        exact={"probabilities": reference},
        objective=OBJECTIVES["classification"],
        classes=tuple("0123456789"),
        weights=100_000,
        operations=27,
        bounds=bounds_for("classification", None),
    )


def made(precision, metric=0.9, agreement=1.0, difference=0.0):
    return Artifact(
        path="model-x.tflite",
        format="tflite",
        precision=precision,
        runtime="LiteRT",
        input_dtype="float32",
        channels="RGB",
        quantisation="",
        sha256="",
        bytes=1,
        metric=metric,
        agreement=agreement,
        max_difference=difference,
        latency_ms=1.0,
    )


@pytest.mark.parametrize(
    "artifact",
    [
        made("fp32", difference=1e-4),
        made("fp16", difference=1e-2),
        made("int8", metric=0.89, difference=0.9),
        made("dynamic", metric=0.895, difference=0.9),
        made("int8", metric=0.95, agreement=0.9),
    ],
)
def test_a_file_at_its_bound_passes(trial, artifact):
    check_bounds(trial, artifact)


@pytest.mark.parametrize(
    ("artifact", "said"),
    [
        (made("fp32", difference=1.2e-4), "model-x.tflite: an output is 0.00012 from Keras; the bound for fp32 is 0.0001"),
        (made("fp16", difference=0.011), "model-x.tflite: an output is 0.011 from Keras; the bound for fp16 is 0.01"),
        (made("int8", 0.889), r"loses 1.10 points of accuracy \(0.9000 to 0.8890\); the bound for int8 is 1; nothing"),
        (made("dynamic", 0.894), r"loses 0.60 points of accuracy \(0.9000 to 0.8940\); the bound for dynamic is 0.5; "),
        (made("int8", 0.95, agreement=0.899), "answers 10.10% of the pictures otherwise than Keras; the bound for int8 is 10%"),
        (made("fp32", difference=float("nan")), "model-x.tflite gives outputs that are no numbers; nothing was released"),
        (made("int8", difference=float("nan")), "model-x.tflite gives outputs that are no numbers; nothing was released"),
    ],
)
def test_a_file_beyond_its_bound_is_refused_with_figure_and_bound(trial, artifact, said):
    with pytest.raises(UserError, match=said):
        check_bounds(trial, artifact)


def test_a_tolerance_replaces_the_points_and_half_of_it_the_dynamic_ones(trial):
    assert bounds_for("classification", 3) == {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.03, "dynamic": 0.015}
    check_bounds(replace(trial, bounds=bounds_for("classification", 3)), made("int8", 0.87))
    with pytest.raises(UserError, match=r"the bound for dynamic is 1.5"):
        check_bounds(replace(trial, bounds=bounds_for("classification", 3)), made("dynamic", 0.88))


@pytest.mark.parametrize("points", [-1.0, 101.0, float("nan")])
def test_a_tolerance_that_is_no_number_of_points_is_refused(points):
    with pytest.raises(UserError, match=r"--tolerance .* is no number of points"):
        bounds_for("classification", points)


def test_a_difference_is_taken_over_all_outputs_and_is_not_hidden_by_a_nan():
    ours, theirs = {"a": np.zeros(3), "b": np.array([0.0, 0.5])}, {"a": np.zeros(3), "b": np.array([0.0, 0.25])}
    assert largest_difference(ours, theirs) == 0.25
    assert np.isnan(largest_difference({"a": np.array([np.nan, 0.0, 0.0]), "b": ours["b"]}, theirs))


@pytest.mark.parametrize(("name", "size"), [("tflite-fp32", 400_000), ("tflite-fp16", 200_000), ("tflite-int8", 100_000)])
def test_a_size_must_be_in_line_with_the_weights(trial, tmp_path, name, size):
    row = VARIANTS[name]
    file = tmp_path / row.path
    for good in (size, int(size * 1.2)):
        file.write_bytes(b"x" * good)
        check_size(trial, row, file)
    file.write_bytes(b"x" * (size // 10))
    with pytest.raises(UserError, match=f"too small to hold 100,000 weights in {row.precision}; nothing was released"):
        check_size(trial, row, file)
    file.write_bytes(b"x" * (size * 4))
    with pytest.raises(UserError, match=f"too large for 100,000 weights in {row.precision}"):
        check_size(trial, row, file)


def test_weights_that_the_converter_lost_are_noticed(run, tmp_path):
    import tensorflow as tf

    model = run.inference_model()
    function = tf.function(lambda image: model(image)).get_concrete_function(tf.TensorSpec((1, 28, 28, 3), name="image"))
    file = tmp_path / "model-fp32.tflite"
    file.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([function], model).convert())
    with pytest.raises(UserError, match=r"model-fp32.tflite has the operator .*VAR.*: its weights are missing; nothing"):
        check_operators(file)


def test_an_operator_of_tensorflows_own_is_noticed(release, tmp_path):
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf((release.folder / "model-fp32.tflite").read_bytes(), 0)
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CUSTOM
    model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    model.operatorCodes[0].customCode = b"FlexErf"
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "model.tflite").write_bytes(builder.Output())
    with pytest.raises(UserError, match=r"model.tflite needs the operator FlexErf, which phones do not have"):
        check_operators(tmp_path / "model.tflite")


def test_the_operators_of_a_release_are_built_in(release):
    for name in ("fp32", "fp16", "dynamic", "int8", "mcu"):
        check_operators(release.folder / f"model-{name}.tflite")


@pytest.fixture
def small(run):
    """Held to nothing but its names: the small run's own pictures."""
    heldout = run.arrays("heldout")
    return Trial(
        pictures=heldout["images"],
        labels=heldout["labels"],
        reference={"probabilities": heldout["probabilities"]},
        exact={"probabilities": heldout["probabilities"]},
        objective=run.objective,
        classes=tuple(run.classes),
        weights=61_709,
        operations=27,
        bounds=bounds_for("classification", None),
    )


def test_a_file_with_more_outputs_than_classes_is_noticed(small, release):
    with pytest.raises(UserError, match=r"model.onnx gives 10 probabilities for 9 classes; nothing was released; train again"):
        examine(replace(small, classes=small.classes[:9]), VARIANTS["onnx-fp32"], release.folder / "model.onnx")


def test_tensors_by_other_names_are_noticed(small, graph):
    import keras

    renamed = replace(graph, model=keras.Model(graph.model.inputs, {"scores": graph.model.outputs[0]}))
    VARIANTS["onnx-fp32"].write(renamed, graph.work / "model.onnx")
    with pytest.raises(UserError, match=r"model.onnx has the outputs \['scores'\], not \['probabilities'\]"):
        examine(small, VARIANTS["onnx-fp32"], graph.work / "model.onnx")


@pytest.mark.parametrize(("name", "kind"), [("tflite-int8", "uint8"), ("tflite-mcu", "int8")])
def test_bytes_that_mean_other_brightnesses_are_noticed(small, graph, monkeypatch, name, kind):
    def only_dark(graph, channels=3):
        return ({"image": with_channels(picture[None] // 8, channels).astype(np.float32)} for picture in graph.calibration)

    monkeypatch.setattr(Graph, "calibrating", only_dark)
    row, file = VARIANTS[name], graph.work / VARIANTS[name].path
    row.write(graph, file)
    with pytest.raises(UserError, match=rf"{row.path} takes {kind} with scale and zero point \(0.1.*\); a picture's are \(1.0, "):
        examine(small, row, file)


def test_the_figures_of_a_file_are_those_of_all_held_out_pictures(small, release):
    artifact = examine(small, VARIANTS["onnx-fp32"], release.folder / "model.onnx")
    assert artifact.metric == small.metric
    assert artifact.agreement == 1.0
    assert artifact.max_difference < 1e-5
    assert artifact.bytes == (release.folder / "model.onnx").stat().st_size
    assert 0 < artifact.latency_ms < 50
