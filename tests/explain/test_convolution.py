"""The formulas of app.explain.convolution against Keras' operations, and their gradients against automatic differentiation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import signal

from app.explain import convolution
from models.sizes import extent, margins

CLOSE = {"rtol": 1e-9, "atol": 1e-9}  # all in float64


def drawn(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@st.composite
def setups(draw, pooling=False):
    """A batch of pictures, the window's size, and how it moves."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 11), st.integers(1, 11), st.integers(1, 4)))
    rows = draw(st.integers(1, 4))
    size = (rows, rows if pooling else draw(st.integers(1, 4)))
    stride = draw(st.integers(1, 3))
    # Keras has no stride together with a dilation, our formulas do: another test.
    dilation = draw(st.integers(1, 3)) if stride == 1 and not pooling else 1
    padding = draw(st.sampled_from(("valid", "same", 1, 2) if not pooling else ("valid", "same")))
    zeros = padding if isinstance(padding, int) else 0
    if padding != "same":
        assume(all(shape[axis + 1] + 2 * zeros >= extent(size[axis], dilation) for axis in (0, 1)))
    return drawn(shape, draw(st.integers(0, 99))), size, {"stride": stride, "padding": padding, "dilation": dilation}


def by_keras(x, kernel, stride, padding, dilation):
    if isinstance(padding, int):
        x, padding = keras.ops.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)]), "valid"
    return keras.ops.conv(x, kernel, stride, padding, dilation_rate=dilation)


