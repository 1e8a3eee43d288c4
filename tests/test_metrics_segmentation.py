"""Masks measured: against Keras and scikit-learn, and cases that can be counted by hand."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from app.metrics.segmentation import VOID, agreement, confusion, likeliest, measure, stretch

NAMES = ("background", "cat", "dog", "cow")


def random_masks(seed, size=(6, 7), pictures=3, classes=4, void=0.2):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, rng.integers(1, classes + 1), (pictures, *size)).astype(np.uint8)
    labels[rng.random(labels.shape) < void] = VOID
    masks = rng.dirichlet(np.ones(classes), labels.shape).astype(np.float32)
    masks[..., : rng.integers(0, 2)] = 0  # sometimes a class is never answered
    return {"masks": masks}, labels


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_the_mean_iou_is_keras_own(seed):
    outputs, labels = random_masks(seed)
    metric = keras.metrics.MeanIoU(4, ignore_class=VOID, sparse_y_pred=False)
    metric.update_state(labels.astype(np.int32), outputs["masks"])
    figures = measure(outputs, labels, NAMES)
    assert figures["miou"] == pytest.approx(float(metric.result()), abs=2e-6)
    np.testing.assert_allclose(np.array(figures["confusion"]), keras.ops.convert_to_numpy(metric.total_cm), atol=0)


@given(st.integers(0, 10**6))
def test_the_confusion_is_that_of_scikit_learn_on_pixels_that_are_not_void(seed):
    outputs, labels = random_masks(seed)
    asked = labels != VOID
    expected = confusion_matrix(labels[asked], outputs["masks"].argmax(axis=3)[asked], labels=range(4))
    assert np.array_equal(confusion(outputs["masks"], labels, 4), expected)
    assert measure(outputs, labels, NAMES)["accuracy"] == pytest.approx(np.trace(expected) / expected.sum(), abs=1e-6)


def test_figures_of_a_picture_counted_by_hand():
    labels = np.array([[[0, 0, 1, 1], [0, 0, 1, 255]]], np.uint8)
    answers = np.array([[[0, 1, 1, 1], [0, 2, 0, 3]]])
    figures = measure({"masks": np.eye(4, dtype=np.float32)[answers]}, labels, NAMES)
    assert figures["classes"]["background"] == {
        "iou": 0.4,
        "precision": pytest.approx(2 / 3, abs=1e-6),
        "recall": 0.5,
        "pixels": 4,
    }
    assert figures["classes"]["cat"]["iou"] == 0.5
    assert figures["classes"]["dog"] == {"iou": 0.0, "precision": 0.0, "recall": 0.0, "pixels": 0}  # answered, never true
    assert figures["classes"]["cow"]["iou"] is None  # answered on a void pixel alone
    assert figures["miou"] == pytest.approx((0.4 + 0.5 + 0) / 3, abs=1e-6)
    assert figures["foreground_miou"] == 0.25
    assert figures["accuracy"] == pytest.approx(4 / 7, abs=1e-6)
    assert figures["class_accuracy"] == pytest.approx((0.5 + 2 / 3) / 2, abs=1e-6)
    assert (figures["pictures"], figures["confusion"][0]) == (1, [2, 1, 1, 0])


def test_without_a_class_called_background_all_are_foreground():
    outputs, labels = random_masks(3)
    figures = measure(outputs, labels, ("sky", "cat", "dog", "cow"))
    assert figures["foreground_miou"] == figures["miou"]


def test_masks_of_another_size_are_stretched_to_the_labels_before_the_likeliest_class_is_taken():
    outputs, _ = random_masks(5, size=(6, 8))
    expected = keras.ops.image.resize(outputs["masks"], (15, 12), interpolation="bilinear")
    expected = keras.ops.convert_to_numpy(expected)
    for ours, theirs in zip(outputs["masks"], expected, strict=True):
        np.testing.assert_allclose(stretch(ours, 15, 12), theirs, atol=1e-6)
    labels = expected.argmax(axis=3).astype(np.uint8)
    assert measure(outputs, labels, NAMES)["accuracy"] == 1
    assert measure(likeliest(outputs), labels, NAMES)["accuracy"] < 1


def test_numbers_of_classes_are_stretched_to_the_nearest():
    numbers = np.array([[0, 1], [2, 3]], np.uint8)
    assert np.array_equal(stretch(numbers, 4, 4), numbers.repeat(2, axis=0).repeat(2, axis=1))


@given(st.integers(0, 10**6))
def test_the_likeliest_classes_alone_are_measured_alike(seed):
    outputs, labels = random_masks(seed)
    assert likeliest(outputs)["masks"].dtype == np.uint8
    assert measure(likeliest(outputs), labels, NAMES) == measure(outputs, labels, NAMES)


def test_agreement_is_the_share_of_pixels_with_one_likeliest_class():
    ours = {"masks": np.eye(4)[np.zeros((2, 2, 2), int)]}
    theirs = {"masks": np.eye(4)[np.array([[[0, 0], [0, 1]], [[0, 0], [2, 3]]])]}
    assert agreement(ours, theirs) == agreement(likeliest(ours), theirs) == 0.625
