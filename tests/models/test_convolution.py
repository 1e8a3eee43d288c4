"""Convolution and pooling written out, against Keras' operations and the formulas in numpy, forward and backward."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import signal

from app.explain import convolution as formulas
from models import convolution
from models.sizes import extent

CLOSE = {"rtol": 1e-9, "atol": 1e-9}  # all in float64


def drawn(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@st.composite
def setups(draw, pooling=False):
    """A batch of pictures, the window's size, and how it moves; both axes may differ."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 11), st.integers(1, 11), st.integers(1, 4)))
    size = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    strides = dilation = (1, 1)
    if pooling or draw(st.booleans()):  # Keras takes one or the other
        strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    else:
        dilation = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.sampled_from(("valid", "same") if pooling else ("valid", "same", 1, 2)))
    zeros = padding if isinstance(padding, int) else 0
    if padding != "same":
        assume(all(shape[axis + 1] + 2 * zeros >= extent(size[axis], dilation[axis]) for axis in (0, 1)))
    moves = {"strides": strides, "padding": padding}
    return drawn(shape, draw(st.integers(0, 99))), size, moves if pooling else moves | {"dilation": dilation}


def differentiated(function, *values):
    """What the function gives, and the gradients of a loss by the values."""
    values = [tf.constant(value) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(values)
        z = function(*values)
        loss = tf.reduce_sum(z * drawn(z.shape, 7))
    return [z.numpy(), *(gradient.numpy() for gradient in tape.gradient(loss, values))]


def assert_same(ours, theirs, *values):
    """Both give the same, and have the same gradients."""
    for mine, reference in zip(differentiated(ours, *values), differentiated(theirs, *values), strict=True):
        np.testing.assert_allclose(mine, reference, **CLOSE)


def with_zeros(operation, x, kernel, strides, padding, dilation):
    """Keras' operation, with a number of zeros on every side if that is the padding."""
    if isinstance(padding, int):
        x, padding = keras.ops.pad(x, [(0, 0), *[(padding, padding)] * (len(x.shape) - 2), (0, 0)]), "valid"
    return operation(x, kernel, strides, padding, dilation_rate=dilation)


@settings(max_examples=40)
@given(setups(), st.integers(1, 4))
def test_correlation_and_its_gradients_are_those_of_keras(setup, filters):
    x, size, moves = setup
    kernel = drawn((*size, x.shape[3], filters), 1)
    assert_same(
        lambda x, kernel: convolution.correlate(x, kernel, **moves),
        lambda x, kernel: with_zeros(keras.ops.conv, x, kernel, **moves),
        x,
        kernel,
    )


@settings(max_examples=40)
@given(setups(), st.integers(1, 4))
def test_convolution_is_correlation_with_the_kernel_turned(setup, filters):
    x, size, moves = setup
    kernel = drawn((*size, x.shape[3], filters), 1)
    assert_same(
        lambda x, kernel: convolution.convolve(x, kernel, **moves),
        lambda x, kernel: with_zeros(keras.ops.conv, x, kernel[::-1, ::-1], **moves),
        x,
        kernel,
    )


def test_convolution_is_that_of_scipy():
    x, kernel = drawn((1, 8, 7, 1)), drawn((3, 2, 1, 1), 1)
    ours = np.asarray(convolution.convolve(x, kernel))[0, :, :, 0]
    np.testing.assert_allclose(ours, signal.convolve2d(x[0, :, :, 0], kernel[:, :, 0, 0], mode="valid"), **CLOSE)
    full = np.asarray(convolution.convolve(x, drawn((3, 3, 1, 1), 2), padding=2))[0, :, :, 0]
    np.testing.assert_allclose(full, signal.convolve2d(x[0, :, :, 0], drawn((3, 3), 2)), **CLOSE)


@settings(max_examples=40)
@given(setups(), st.integers(1, 4))
def test_sequences_are_correlated_as_keras_does(setup, filters):
    x, (steps, _), moves = setup
    x, kernel = x[:, :, 0], drawn((steps, x.shape[3], filters), 1)
    moves = {"padding": moves["padding"]}
    stride, dilation = setup[2]["strides"][0], setup[2]["dilation"][0]
    assert_same(
        lambda x, kernel: convolution.correlate(x, kernel, stride, dilation=dilation, **moves),
        lambda x, kernel: with_zeros(keras.ops.conv, x, kernel, stride, dilation=dilation, **moves),
        x,
        kernel,
    )


@settings(max_examples=40)
@given(setups())
def test_each_channel_has_its_own_kernel_in_a_depthwise_convolution(setup):
    x, size, moves = setup
    moves["strides"] = moves["strides"][:1] * 2  # Keras' on TensorFlow takes no others
    kernel = drawn((*size, x.shape[3], 1), 1)
    assert_same(
        lambda x, kernel: convolution.depthwise(x, kernel, **moves),
        lambda x, kernel: with_zeros(keras.ops.depthwise_conv, x, kernel, **moves),
        x,
        kernel,
    )


def test_a_pointwise_convolution_is_one_of_1x1():
    x, kernel = drawn((2, 3, 4, 5)), drawn((5, 2), 1)
    assert_same(convolution.pointwise, lambda x, kernel: keras.ops.conv(x, kernel[None, None]), x, kernel)


def test_depthwise_and_pointwise_make_a_separable_convolution():
    x, depthwise, pointwise = drawn((2, 6, 5, 3)), drawn((3, 3, 3, 1), 1), drawn((3, 4), 2)
    ours = convolution.pointwise(convolution.depthwise(x, depthwise, (2, 2), "same"), pointwise)
    theirs = keras.ops.separable_conv(x, depthwise, pointwise[None, None], 2, "same")
    np.testing.assert_allclose(ours, theirs, **CLOSE)


@pytest.mark.parametrize("padding", ["valid", "same"])
@settings(max_examples=40)
@given(setup=setups(), filters=st.integers(1, 3))
def test_a_transposed_convolution_is_that_of_keras(padding, setup, filters):
    x, size, moves = setup
    strides, kernel = moves["strides"], drawn((*size, filters, x.shape[3]), 1)
    assume(padding == "valid" or all(k >= s for k, s in zip(size, strides, strict=True)))
    assert_same(
        lambda x, kernel: convolution.transpose(x, kernel, strides, padding),
        lambda x, kernel: keras.ops.conv_transpose(x, kernel, strides, padding),
        x,
        kernel,
    )


@settings(max_examples=40)
@given(setups(), st.integers(1, 3))
def test_the_transposed_convolution_is_the_gradient_of_correlation_by_the_picture(setup, filters):
    x, size, moves = setup
    strides, kernel = moves["strides"], drawn((*size, x.shape[3], filters), 1)
    assume(all(x.shape[axis + 1] >= size[axis] for axis in (0, 1)))
    z, dx, _ = differentiated(lambda x, kernel: keras.ops.conv(x, kernel, strides, "valid"), x, kernel)
    transposed = np.asarray(convolution.transpose(drawn(z.shape, 7), kernel, strides, padding=0))
    rows, columns = transposed.shape[1:3]
    np.testing.assert_allclose(transposed, dx[:, :rows, :columns], **CLOSE)
    assert not dx[:, rows:].any()  # what the stride left over
    assert not dx[:, :, columns:].any()


POOLS = {
    "max": (convolution.max_pool, keras.ops.max_pool),
    "min": (convolution.min_pool, lambda x, *moves: -keras.ops.max_pool(-x, *moves)),
    "average": (convolution.average_pool, keras.ops.average_pool),
}


@pytest.mark.parametrize("pool", POOLS)
@settings(max_examples=30)
@given(setup=setups(pooling=True))
def test_pooling_and_its_gradients_are_those_of_keras(pool, setup):
    x, size, moves = setup
    ours, theirs = POOLS[pool]
    assert_same(lambda x: ours(x, size, **moves), lambda x: theirs(x, size, *moves.values()), x)


@pytest.mark.parametrize("pool", POOLS)
def test_padding_has_no_part_in_what_is_pooled(pool):
    x = np.full((1, 3, 3, 1), 5.0 if pool != "max" else -5.0)
    for padding in ("same", 1):
        pooled = np.asarray(POOLS[pool][0](x, (3, 3), (2, 2), padding))
        assert pooled[0, :, :, 0].tolist() == [[x[0, 0, 0, 0]] * 2] * 2


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("pool", POOLS)
def test_among_equal_values_the_gradient_goes_where_keras_sends_it(pool, padding):
    ours, theirs = POOLS[pool]
    moves = ((3, 2), (2, 2), padding)
    few_values = np.random.default_rng(0).integers(0, 3, (4, 11, 12, 3)).astype(float)
    assert_same(lambda x: ours(x, *moves), lambda x: theirs(x, *moves), few_values)


@settings(max_examples=30)
@given(setups(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_both_ways_of_writing_it_out_agree(setup, filters, stride, dilation):
    x, size, moves = setup
    padding = moves["padding"]
    zeros = padding if isinstance(padding, int) else 0
    assume(padding == "same" or all(x.shape[axis + 1] + 2 * zeros >= extent(size[axis], dilation) for axis in (0, 1)))
    kernel, pairs = drawn((*size, x.shape[3], filters), 1), ((stride, stride), padding, (dilation, dilation))
    for ours, formula in ((convolution.correlate, formulas.correlate2d), (convolution.convolve, formulas.convolve2d)):
        np.testing.assert_allclose(ours(x, kernel, *pairs), formula(x, kernel, stride, padding, dilation), **CLOSE)
    each = drawn((*size, x.shape[3], 1), 2)
    formula = formulas.depthwise2d(x, each, stride, padding, dilation)
    np.testing.assert_allclose(convolution.depthwise(x, each, *pairs), formula, **CLOSE)
    back = drawn((*size, filters, x.shape[3]), 3)
    transposed = convolution.transpose(x, back, (stride, stride), padding=0, dilation=dilation)
    np.testing.assert_allclose(transposed, formulas.transposed2d(x, back, stride, dilation=dilation), **CLOSE)
    assume(all(x.shape[axis + 1] + 2 * zeros >= size[0] for axis in (0, 1)) and zeros < size[0])
    for name in ("max_pool", "min_pool", "average_pool"):
        ours, formula = getattr(convolution, name), getattr(formulas, f"{name}2d")
        np.testing.assert_allclose(
            ours(x, size[:1] * 2, (stride, stride), padding), formula(x, size[0], stride, padding), **CLOSE
        )


def test_a_padding_that_takes_more_than_the_kernel_adds_is_refused():
    with pytest.raises(ValueError, match="a padding of 3 takes more than a kernel of 2 adds"):
        convolution.transpose(drawn((1, 4, 4, 1)), drawn((2, 2, 1, 1)), padding=3)


def test_same_padding_with_a_stride_needs_to_know_the_size():
    picture = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="needs a size that is known"):
        convolution.max_pool(picture, (3, 3), (2, 2), "same")
