"""Losses on masks against numpy, with void pixels and with weights."""

import keras
import numpy as np
import pytest

from app.train.losses.segmentation import LOSSES

RNG = np.random.default_rng(0)
CLASSES, VOID = 4, 255
LOGITS = RNG.normal(0, 2, (3, 5, 6, CLASSES)).astype(np.float32)
MASKS = RNG.integers(0, CLASSES - 1, (3, 5, 6)).astype(np.uint8)  # the last class stands nowhere
HOLED = np.where(RNG.random(MASKS.shape) < 0.3, VOID, MASKS).astype(np.uint8)
WEIGHTS = np.array([0.5, 1.0, 3.0, 1.0])


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def surprise(masks, logits):
    known = np.where(masks == VOID, 0, masks)
    return -np.log(np.take_along_axis(softmax(logits), known[..., None].astype(int), axis=-1)[..., 0])


def missed(masks, logits):
    p, counted = softmax(logits), masks != VOID
    overlaps = []
    for c in range(CLASSES):
        if (masks == c).any():
            both = p[..., c][masks == c].sum()
            overlaps.append(2 * both / ((masks == c).sum() + (p[..., c][counted] ** 2).sum()))
    return 1 - np.mean(overlaps)


BY_HAND = {
    "cross_entropy": surprise,
    "focal": lambda masks, logits: 0.25 * (1 - np.exp(-surprise(masks, logits))) ** 2 * surprise(masks, logits),
    "dice": lambda masks, logits: np.full(masks.shape, missed(masks, logits)),
    "cross_entropy_dice": lambda masks, logits: surprise(masks, logits) + missed(masks, logits),
}


def test_every_loss_has_a_formula_here():
    assert set(LOSSES) == set(BY_HAND)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float32])
@pytest.mark.parametrize("masks", [MASKS, HOLED], ids=["whole", "void"])
@pytest.mark.parametrize("name", BY_HAND)
def test_a_loss_is_the_mean_of_its_formula_over_the_pixels_that_count(name, masks, kind):
    expected = BY_HAND[name](masks, LOGITS)[masks != VOID].mean()
    assert float(LOSSES[name]()(masks.astype(kind), LOGITS)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("masks", [MASKS, HOLED], ids=["whole", "void"])
@pytest.mark.parametrize("name", BY_HAND)
def test_weights_of_pixels_are_multiplied_to_it(name, masks):
    weights = np.append(WEIGHTS, np.zeros(VOID + 1 - CLASSES))[masks].astype(np.float32)
    expected = (BY_HAND[name](masks, LOGITS) * weights)[masks != VOID].mean()
    assert float(LOSSES[name]()(masks, LOGITS, weights)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", BY_HAND)
def test_what_is_said_of_void_pixels_does_not_matter(name):
    other = np.where((HOLED == VOID)[..., None], RNG.normal(0, 9, LOGITS.shape), LOGITS).astype(np.float32)
    assert float(LOSSES[name]()(HOLED, other)) == pytest.approx(float(LOSSES[name]()(HOLED, LOGITS)), rel=1e-6)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_batch_without_a_known_pixel_costs_nothing(name):
    assert float(LOSSES[name]()(np.full_like(MASKS, VOID), LOGITS)) == 0


@pytest.mark.parametrize("name", BY_HAND)
def test_being_sure_and_right_costs_nothing_and_sure_and_wrong_stays_finite(name):
    sure = 50.0 * np.eye(CLASSES)[MASKS]
    assert float(LOSSES[name]()(MASKS, sure)) == pytest.approx(0, abs=1e-5)
    wrong = float(LOSSES[name]()(MASKS, np.roll(sure, 1, axis=-1) * 100))
    assert np.isfinite(wrong)
    assert wrong > 0.5


def test_a_rare_class_weighs_as_much_as_a_common_one_in_dice():
    masks = np.zeros((1, 10, 10), np.uint8)
    masks[0, 0, 0] = 1
    blind = np.broadcast_to(np.float32([50, 0]), (1, 10, 10, 2))  # says the common one everywhere
    assert float(LOSSES["dice"]()(masks, blind)) == pytest.approx(0.5, abs=0.01)
    assert float(LOSSES["cross_entropy"]()(masks, blind)) == pytest.approx(50 / 100, rel=1e-4)


@pytest.mark.parametrize("name", BY_HAND)
def test_half_precision_logits_are_reckoned_in_float32(name):
    half = keras.ops.cast(LOGITS, "bfloat16")
    exact = np.asarray(keras.ops.cast(half, "float32"))
    assert float(LOSSES[name]()(MASKS, half)) == float(LOSSES[name]()(MASKS, exact))
