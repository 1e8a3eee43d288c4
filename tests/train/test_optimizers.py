import keras
import numpy as np
import pytest

from app.config import make_config
from app.train.optimizers import OPTIMIZERS, last_rate, make_optimizer
from app.train.schedules import make_schedule

RATE, DECAY = 0.1, 0.02
KERNEL = np.array([[1.0, -2.0], [3.0, 0.5]], np.float32)
GRADIENTS = [np.array([[0.3, -0.1], [0.2, 4.0]], np.float32), np.array([[-0.6, 0.2], [0.1, 1.0]], np.float32)]


class Pair:
    """The weights of a layer, without the layer."""

    def __init__(self):
        self.kernel = keras.Variable(KERNEL, name="kernel")
        self.bias = keras.Variable(np.array([1.0, -1.0], np.float32), name="bias")
        self.trainable_variables = [self.kernel, self.bias]


def optimizer_for(pair, name, **flags):
    flags = {"optimizer": name, "weight_decay": 0.0, "clip_norm": 0.0, "ema": 0.0} | flags
    optimizer = make_optimizer(make_config("mlp", "digits", flags), RATE, pair)
    optimizer.build(pair.trainable_variables)
    return optimizer


def after_two_steps(name, **flags):
    pair = Pair()
    optimizer = optimizer_for(pair, name, **flags)
    for gradient in GRADIENTS:
        optimizer.apply([keras.ops.convert_to_tensor(gradient), keras.ops.zeros(2)])
    return np.asarray(pair.kernel)


def by_hand(name, decay=0.0):
    weight, velocity, mean, square = KERNEL.astype(np.float64), 0.0, 0.0, 0.0
    for step, gradient in enumerate(GRADIENTS, start=1):
        weight = weight - RATE * decay * weight
        if name == "sgd":
            weight = weight - RATE * gradient
        elif name in ("momentum", "nesterov"):
            velocity = 0.9 * velocity - RATE * gradient
            weight = weight + (velocity if name == "momentum" else 0.9 * velocity - RATE * gradient)
        else:
            mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
            weight = weight - RATE * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-7)
    return weight


@pytest.mark.parametrize("decay", [0.0, DECAY])
@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam", "adamw"])
def test_the_first_steps_are_those_of_the_formula(name, decay):
    np.testing.assert_allclose(after_two_steps(name, weight_decay=decay), by_hand(name, decay), rtol=1e-4)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_decay_shrinks_kernels_by_rate_and_decay_alone_and_spares_biases(name):
    pair = Pair()
    optimizer = optimizer_for(pair, name, weight_decay=DECAY)
    optimizer.apply([keras.ops.zeros((2, 2)), keras.ops.zeros(2)])
    np.testing.assert_allclose(pair.kernel, KERNEL * (1 - RATE * DECAY), rtol=1e-6)
    np.testing.assert_array_equal(pair.bias, [1, -1])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_rule_goes_down(name):
    pair = Pair()
    optimizer = optimizer_for(pair, name)
    optimizer.apply([keras.ops.convert_to_tensor(GRADIENTS[0]), keras.ops.ones(2)])
    assert (np.sign(KERNEL - np.asarray(pair.kernel)) == np.sign(GRADIENTS[0])).all()


def test_decay_spares_normalisation_of_a_network():
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])
    before = network.get_weights()
    optimizer = optimizer_for(network, "sgd", weight_decay=DECAY)
    optimizer.apply([keras.ops.zeros(weight.shape) for weight in network.trainable_variables])
    after = network.get_weights()
    np.testing.assert_allclose(after[0], before[0] * (1 - RATE * DECAY), rtol=1e-6)
    for old, new in zip(before[1:], after[1:], strict=True):
        np.testing.assert_array_equal(new, old)


def test_the_norm_of_the_whole_gradient_is_cut():
    norm = float(np.linalg.norm(GRADIENTS[0]))
    for limit, scale in ((norm / 4, 0.25), (norm * 4, 1.0)):
        pair = Pair()
        optimizer_for(pair, "sgd", clip_norm=limit).apply([keras.ops.convert_to_tensor(GRADIENTS[0]), keras.ops.zeros(2)])
        np.testing.assert_allclose(pair.kernel, KERNEL - RATE * scale * GRADIENTS[0], rtol=1e-5)


def test_the_moving_average_starts_with_the_first_step():
    pair = Pair()
    optimizer = optimizer_for(pair, "sgd", ema=0.75)
    steps = []
    for gradient in GRADIENTS:
        optimizer.apply([keras.ops.convert_to_tensor(gradient), keras.ops.zeros(2)])
        steps.append(np.asarray(pair.kernel).copy())
    average = optimizer._model_variables_moving_average[0]
    np.testing.assert_allclose(average, 0.75 * steps[0] + 0.25 * steps[1], rtol=1e-6)


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_last_rate_is_the_one_that_was_used(wrapped):
    config = make_config(
        "mlp", "digits", {"optimizer": "sgd", "learning_rate": 1.0, "epochs": 2, "warmup": 1.0, "weight_decay": 0.0}
    )
    weight = keras.Variable([0.0], name="weight")
    pair = Pair()
    pair.trainable_variables = [weight]
    optimizer = make_optimizer(config, make_schedule(config, 10), pair)
    if wrapped:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=1.0)
    optimizer.build([weight])
    for expected in (0.0, 0.1, 0.2):
        before = float(weight[0])
        optimizer.apply([keras.ops.ones(1)])
        assert before - float(weight[0]) == pytest.approx(expected)
        assert last_rate(optimizer) == pytest.approx(expected)
