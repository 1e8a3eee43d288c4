from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from app.data.targets.yolo_v5 import encoder
from app.train.losses.detection import YoloV5
from models.layers.anchor_predictions import AnchorPredictions
from models.layers.best_anchor_predictions import BestAnchorPredictions
from models.registry import get_model
from models.saved import load_network
from models.yolo_v5 import ANCHORS, STRIDES, parse_anchors, yolo_v5
from tests.models.built import macs, outlined, pictures
from tests.models.rectangles import map50_of, rectangles

# Trainable parameters at 80 classes, as published with release 6.0.
PUBLISHED = {"yolo_v5n": 1_872_157, "yolo_v5s": 7_235_389, "yolo_v5m": 21_190_557}
NAMES = ["yolo_v5_tiny", *PUBLISHED]


@cache
def tiny(shape=(64, 64, 3), classes=3, **options):
    """Shared: do not train it."""
    keras.utils.set_random_seed(0)
    return get_model("yolo_v5_tiny").build(shape, classes, **options)


def trainable(network):
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_variables)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_as_large_as_published(name):
    spec, network = get_model(name), outlined(name)
    assert trainable(network) == spec.parameters == PUBLISHED.get(name, spec.parameters)
    assert network.count_params() - trainable(network) == spec.fixed_parameters
    assert macs(network) == spec.macs


def test_the_narrowed_network_has_half_the_maps_of_n():
    sides = [[layer.filters for layer in outlined(name).layers if isinstance(layer, keras.layers.Conv2D)] for name in NAMES[:2]]
    assert [2 * maps for maps in sides[0][:-3]] == sides[1][:-3]
    assert sides[0][-3:] == sides[1][-3:] == [255] * 3


@pytest.mark.parametrize(
    ("height", "width", "places"), [(640, 640, 25_200), (128, 128, 1_008), (64, 96, 378), (65, 70, 3 * (12 * 12 + 6 * 6 + 9))]
)
def test_three_anchors_answer_at_every_place_of_three_maps(height, width, places):
    network = outlined("yolo_v5n", (height, width, 3))
    layer = network.get_layer("predictions")
    assert network.output.shape == (None, places, 85)
    assert [tensor.shape[1:3] for tensor in layer.input] == layer.map_sizes()
    assert layer.size == [height, width]


def test_pictures_of_any_size_are_padded_below_and_to_the_right():
    network = tiny((70, 100, 1))
    padded = keras.Model(network.input, network.get_layer("pad").output)(pictures((70, 100, 1)))
    assert padded.shape == (4, 96, 128, 1)
    assert not np.asarray(padded)[:, 70:].any()
    assert not np.asarray(padded)[:, :, 100:].any()
    assert np.asarray(padded)[:, 69, :100].any()
    answers = network(pictures((70, 100, 1)))
    assert np.isfinite(answers).all()


def decoded(maps, anchors, classes):
    """The formula, place by place."""
    rows = []
    for values, stride, sizes in zip(maps, STRIDES, anchors, strict=True):
        for y in range(values.shape[0]):
            for x in range(values.shape[1]):
                for n, (width, height) in enumerate(sizes):
                    raw = values[y, x, n * (5 + classes) : (n + 1) * (5 + classes)]
                    share = sigmoid(raw[:4])
                    centre = [(2 * share[0] - 0.5 + x) * stride, (2 * share[1] - 0.5 + y) * stride]
                    rows.append([*centre, (2 * share[2]) ** 2 * width, (2 * share[3]) ** 2 * height, *raw[4:]])
    return np.array(rows)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(64, 96), (50, 70)]), st.floats(0.1, 12))
def test_predictions_are_decoded_as_the_formula_has_it(seed, size, scale):
    rng = np.random.default_rng(seed)
    anchors = rng.uniform(4, 90, (3, 3, 2))
    layer = AnchorPredictions(anchors, STRIDES, size, 2)
    maps = [rng.normal(0, scale, (2, *sides, 3 * 7)).astype(np.float32) for sides in layer.map_sizes()]
    found = layer(maps)
    assert found.shape == layer.compute_output_shape([each.shape for each in maps])
    for picture in range(2):
        expected = decoded([each[picture] for each in maps], anchors, 2)
        np.testing.assert_allclose(found[picture], expected, rtol=2e-4, atol=2e-3)
    boxes, scores = (np.asarray(part) for part in layer.detections(found))
    expected = np.asarray(found)
    low, high = expected[:, :, :2] - expected[:, :, 2:4] / 2, expected[:, :, :2] + expected[:, :, 2:4] / 2
    xyxy = (np.concatenate([low, high], axis=-1) / [size[1], size[0], size[1], size[0]]).clip(0, 1)
    np.testing.assert_allclose(boxes, xyxy[:, :, [1, 0, 3, 2]], atol=1e-6)
    np.testing.assert_allclose(scores, sigmoid(expected[:, :, 4:5]) * sigmoid(expected[:, :, 5:]), atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 4]), st.sampled_from([20, 1000]))
