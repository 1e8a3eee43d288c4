"""Losses of detectors against their formulas, written out box by box in float64."""

import os
import subprocess
from math import atan, exp, log1p, pi, sqrt
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from app.train.losses.detection import LOSSES, YoloV1, YoloV5, complete_iou

RNG = np.random.default_rng(0)
sides = st.floats(0.5, 300, width=32)
places = st.floats(-100, 700, width=32)
boxes = st.tuples(places, places, sides, sides)


def ciou(one, other):
    """Zheng et al. 2020, equations 8 to 11."""
    (x, y, w, h), (u, v, p, q) = one, other
    wide = min(x + w / 2, u + p / 2) - max(x - w / 2, u - p / 2)
    high = min(y + h / 2, v + q / 2) - max(y - h / 2, v - q / 2)
    common = max(wide, 0) * max(high, 0)
    iou = common / (w * h + p * q - common)
    around = max(x + w / 2, u + p / 2) - min(x - w / 2, u - p / 2), max(y + h / 2, v + q / 2) - min(y - h / 2, v - q / 2)
    distance = ((x - u) ** 2 + (y - v) ** 2) / (around[0] ** 2 + around[1] ** 2)
    aspect = 4 / pi**2 * (atan(w / h) - atan(p / q)) ** 2
    return iou - distance - (aspect**2 / (1 - iou + aspect) if aspect else 0)


def bce(wanted, logit):
    return max(logit, 0) - wanted * logit + log1p(exp(-abs(logit)))


@settings(max_examples=100, deadline=None)
@given(boxes, boxes)
def test_complete_iou_is_the_papers(one, other):
    found = float(complete_iou(np.array(one, np.float32), np.array(other, np.float32)))
    assert found == pytest.approx(ciou(one, other), abs=2e-3)
    assert found <= 1 + 1e-5


def test_complete_iou_is_that_of_keras():
    one, other = (np.concatenate([RNG.uniform(20, 40, (50, 2)), RNG.uniform(4, 40, (50, 2))], axis=1).astype("f4") for _ in "ab")
    theirs = keras.utils.bounding_boxes.compute_ciou(one, other, "center_xywh")
    np.testing.assert_allclose(complete_iou(one, other), theirs, atol=1e-4)


def test_the_weight_of_the_aspect_ratio_is_a_constant_to_gradients():
    true, found = tf.constant([10.0, 10.0, 8.0, 4.0]), tf.constant([11.0, 10.0, 5.0, 6.0])

    def gradient(function):
        with tf.GradientTape() as tape:
            tape.watch(found)
            value = function(found)
        return np.asarray(tape.gradient(value, found))

    step, numbers = 1e-6, np.array(found, np.float64)
    one = np.array(true, np.float64)
    iou_and_aspect = 4 / pi**2 * (atan(8 / 4) - atan(5 / 6)) ** 2
    alpha = iou_and_aspect / (1 - plain_iou(one, numbers) + iou_and_aspect)

    def with_constant(box):
        aspect = 4 / pi**2 * (atan(8 / 4) - atan(box[2] / box[3])) ** 2
        return ciou(one, box) + aspect**2 / (1 - plain_iou(one, box) + aspect) - alpha * aspect

    expected = [(with_constant(numbers + step * e) - with_constant(numbers - step * e)) / (2 * step) for e in np.eye(4)]
    np.testing.assert_allclose(gradient(lambda box: complete_iou(true, box)), expected, rtol=1e-3, atol=1e-5)


def plain_iou(one, other):
    low, high = (np.array([b[:2] + sign * b[2:] / 2 for b in (one, other)]) for sign in (-1, 1))
    common = np.prod(np.maximum(high.min(axis=0) - low.max(axis=0), 0))
    return common / (np.prod(one[2:]) + np.prod(other[2:]) - common)


