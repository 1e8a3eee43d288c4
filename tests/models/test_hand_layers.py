"""The layers on convolution and pooling written out, in the place of Keras' own."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models import layers
from models.saved import load_network
from models.sizes import extent

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


class NegatedMaxPooling2D(keras.layers.MaxPooling2D):
    def call(self, inputs):
        return -super().call(-inputs)


POOLS = {
    "HandMaxPool2D": keras.layers.MaxPooling2D,
    "HandAveragePool2D": keras.layers.AveragePooling2D,
    "HandMinPool2D": NegatedMaxPooling2D,
}


def drawn(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@st.composite
def setups(draw):
    """Pictures, and a layer's settings."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 10), st.integers(1, 10), st.integers(1, 4)))
    size = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.sampled_from(("valid", "same")))
    assume(padding == "same" or all(shape[axis + 1] >= size[axis] for axis in (0, 1)))
    return drawn(shape, draw(st.integers(0, 99))), size, {"strides": strides, "padding": padding}


def backward(layer, x):
    """What the layer gives, and the gradients of a loss by its input and weights."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = layer(x)
        loss = tf.reduce_sum(z * drawn(z.shape, 7))
    return [z.numpy(), *(gradient.numpy() for gradient in tape.gradient(loss, [x, *(w.value for w in layer.weights)]))]


def assert_same(ours, theirs, x):
    for layer in (ours, theirs):
        layer.build(x.shape)
        layer.set_weights([drawn(weight.shape, seed) for seed, weight in enumerate(layer.weights)])
    assert ours.compute_output_shape(x.shape) == ours(x).shape
    for mine, reference in zip(backward(ours, x), backward(theirs, x), strict=True):
        np.testing.assert_allclose(mine, reference, **CLOSE)


@settings(max_examples=40)
@given(
    setup=setups(),
    filters=st.integers(1, 4),
    dilation=st.none() | st.tuples(st.integers(1, 3), st.integers(1, 3)),
    rest=st.fixed_dictionaries({"use_bias": st.booleans(), "activation": st.sampled_from([None, "relu", "tanh"])}),
)
def test_a_convolution_is_that_of_keras(setup, filters, dilation, rest):
    x, size, moves = setup
    if dilation:  # Keras takes strides or a dilation
        assume(moves["padding"] == "same" or all(x.shape[i + 1] >= extent(size[i], dilation[i]) for i in (0, 1)))
        moves |= {"strides": 1, "dilation_rate": dilation}
    arguments = {"filters": filters, "kernel_size": size, **moves, **rest}
    assert_same(layers.HandConv2D(**arguments), keras.layers.Conv2D(**arguments), x)


@pytest.mark.parametrize("name", POOLS)
@settings(max_examples=25)
@given(setup=setups())
def test_a_pooling_is_that_of_keras(name, setup):
    x, size, moves = setup
    assert_same(getattr(layers, name)(size, **moves), POOLS[name](size, **moves), x)


def network():
    image = keras.Input((9, 8, 3))
    x = layers.HandConv2D(4, 3, strides=2, padding="same", activation="relu", name="c1")(image)
    x = layers.HandMaxPool2D(2, 1, "same", name="s2")(x)
    x = layers.HandConv2D(2, (2, 1), dilation_rate=2, use_bias=False, name="c3")(x)
    return keras.Model(image, layers.HandMinPool2D(2, 1, name="min")(layers.HandAveragePool2D(2, 1, "same", name="mean")(x)))


def test_they_come_back_from_a_file(tmp_path):
    trained = network()
    trained.save(tmp_path / "network.keras")
    restored = load_network(tmp_path / "network.keras")
    assert [type(layer) for layer in restored.layers] == [type(layer) for layer in trained.layers]
    x = drawn((2, 9, 8, 3))
    np.testing.assert_array_equal(restored(x), trained(x))


def test_their_network_learns():
    trained = network()
    trained.compile(keras.optimizers.Adam(0.05), "mse", run_eagerly=True)
    x, target = drawn((8, 9, 8, 3)), drawn((8, *trained.output_shape[1:]), 1)
    losses = [trained.train_on_batch(x, target) for _ in range(10)]
    assert losses[-1] < 0.9 * losses[0]


def test_a_convolution_computes_in_half_precision_where_its_policy_says_so():
    layer = layers.HandConv2D(4, 3, padding="same", dtype="mixed_bfloat16")
    assert layer(drawn((1, 5, 5, 2))).dtype == "bfloat16"
    assert layer.kernel.dtype == "float32"


def test_pictures_of_any_size_go_through_as_they_do_in_a_graph():
    image = keras.Input((None, None, 3))
    dense = keras.Model(image, layers.HandMaxPool2D(2)(layers.HandConv2D(4, 3, padding="same")(image)))
    graph = tf.function(dense, input_signature=[tf.TensorSpec((None, None, None, 3))])
    for shape, expected in (((1, 7, 10, 3), (1, 3, 5, 4)), ((2, 4, 4, 3), (2, 2, 2, 4))):
        assert dense(drawn(shape)).shape == expected
        np.testing.assert_allclose(graph(drawn(shape)), dense(drawn(shape)), **CLOSE)


@pytest.mark.parametrize("setting", [{"groups": 2}, {"data_format": "channels_first"}])
@pytest.mark.parametrize("name", ["HandConv2D", *POOLS])
def test_what_they_cannot_do_is_refused(name, setting):
    sizes = (4, 3) if name == "HandConv2D" else (2,)
    with pytest.raises(ValueError, match=next(iter(setting))):
        getattr(layers, name)(*sizes, **setting)


@pytest.mark.parametrize("name", ["HandConv2D", *POOLS])
def test_zeros_on_each_side_are_padding_too(name):
    sizes = (4, 3) if name == "HandConv2D" else (3,)
    layer = getattr(layers, name)(*sizes, strides=2, padding=1)
    x = drawn((2, 7, 9, 3))
    assert layer.compute_output_shape(x.shape) == layer(x).shape == (2, 4, 5, 4 if name == "HandConv2D" else 3)
    # "same" puts one on each side of an odd size, too
    same = getattr(layers, name)(*sizes, strides=2, padding="same")
    same.build(x.shape)
    same.set_weights(layer.get_weights())
    np.testing.assert_allclose(layer(x), same(x), **CLOSE)