def differentiated(function, *values):
    """What the function gives, a gradient of a loss by it, and the gradients of that loss by the values."""
    values = [tf.constant(value) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(values)
        z = function(*values)
        dz = drawn(z.shape, 7)
        loss = tf.reduce_sum(z * dz)
    return z.numpy(), dz, [gradient.numpy() for gradient in tape.gradient(loss, values)]


@settings(max_examples=40)
@given(setups(), st.integers(1, 4))
def test_the_gradients_of_a_convolution_are_those_of_automatic_differentiation(setup, filters):
    x, size, moves = setup
    kernel, bias = drawn((*size, x.shape[3], filters), 1), drawn(filters, 2)
    z, dz, (dx, dw, db) = differentiated(lambda x, kernel, bias: by_keras(x, kernel, **moves) + bias, x, kernel, bias)
    np.testing.assert_allclose(convolution.correlate2d(x, kernel, **moves) + bias, z, **CLOSE)
    np.testing.assert_allclose(convolution.kernel_gradient(x, dz, size, **moves), dw, **CLOSE)
    np.testing.assert_allclose(convolution.bias_gradient(dz), db, **CLOSE)
    np.testing.assert_allclose(convolution.picture_gradient(dz, kernel, x.shape[1:3], **moves), dx, **CLOSE)


@pytest.mark.parametrize(("stride", "dilation"), [(2, 2), (2, 3), (3, 2)])
@pytest.mark.parametrize("padding", ["valid", "same", 1])
def test_stride_and_dilation_together_are_a_dilation_of_which_the_stride_keeps_some(stride, dilation, padding):
    x, kernel = drawn((2, 12, 11, 2)), drawn((3, 2, 2, 3), 1)
    # Of the stride: which zeros "same" adds depends on it.
    around = [margins(x.shape[axis + 1], kernel.shape[axis], stride, padding, dilation) for axis in (0, 1)]

    def dense_then_thinned(x, kernel):
        x = keras.ops.pad(x, [(0, 0), *around, (0, 0)])
        return keras.ops.conv(x, kernel, 1, "valid", dilation_rate=dilation)[:, ::stride, ::stride]

    z, dz, (dx, dw) = differentiated(dense_then_thinned, x, kernel)
    moves = {"stride": stride, "padding": padding, "dilation": dilation}
    np.testing.assert_allclose(convolution.correlate2d(x, kernel, **moves), z, **CLOSE)
    np.testing.assert_allclose(convolution.kernel_gradient(x, dz, (3, 2), **moves), dw, **CLOSE)
    np.testing.assert_allclose(convolution.picture_gradient(dz, kernel, (12, 11), **moves), dx, **CLOSE)


@settings(max_examples=40)
@given(setups())
def test_a_sequence_is_correlated_as_keras_does(setup):
    x, (steps, _), moves = setup
    assume(moves["padding"] == "same" or x.shape[1] >= extent(steps, moves["dilation"]))
    x, kernel = x[:, :, 0], drawn((steps, x.shape[3], 2), 1)
    by_hand = convolution.correlate1d(x, kernel, **moves)
    if isinstance(moves["padding"], int):
        x = np.pad(x, [(0, 0), (moves["padding"],) * 2, (0, 0)])
        moves = moves | {"padding": "valid"}
    theirs = keras.ops.conv(x, kernel, moves["stride"], moves["padding"], dilation_rate=moves["dilation"])
    np.testing.assert_allclose(by_hand, theirs, **CLOSE)


def test_convolution_turns_the_kernel_as_mathematics_has_it():
    x, kernel = drawn((1, 7, 6, 1)), drawn((3, 2, 1, 1), 1)
    expected = signal.convolve2d(x[0, :, :, 0], kernel[:, :, 0, 0], mode="valid")
    np.testing.assert_allclose(convolution.convolve2d(x, kernel)[0, :, :, 0], expected, **CLOSE)
    assert not np.allclose(convolution.correlate2d(x, kernel)[0, :, :, 0], expected)
    expected = np.convolve(x[0, :, 0, 0], kernel[:, 0, 0, 0], mode="valid")
    np.testing.assert_allclose(convolution.convolve1d(x[:, :, 0], kernel[:, 0])[0, :, 0], expected, **CLOSE)


@settings(max_examples=40)
@given(setups())
def test_each_channel_has_its_own_kernel_in_a_depthwise_convolution(setup):
    x, size, moves = setup
    kernel = drawn((*size, x.shape[3], 1), 1)
    padded = moves
    by_hand = convolution.depthwise2d(x, kernel, **moves)
    if isinstance(moves["padding"], int):
        zeros = (moves["padding"],) * 2
        x, padded = np.pad(x, [(0, 0), zeros, zeros, (0, 0)]), moves | {"padding": "valid"}
    theirs = keras.ops.depthwise_conv(x, kernel, padded["stride"], padded["padding"], dilation_rate=padded["dilation"])
    np.testing.assert_allclose(by_hand, theirs, **CLOSE)


def test_a_pointwise_convolution_is_one_of_1x1():
    x, kernel = drawn((2, 3, 4, 5)), drawn((5, 2), 1)
    np.testing.assert_allclose(convolution.pointwise2d(x, kernel), keras.ops.conv(x, kernel[None, None]), **CLOSE)


@settings(max_examples=40)
@given(setups(), st.integers(1, 3))
def test_a_transposed_convolution_is_that_of_keras(setup, filters):
    z, size, moves = setup
    stride = moves["stride"]  # TensorFlow has no dilation of it on the CPU
    kernel = drawn((*size, filters, z.shape[3]), 1)
    theirs = keras.ops.conv_transpose(z, kernel, stride, "valid")
    by_hand = convolution.transposed2d(z, kernel, stride)
    # Keras keeps the positions after a kernel that is shorter than its stride; they are empty.
    beyond = [(0, max(0, stride - places)) for places in size]
    np.testing.assert_allclose(np.pad(by_hand, [(0, 0), *beyond, (0, 0)]), theirs, **CLOSE)


def test_padding_of_a_convolution_is_cut_off_its_transpose():
    z, kernel = drawn((2, 4, 5, 3)), drawn((4, 4, 2, 3), 1)
    theirs = keras.ops.conv_transpose(z, kernel, 2, "same")  # which pads one on every side
    np.testing.assert_allclose(convolution.transposed2d(z, kernel, 2, padding=1), theirs, **CLOSE)


POOLS = {
    "max": (convolution.max_pool2d, convolution.max_pool_gradient, keras.ops.max_pool),
    "min": (convolution.min_pool2d, convolution.min_pool_gradient, lambda x, *moves: -keras.ops.max_pool(-x, *moves)),
    "average": (convolution.average_pool2d, convolution.average_pool_gradient, keras.ops.average_pool),
}


@pytest.mark.parametrize("pool", POOLS)
@settings(max_examples=40)
@given(setup=setups(pooling=True))
def test_the_gradients_of_pooling_are_those_of_automatic_differentiation(pool, setup):
    x, (size, _), moves = setup
    stride, padding = moves["stride"], moves["padding"]
    forward, backward, theirs = POOLS[pool]
    z, dz, (dx,) = differentiated(lambda x: theirs(x, size, stride, padding), x)
    np.testing.assert_allclose(forward(x, size, stride, padding), z, **CLOSE)
    np.testing.assert_allclose(backward(x, dz, size, stride, padding), dx, **CLOSE)


def test_the_first_of_equal_values_takes_the_gradient():
    x, dz = np.ones((1, 2, 2, 1)), np.full((1, 1, 1, 1), 5.0)
    for backward in (convolution.max_pool_gradient, convolution.min_pool_gradient):
        assert backward(x, dz, 2, 2)[0, :, :, 0].tolist() == [[5, 0], [0, 0]]


def test_a_kernel_larger_than_the_picture_is_refused():
    with pytest.raises(ValueError, match="reaches over 5 pixels has no place on 4"):
        convolution.correlate2d(drawn((1, 4, 9, 1)), drawn((3, 3, 1, 1)), dilation=2)


def test_numbers_to_check_by_hand():
    x = np.arange(9.0).reshape(1, 3, 3, 1)
    kernel = np.array([[1.0, 2], [3, 4]]).reshape(2, 2, 1, 1)
    assert convolution.correlate2d(x, kernel)[0, :, :, 0].tolist() == [[27, 37], [57, 67]]
    assert convolution.convolve2d(x, kernel)[0, :, :, 0].tolist() == [[13, 23], [43, 53]]
    dz = np.ones((1, 2, 2, 1))
    assert convolution.kernel_gradient(x, dz, (2, 2))[:, :, 0, 0].tolist() == [[8, 12], [20, 24]]
    assert convolution.picture_gradient(dz, kernel, (3, 3))[0, :, :, 0].tolist() == [[1, 3, 2], [4, 10, 6], [3, 7, 4]]
    assert convolution.bias_gradient(dz).tolist() == [4]
    assert convolution.average_pool2d(x, 2, 2, "same")[0, :, :, 0].tolist() == [[2, 3.5], [6.5, 8]]
