import keras
import numpy as np
import pytest
import tensorflow as tf

from models import layers
from models.saved import load_network

MAPS = np.random.default_rng(0).integers(-3, 4, (2, 6, 8, 5)).astype(np.float32)  # few values, so that many are equal


def by_hand(maps):
    """Maxima, and for each the row and column of the first in its window."""
    batch, rows, columns, channels = maps.shape
    windows = maps.reshape(batch, rows // 2, 2, columns // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4)
    windows = windows.reshape(batch, rows // 2, columns // 2, channels, 4)
    return windows.max(axis=-1), windows.argmax(axis=-1)


def test_each_maximum_is_remembered_with_the_first_of_its_places():
    pooled, places = (np.asarray(part) for part in layers.PositionalMaxPooling2D()(MAPS))
    largest, first = by_hand(MAPS)
    np.testing.assert_array_equal(pooled, largest)
    np.testing.assert_array_equal(np.stack(np.split(places, 4, axis=-1), axis=-1), np.eye(4)[first])


def test_unpooling_puts_the_maxima_back_at_their_places_and_zeros_elsewhere():
    pooled, places = layers.PositionalMaxPooling2D()(MAPS)
    back = np.asarray(layers.MaxUnpooling2D()([pooled, places]))
    expected = np.zeros_like(MAPS)
    largest, first = by_hand(MAPS)
    for (b, i, j, c), value in np.ndenumerate(largest):
        expected[b, 2 * i + first[b, i, j, c] // 2, 2 * j + first[b, i, j, c] % 2, c] = value
    np.testing.assert_array_equal(back, expected)
    np.testing.assert_array_equal(layers.PositionalMaxPooling2D()(np.abs(back))[0], np.abs(pooled))


def test_a_gradient_comes_back_once_where_values_are_equal():
    maps = tf.zeros((1, 4, 4, 2))
    with tf.GradientTape() as tape:
        tape.watch(maps)
        pooled, _ = layers.PositionalMaxPooling2D()(maps)
        total = tf.reduce_sum(pooled)
    expected = np.zeros((1, 4, 4, 2))
    expected[:, ::2, ::2] = 1
    np.testing.assert_array_equal(tape.gradient(total, maps), expected)


def test_unpooling_gives_each_value_the_gradient_of_its_place():
    pooled, places = layers.PositionalMaxPooling2D()(MAPS)
    weights = np.random.default_rng(1).normal(size=MAPS.shape).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(pooled)
        total = tf.reduce_sum(layers.MaxUnpooling2D()([pooled, places]) * weights)
    chosen = by_hand(MAPS)[1]
    windows = weights.reshape(2, 3, 2, 4, 2, 5).transpose(0, 1, 3, 5, 2, 4).reshape(2, 3, 4, 5, 4)
    expected = np.take_along_axis(windows, chosen[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(tape.gradient(total, pooled), expected, rtol=1e-6)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="block1_pool halves sides that are even, and gets 5x8"):
        layers.PositionalMaxPooling2D(name="block1_pool")(np.zeros((1, 5, 8, 2), np.float32))
    with pytest.raises(ValueError, match="four a value belong to them"):
        layers.MaxUnpooling2D()([np.zeros((1, 2, 2, 3), np.float32), np.zeros((1, 2, 2, 3), np.float32)])


def test_they_come_back_from_a_file(tmp_path):
    image = keras.Input((6, 8, 5))
    pooled, places = layers.PositionalMaxPooling2D(name="pool")(image)
    network = keras.Model(image, layers.MaxUnpooling2D(name="unpool")([pooled * 2, places]))
    network.save(tmp_path / "network.keras")
    np.testing.assert_array_equal(load_network(tmp_path / "network.keras")(MAPS), network(MAPS))


@pytest.mark.parametrize("stride", [2, 8])
def test_the_bilinear_kernel_interpolates_as_keras_resizes(stride):
    maps = np.random.default_rng(0).normal(size=(2, 7, 5, 3)).astype(np.float32)
    kernel = layers.BilinearKernel()((2 * stride, 2 * stride, 3, 3))
    enlarged = np.asarray(keras.ops.conv_transpose(maps, kernel, stride, "same"))
    expected = np.asarray(keras.ops.image.resize(maps, (7 * stride, 5 * stride), "bilinear"))
    inside = slice(stride // 2, -stride // 2)  # outside the last pixel's centre there is only one neighbour
    np.testing.assert_allclose(enlarged[:, inside, inside], expected[:, inside, inside], atol=1e-5)


def test_a_kernel_that_cannot_interpolate_is_refused():
    with pytest.raises(ValueError, match=r"shape \(4, 4, 3, 2\) does not interpolate"):
        layers.BilinearKernel()((4, 4, 3, 2))
