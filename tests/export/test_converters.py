import json
from dataclasses import replace
from hashlib import sha256

import keras
import numpy as np
import onnx
import pytest

from app.export.converters import VARIANTS
from app.export.graph import Graph
from app.export.onnx import number_tensors, order_nodes
from app.images import with_channels
from app.runners import open_file, run_pictures


def test_an_onnx_file_names_its_batch_and_says_what_it_is(release):
    proto = onnx.load(release.folder / "model.onnx")
    image, probabilities = proto.graph.input[0], proto.graph.output[0]
    assert (image.name, probabilities.name) == ("image", "probabilities")
    sizes = [[side.dim_param or side.dim_value for side in t.type.tensor_type.shape.dim] for t in (image, probabilities)]
    assert sizes == [["batch", 28, 28, 3], ["batch", 10]]
    assert [opset.version for opset in proto.opset_import if opset.domain == ""] == [17]
    said = {note.key: note.value for note in proto.metadata_props}
    assert said["objective"] == "classification"
    assert json.loads(said["labels"]) == list(release.classes)
    assert json.loads(said["input"]) == release.input


def test_an_int8_file_takes_a_clients_bytes_as_they_are_though_all_calibration_pictures_are_dark(graph):
    dark = replace(graph, calibration=graph.calibration // 8 + 20)
    VARIANTS["tflite-int8"].write(dark, graph.work / "dark.tflite")
    runner = open_file(graph.work / "dark.tflite", "tflite")
    assert runner.input_scale == (1.0, 0)


def test_only_two_pixels_of_the_calibration_are_not_the_runs(graph):
    given = np.concatenate([one["image"] for one in graph.calibrating()])
    changed = (given != with_channels(graph.calibration, 3)).any(axis=-1)
    assert changed[1:].sum() == 0
    assert changed[0].sum() <= 2
    assert given[0].min() == 0
    assert given[0].max() == 255


@pytest.mark.parametrize("name", VARIANTS)
def test_a_colour_network_with_batch_normalisation_converts_to_every_file(name, notes, tmp_path):
    keras.utils.set_random_seed(1)
    image = keras.Input((16, 20, 3), name="image")
    x = keras.layers.Rescaling(1 / 255)(image)
    for filters in (16, 24):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, {"probabilities": keras.layers.Softmax()(x)})
    pictures = np.random.default_rng(0).integers(0, 256, (20, 16, 20, 3), np.uint8)
    row = VARIANTS[name]
    (tmp_path / "work").mkdir()
    colours = replace(notes, classes=("a", "b", "c"))
    row.write(Graph(model, model, pictures, colours, tmp_path / "work"), tmp_path / row.path)
    found = run_pictures(open_file(tmp_path / row.path, row.format), pictures)["probabilities"]
    expected = model.predict(pictures.astype("float32"), verbose=0)["probabilities"]
    assert np.abs(found - expected).max() < {"fp32": 1e-5, "fp16": 1e-2}.get(row.precision, 0.05)


def test_a_saved_model_holds_its_weights_once(release, run):
    weights = sum(array.nbytes for array in run.network().get_weights())
    file = release.folder / "saved_model" / "variables" / "variables.data-00000-of-00001"
    assert weights <= file.stat().st_size <= weights * 1.05


def test_equal_constants_of_an_onnx_file_are_there_once(release):
    constants = onnx.load(release.folder / "model-int8.onnx").graph.initializer
    contents = [(one.data_type, tuple(one.dims), onnx.numpy_helper.to_array(one).tobytes()) for one in constants]
    assert len(set(contents)) == len(contents) > 20


def test_the_order_of_an_onnx_file_is_that_of_its_graph_not_of_its_names(release):
    def reordered(proto, key):
        """The same network with other names, which nodes are sorted by wherever they can change places."""
        names = {tensor.name: tensor.name for tensor in (*proto.graph.input, *proto.graph.output)} | {"": ""}
        for tensor in proto.graph.initializer:
            tensor.name = names.setdefault(tensor.name, key(tensor.name))
        for node in proto.graph.node:
            node.output[:] = [names.setdefault(name, key(name)) for name in node.output]
            node.input[:] = [names[name] for name in node.input]
        known = {tensor.name for tensor in (*proto.graph.input, *proto.graph.initializer)} | {""}
        waiting, nodes = sorted(proto.graph.node, key=lambda node: node.output[0]), []
        while waiting:
            nodes.append(next(node for node in waiting if known.issuperset(node.input)))
            waiting.remove(nodes[-1])
            known |= set(nodes[-1].output)
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del proto.graph.node[:]
        proto.graph.node.extend(copies)
        proto.graph.initializer.sort(key=lambda tensor: tensor.name)
        return proto

    written = []
    for key in (lambda name: f"__{name}", lambda name: f"__{sha256(name.encode()).hexdigest()}"):
        proto = reordered(onnx.load(release.folder / "model-int8.onnx"), key)
        order_nodes(proto.graph)
        number_tensors(proto.graph)
        onnx.checker.check_model(proto, full_check=True)
        written.append(proto.SerializeToString(deterministic=True))
    assert written[0] == written[1] == (release.folder / "model-int8.onnx").read_bytes()


def test_what_no_result_needs_is_left_out_of_an_onnx_file(release):
    proto = onnx.load(release.folder / "model.onnx")
    nodes, constants = len(proto.graph.node), len(proto.graph.initializer)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(3, np.float32), "lone"))
    proto.graph.node.append(onnx.helper.make_node("Relu", ["lone"], ["idle"]))
    order_nodes(proto.graph)
    assert (len(proto.graph.node), len(proto.graph.initializer)) == (nodes, constants)