def yolo_v5_example(pictures=3, anchors=12, classes=4):
    found = np.concatenate(
        [RNG.uniform(0, 64, (pictures, anchors, 2)), RNG.uniform(2, 40, (pictures, anchors, 2)),
         RNG.normal(0, 3, (pictures, anchors, 1 + classes))], axis=-1
    )  # fmt: skip
    targets = np.zeros((pictures, anchors, 7))
    targets[:, :, 4], targets[:, :, 5] = -1, RNG.uniform(0.1, 2, (pictures, anchors))
    for picture, place in ((0, 2), (0, 5), (1, 0)):
        targets[picture, place] = [*found[picture, place, :4] + RNG.uniform(-3, 3, 4).clip(-1), RNG.integers(classes), 1.5, 0.7]
    targets[1, 3, 4:6] = -2, 0
    return targets.astype(np.float32), found.astype(np.float32)


def yolo_v5_by_hand(targets, found):
    losses = []
    for rows, answers in zip(targets.astype(float), found.astype(float), strict=True):
        loss = 0.0
        for row, answer in zip(rows, answers, strict=True):
            wanted = 0.0
            if row[6]:
                overlap = ciou(row[:4], answer[:4])
                wanted = min(max(overlap, 0), 1)
                by_class = np.mean([bce(n == row[4], logit) for n, logit in enumerate(answer[5:])])
                loss += row[6] * (0.05 * (1 - overlap) + 0.5 * by_class)
            loss += row[5] * bce(wanted, answer[4])
        losses.append(loss)
    return losses


def yolo_v1_example(pictures=2, cells=6, boxes=2, classes=3):
    found = RNG.uniform(-0.2, 1.2, (pictures, cells, 5 * boxes + classes)).astype(np.float32)
    targets = np.zeros((pictures, cells, 7 + classes), np.float32)
    targets[:, :, 5:7] = 3, 2
    for picture, cell, label in ((0, 1, 2), (0, 4, 0), (1, 0, 1)):
        targets[picture, cell, :5] = [*RNG.uniform(0.2, 0.9, 4), 1]
        targets[picture, cell, 7 + label] = 1
    targets[1, 5, 4] = -1
    return targets, found


def yolo_v1_by_hand(targets, found, boxes=2):
    def real(box):
        return np.array([box[0] / 3, box[1] / 2, box[2] ** 2, box[3] ** 2])

    losses = []
    for rows, answers in zip(targets.astype(float), found.astype(float), strict=True):
        loss = 0.0
        for row, answer in zip(rows, answers, strict=True):
            each = answer[: 5 * boxes].reshape(boxes, 5)
            overlaps = [plain_iou(real(row), real(box)) for box in each]
            responsible = int(np.argmax(overlaps)) if row[4] == 1 else None
            for n, box in enumerate(each):
                if n == responsible:
                    loss += 5 * ((box[:4] - row[:4]) ** 2).sum() + (box[4] - overlaps[n]) ** 2
                elif row[4] >= 0:
                    loss += 0.5 * box[4] ** 2
            if row[4] == 1:
                loss += ((answer[5 * boxes :] - row[7:]) ** 2).sum()
        losses.append(loss)
    return losses


EXAMPLES = {
    "yolo_v5": (yolo_v5_example, yolo_v5_by_hand),
    "yolo_v1": (yolo_v1_example, yolo_v1_by_hand),
}


def test_every_loss_has_a_formula_here():
    assert set(LOSSES) == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_loss_is_its_formula_for_each_picture_and_their_mean_for_the_batch(name):
    example, by_hand = EXAMPLES[name]
    targets, found = example()
    expected = by_hand(targets, found)
    np.testing.assert_allclose(LOSSES[name]().call(targets, found), expected, rtol=1e-4)
    assert float(LOSSES[name]()(targets, found)) == pytest.approx(np.mean(expected), rel=1e-4)


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_ignored_has_no_part_in_the_loss(name):
    targets, found = EXAMPLES[name][0]()
    ignored = np.argwhere(targets[:, :, 4] == (-2 if name == "yolo_v5" else -1))
    other = found.copy()
    for picture, place in ignored:
        other[picture, place] = 5.0
    assert len(ignored) == 1
    assert float(LOSSES[name]()(targets, found)) == float(LOSSES[name]()(targets, other))