def test_the_best_detections_are_those_of_all(seed, classes, count):
    rng = np.random.default_rng(seed)
    layer = AnchorPredictions(rng.uniform(4, 90, (3, 3, 2)), STRIDES, (64, 96), classes)
    maps = [rng.normal(0, 2, (2, *sides, 3 * (5 + classes))).astype(np.float32) for sides in layer.map_sizes()]
    boxes, scores = (np.asarray(part) for part in layer.detections(layer(maps)))
    best = BestAnchorPredictions(count, **layer.get_config())
    found = best(maps)
    assert [part.shape for part in found] == list(best.compute_output_shape([each.shape for each in maps]))
    order = np.argsort(-scores.max(axis=2), axis=1, kind="stable")[:, :count, None]
    np.testing.assert_allclose(found[0], np.take_along_axis(boxes, order, axis=1), atol=1e-5)
    np.testing.assert_allclose(found[1], np.take_along_axis(scores, order, axis=1), atol=1e-6)


def test_low_precision_reaches_the_heads_and_not_the_boxes():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = tiny.__wrapped__()
    finally:
        keras.config.set_dtype_policy("float32")
    assert network.get_layer("stem").compute_dtype == "bfloat16"
    layer = network.get_layer("predictions")
    assert (layer.compute_dtype, network.output.dtype) == ("float32", "float32")
    coarse = [np.full((1, *sides, 3 * 8), 1.003, np.float32) for sides in layer.map_sizes()]
    assert float(layer(coarse)[0, 0, 4]) == pytest.approx(1.003, abs=1e-6)


def test_every_weight_learns():
    network = tiny()
    targets = encoder(network, 3)(rectangles(8)[1])
    with tf.GradientTape() as tape:
        loss = YoloV5()(targets, network(rectangles(8)[0], training=True))
    weights = network.trainable_weights
    for weight, gradient in zip(weights, tape.gradient(loss, [w.value for w in weights]), strict=True):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path


def test_a_saved_network_answers_the_same(tmp_path):
    network = tiny(anchors="5x6,7x8,9x10,11x12,13x14,15x16,17x18,19x20,21x22")
    network.save(tmp_path / "network.keras")
    loaded = load_network(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded(pictures((64, 64, 3))), network(pictures((64, 64, 3))))
    layer, kept = network.get_layer("predictions"), loaded.get_layer("predictions")
    assert kept.get_config() == layer.get_config()
    assert kept.anchors == [[[5, 6], [7, 8], [9, 10]], [[11, 12], [13, 14], [15, 16]], [[17, 18], [19, 20], [21, 22]]]


def test_a_fresh_network_expects_eight_objects_in_640_pixels():
    network = tiny(classes=4)
    for stride in STRIDES:
        bias = np.reshape(network.get_layer(f"head{stride}").bias, (3, 9))
        np.testing.assert_allclose(np.exp(bias[:, 4]) * (640 / stride) ** 2, 8, rtol=1e-4)
        np.testing.assert_allclose(np.exp(bias[:, 5:]), 0.6 / (4 - 0.99), rtol=1e-4)
        assert not bias[:, :4].any()


def test_without_anchors_the_published_ones_are_taken():
    assert parse_anchors("") == parse_anchors(ANCHORS)
    assert parse_anchors("")[2] == [(116, 90), (156, 198), (373, 326)]
    assert tiny().get_layer("predictions").anchors[0] == [[10, 13], [16, 30], [33, 23]]


@pytest.mark.parametrize(
    "text", ["10x13", "kmeans", ANCHORS + ",1x1", ANCHORS.replace("30x61", "0x61"), ANCHORS.replace("x", "*")]
)
def test_other_anchors_than_nine_sizes_are_refused(text):
    with pytest.raises(ValueError, match="not nine sizes"):
        yolo_v5(0.33, 0.125, (64, 64, 3), 2, anchors=text)


@pytest.mark.slow
def test_eight_pictures_can_be_learnt_by_heart():
    from app.data.targets.anchors import find_anchors

    images, labels = rectangles(8)
    network = tiny.__wrapped__(anchors=find_anchors(labels, 64, 64))
    network.compile(keras.optimizers.Adam(3e-3), YoloV5())
    targets = encoder(network, 3)(labels)
    for _ in range(250):
        network.train_on_batch(images, targets)
    assert map50_of(network, images, labels) == pytest.approx(1)
