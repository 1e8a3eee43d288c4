import keras
import numpy as np
import pytest
import tensorflow as tf

from app.data.targets.yolo_v1 import encoder
from app.train.losses.detection import YoloV1
from models.layers.grid_predictions import GridPredictions
from models.registry import get_model
from models.saved import load_network
from tests.models.built import kinds, macs, outlined, pictures
from tests.models.rectangles import map50_of, rectangles

# Redmon et al. 2016, figure 3, at 448x448.
MAPS = {
    "conv1": (224, 224, 64), "pool1": (112, 112, 64), "conv2": (112, 112, 192), "pool2": (56, 56, 192),
    "conv6": (56, 56, 512), "pool3": (28, 28, 512), "conv16": (28, 28, 1024), "pool4": (14, 14, 1024),
    "conv22": (7, 7, 1024), "conv24": (7, 7, 1024), "fc1": (4096,), "fc2": (1470,), "predictions": (49, 30),
}  # fmt: skip


def narrow(name, shape=(64, 64, 3), classes=3, **options):
    keras.utils.set_random_seed(0)
    return get_model(name).build(shape, classes, **options)


def test_it_has_the_maps_of_the_paper():
    network = outlined("yolo_v1")
    assert {name: network.get_layer(name).output.shape[1:] for name in MAPS} == MAPS
    assert len(kinds(network, keras.layers.Conv2D)) == 24
    assert len(kinds(network, keras.layers.Dense)) == 2


def test_its_parameters_are_those_of_the_figure():
    from models.yolo_v1 import FULL

    channels, expected = 3, 0
    for row in FULL:
        if row != "pool":
            expected += (row[1] ** 2 * channels + 1) * row[0]
            channels = row[0]
    expected += (7 * 7 * 1024 + 1) * 4096 + (4096 + 1) * 7 * 7 * (2 * 5 + 20)
    assert outlined("yolo_v1").count_params() == get_model("yolo_v1").parameters == expected == 271_703_550
    assert macs(outlined("yolo_v1")) == get_model("yolo_v1").macs


def test_the_narrow_one_has_nine_convolutions_and_the_figures_of_its_row():
    spec, network = get_model("yolo_v1_tiny"), outlined("yolo_v1_tiny")
    assert len(kinds(network, keras.layers.Conv2D)) == 9
    trainable = sum(int(np.prod(weight.shape)) for weight in network.trainable_variables)
    assert (trainable, network.count_params() - trainable) == (spec.parameters, spec.fixed_parameters)
    assert macs(network) == spec.macs


@pytest.mark.parametrize(("shape", "cells"), [((128, 128, 3), 64), ((64, 128, 1), 32)])
def test_a_cell_of_the_narrow_one_is_16_pixels(shape, cells):
    assert outlined("yolo_v1_tiny", shape).output.shape == (None, cells, 30)


def test_sides_that_cells_do_not_fit_into_are_refused():
    with pytest.raises(ValueError, match="cells are of 16 pixels"):
        outlined("yolo_v1_tiny", (64, 100, 3))


@pytest.mark.parametrize(("grid", "boxes"), [(7, 2), (5, 3)])
def test_the_full_one_answers_for_any_grid(grid, boxes):
    assert outlined("yolo_v1", (64, 96, 3), grid=grid, boxes=boxes).output.shape == (None, grid**2, 5 * boxes + 20)


def test_rectifiers_let_a_tenth_through():
    for name in ("yolo_v1", "yolo_v1_tiny"):
        network = outlined(name)
        rectifiers = kinds(network, keras.layers.LeakyReLU)
        assert {network.get_layer(rectifier).negative_slope for rectifier in rectifiers} == {0.1}
        assert len(rectifiers) == {"yolo_v1": 25, "yolo_v1_tiny": 8}[name]


def test_a_cell_says_where_its_boxes_are_and_what_is_in_them():
    layer = GridPredictions(2, 4, 2, 3)
    answers = np.zeros((1, 8, 13), np.float32)
    answers[0, 6, :5] = [0.5, 0.25, 0.5, 0.8, 0.9]  # column 2 of row 1
    answers[0, 6, 5:10] = [0.0, 1.0, 0.3, 0.3, 0.5]
    answers[0, 6, 10:] = [0.1, 0.7, 1.4]
    boxes, scores = (np.asarray(part) for part in layer.detections(layer(answers.reshape(1, -1))))
    assert (boxes.shape, scores.shape) == ((1, 16, 4), (1, 16, 3))
    x, y, width, height = 2.5 / 4, 1.25 / 2, 0.25, 0.64
    expected = [y - height / 2, x - width / 2, y + height / 2, x + width / 2]
    np.testing.assert_allclose(boxes[0, 12], expected, atol=1e-6)
    np.testing.assert_allclose(boxes[0, 13], [1 - 0.045, 0.5 - 0.045, 1, 0.5 + 0.045], atol=1e-6)
    np.testing.assert_allclose(scores[0, 12:14], [[0.09, 0.63, 0.9], [0.05, 0.35, 0.5]], atol=1e-6)
    assert not np.delete(scores[0], [12, 13], axis=0).any()


@pytest.mark.parametrize(("name", "options"), [("yolo_v1_tiny", {}), ("yolo_v1", {"width": 0.0625})])
def test_every_weight_learns(name, options):
    network = narrow(name, **options)
    images, labels = rectangles(8)
    with tf.GradientTape() as tape:
        loss = YoloV1()(encoder(network, 3)(labels), network(images, training=True))
    weights = network.trainable_weights
    for weight, gradient in zip(weights, tape.gradient(loss, [w.value for w in weights]), strict=True):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path


@pytest.mark.parametrize(("name", "options"), [("yolo_v1_tiny", {}), ("yolo_v1", {"width": 0.0625, "grid": 4})])
def test_a_saved_network_answers_the_same(name, options, tmp_path):
    network = narrow(name, **options)
    network.save(tmp_path / "network.keras")
    loaded = load_network(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded(pictures((64, 64, 3))), network(pictures((64, 64, 3))))
    assert loaded.get_layer("predictions").get_config() == network.get_layer("predictions").get_config()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), [("yolo_v1_tiny", {}), ("yolo_v1", {"width": 0.125, "normalisation": "batch"})])
def test_eight_pictures_can_be_learnt_by_heart(name, options):
    images, labels = rectangles(8)
    network = narrow(name, **options)
    network.compile(keras.optimizers.Adam(2e-3, global_clipnorm=10.0), YoloV1())
    targets = encoder(network, 3)(labels)
    for _ in range(250):
        network.train_on_batch(images, targets)
    assert map50_of(network, images, labels) == pytest.approx(1)
