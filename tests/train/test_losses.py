import keras
import numpy as np
import pytest

from app.train.losses.classification import LOSSES

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (7, 5))
SOFT = RNG.dirichlet(np.ones(5), 7)
HARD = np.eye(5)[RNG.integers(0, 5, 7)]
WEIGHTS = RNG.uniform(0, 3, 7)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


P = softmax(LOGITS)
BY_HAND = {
    "cross_entropy": lambda targets: -(targets * np.log(P)).sum(axis=1),
    "focal": lambda targets: -(0.25 * (1 - P) ** 2 * targets * np.log(P)).sum(axis=1),
    "squared": lambda targets: ((P - targets) ** 2).sum(axis=1),
    "absolute": lambda targets: np.abs(P - targets).sum(axis=1),
}


def test_every_loss_has_a_formula_here():
    assert set(LOSSES) == set(BY_HAND)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("targets", [HARD, SOFT], ids=["hard", "soft"])
@pytest.mark.parametrize("name", BY_HAND)
def test_a_loss_is_the_weighted_mean_of_its_formula(name, targets, weights):
    expected = (BY_HAND[name](targets) * (1 if weights is None else weights)).mean()
    assert float(LOSSES[name]()(targets, LOGITS, weights)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", BY_HAND)
def test_being_sure_and_right_costs_nothing_and_sure_and_wrong_stays_finite(name):
    sure = 50.0 * HARD
    assert float(LOSSES[name]()(HARD, sure)) == pytest.approx(0, abs=1e-5)
    wrong = float(LOSSES[name]()(np.roll(HARD, 1, axis=1), sure * 100))
    assert np.isfinite(wrong)
    assert wrong > 1


@pytest.mark.parametrize("name", BY_HAND)
def test_half_precision_logits_are_reckoned_in_float32(name):
    half = keras.ops.cast(LOGITS, "bfloat16")
    exact = np.asarray(keras.ops.cast(half, "float32"))
    assert float(LOSSES[name]()(SOFT, half)) == float(LOSSES[name]()(SOFT, exact))