def test_the_objectness_that_is_wanted_does_not_move_boxes():
    """Or boxes would grow worse where objectness is low."""
    targets, found = yolo_v5_example()
    targets[:, :, 6] *= 1e-12  # a box is there, and weighs nothing
    variable = tf.Variable(found)
    with tf.GradientTape() as tape:
        loss = YoloV5()(targets, variable)
    gradient = np.asarray(tape.gradient(loss, variable))
    assert np.abs(gradient[:, :, :4]).max() < 1e-10
    assert np.abs(gradient[:, :, 4]).min() >= 0
    assert np.abs(gradient[:, :, 4]).max() > 1e-3


def test_the_confidence_that_is_wanted_does_not_move_boxes():
    targets, found = yolo_v1_example(boxes=1)
    variable = tf.Variable(found)
    with tf.GradientTape() as tape:
        loss = YoloV1()(targets, variable)
    gradient = np.asarray(tape.gradient(loss, variable))[:, :, :4]
    expected = (targets[:, :, 4:5] == 1) * 2 * 5 * (found[:, :, :4] - targets[:, :, :4]) / len(found)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e3, 1e6])
def test_gradients_are_finite_for_any_answer(name, scale):
    targets, found = EXAMPLES[name][0]()
    found = np.abs(found) * scale if name == "yolo_v5" else found * min(scale, 1e3)
    variable = tf.Variable(found)
    with tf.GradientTape() as tape:
        loss = LOSSES[name]()(targets, variable)
    assert np.isfinite(loss)
    assert np.isfinite(tape.gradient(loss, variable)).all()


def test_a_right_answer_costs_nothing():
    targets, found = yolo_v5_example()
    there = targets[:, :, 6] > 0
    right = np.full_like(found, -30.0)
    right[:, :, :4] = targets[:, :, :4]
    right[there, 4] = 30.0
    for picture, place in np.argwhere(there):
        right[picture, place, 5 + int(targets[picture, place, 4])] = 30.0
    assert float(YoloV5()(targets, right)) < 1e-5
    targets, found = yolo_v1_example()
    right = np.zeros_like(found)
    right[:, :, :4], right[:, :, 5:9] = targets[:, :, :4], 0.0
    right[:, :, 4] = targets[:, :, 4].clip(0)
    right[:, :, 10:] = targets[:, :, 7:]
    assert sqrt(float(YoloV1()(targets, right))) < 1e-3


SCRIPT = """
import numpy as np, jax, sys
from app.train.losses.detection import LOSSES
for name in LOSSES:
    data = np.load(sys.argv[1] + name + ".npz")
    loss, gradient = jax.value_and_grad(lambda found: LOSSES[name]()(data["targets"], found))(data["found"])
    print(name, float(loss), float(np.abs(gradient).sum()))
"""


@pytest.mark.slow
def test_jax_finds_the_same_losses_and_gradients(tmp_path, jax_python):
    expected = {}
    for name, (example, _) in EXAMPLES.items():
        targets, found = example()
        np.savez(tmp_path / f"{name}.npz", targets=targets, found=found)
        variable = tf.Variable(found)
        with tf.GradientTape() as tape:
            loss = LOSSES[name]()(targets, variable)
        expected[name] = float(loss), float(np.abs(tape.gradient(loss, variable)).sum())
    command = [str(jax_python), "-c", SCRIPT, f"{tmp_path}/"]
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    printed = subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    ).stdout
    for line in printed.splitlines():
        name, *values = line.split()
        assert [float(value) for value in values] == pytest.approx(expected.pop(name), rel=1e-4)
    assert not expected
