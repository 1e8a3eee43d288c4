"""RoIAlign against ONNX Runtime's own, and against what has to hold whatever the maps are."""

import keras
import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from models.layers.roi_align import RoiAlign

STRIDE = 8


def by_runtime(maps, boxes, pool, samples=2):
    """The answer of ONNX' operation RoiAlign. It has channels first, x before y, and one list of boxes for all pictures."""
    batch, count = boxes.shape[:2]
    node = helper.make_node(
        "RoiAlign",
        ["maps", "boxes", "picture"],
        ["out"],
        output_height=pool,
        output_width=pool,
        sampling_ratio=samples,
        spatial_scale=1 / STRIDE,
        coordinate_transformation_mode="half_pixel",
        mode="avg",
    )
    inputs = [
        helper.make_tensor_value_info("maps", TensorProto.FLOAT, None),
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, None),
        helper.make_tensor_value_info("picture", TensorProto.INT64, None),
    ]
    graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {
        "maps": maps.transpose(0, 3, 1, 2),
        "boxes": boxes.reshape(-1, 4)[:, [1, 0, 3, 2]],
        "picture": np.arange(batch).repeat(count),
    }
    found = session.run(None, feeds)[0]
    return found.transpose(0, 2, 3, 1).reshape(batch, count, pool, pool, -1)


def drawn(rng, batch, count, height, width):
    """Boxes in pixels, some of which reach beyond the picture."""
    corners = rng.uniform(-0.2, 1.2, (batch, count, 2, 2)) * [height * STRIDE, width * STRIDE]
    return np.concatenate([corners.min(axis=2), corners.max(axis=2)], axis=-1).astype(np.float32)


@pytest.mark.parametrize(("height", "width", "pool"), [(12, 17, 7), (5, 4, 7), (16, 16, 3), (1, 9, 2)])
def test_it_gives_what_the_runtimes_own_operation_gives(height, width, pool):
    rng = np.random.default_rng(height)
    maps = rng.uniform(-1, 1, (2, height, width, 5)).astype(np.float32)
    boxes = drawn(rng, 2, 30, height, width)
    found = np.asarray(RoiAlign(pool, STRIDE)([maps, boxes]))
    np.testing.assert_allclose(found, by_runtime(maps, boxes, pool), atol=4e-6)


def test_a_slope_is_sampled_at_the_middle_of_every_part_of_the_box():
    y, x = np.mgrid[:10, :14] + 0.5
    maps = np.stack([y, x], axis=-1)[None].astype(np.float32) * STRIDE  # each place knows where its middle is, in pixels
    box = np.array([[[13.0, 21.0, 61.0, 93.0]]], np.float32)
    found = np.asarray(RoiAlign(4, STRIDE)([maps, box]))[0, 0]
    parts = (np.arange(4) + 0.5) / 4
    np.testing.assert_allclose(found[:, 0, 0], 13 + 48 * parts, rtol=1e-5)
    np.testing.assert_allclose(found[0, :, 1], 21 + 72 * parts, rtol=1e-5)


def test_maps_that_are_the_same_everywhere_stay_what_they_are():
    boxes = drawn(np.random.default_rng(0), 1, 20, 8, 8).clip(0, 64)
    found = np.asarray(RoiAlign(7, STRIDE)([np.full((1, 8, 8, 3), 2.5, np.float32), boxes]))
    np.testing.assert_allclose(found, 2.5, rtol=1e-6)


def test_a_box_far_outside_is_empty():
    box = np.array([[[-200.0, -200.0, -100.0, -100.0]]], np.float32)
    assert not np.asarray(RoiAlign(3, STRIDE)([np.ones((1, 8, 8, 1), np.float32), box])).any()


def test_the_maps_get_a_gradient_and_the_boxes_none():
    import tensorflow as tf

    rng = np.random.default_rng(0)
    maps = tf.Variable(rng.normal(size=(1, 6, 6, 2)).astype(np.float32))
    boxes = tf.Variable(np.array([[[0.0, 0.0, 48.0, 48.0]]], np.float32))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(RoiAlign(6, STRIDE)([maps, boxes]))
    found, none = tape.gradient(total, [maps, boxes])
    assert (np.abs(found) > 0).all()
    assert none is None


def test_its_configuration_makes_the_same_layer():
    layer = RoiAlign(5, 16, 3, name="align")
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert (twin.pool, twin.stride, twin.samples, twin.name) == (5, 16, 3, "align")
