"""The layers of the networks of 1998, maxout and minimum pooling, against numpy."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from models import layers
from models.layers.map_table_conv2d import MapTableConv2D
from models.lenet import C3, codes
from models.registry import get_model
from models.saved import load_network

ROOT = Path(__file__).parents[2]


def drawn(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def randomised(layer, shape):
    layer.build((None, *shape[1:]))
    layer.set_weights([drawn(weight.shape, seed) for seed, weight in enumerate(layer.weights, start=1)])
    return layer


def test_a_map_sees_the_maps_of_its_row_of_the_table_and_no_other():
    maps = drawn((2, 9, 8, 6))
    layer = randomised(MapTableConv2D(C3, 5), maps.shape)
    kernel, bias = (np.asarray(weight) for weight in layer.weights)
    expected = np.zeros((2, 5, 4, 16), np.float64) + bias
    connection = 0
    for target, row in enumerate(C3):
        for source in row:
            for i in range(5):
                for j in range(4):
                    window = maps[:, i : i + 5, j : j + 5, source]
                    expected[:, i, j, target] += (window * kernel[:, :, connection]).sum(axis=(1, 2))
            connection += 1
    np.testing.assert_allclose(layer(maps), expected, atol=1e-4)
    assert kernel.size + bias.size == 1_516


def test_the_table_connects_as_the_paper_counts():
    assert [len(row) for row in C3] == [3] * 6 + [4] * 9 + [6]
    assert [sorted(target for target, row in enumerate(C3) if source in row) for source in (0, 5)] == [
        [0, 4, 5, 6, 9, 10, 11, 12, 14, 15],
        [3, 4, 5, 8, 9, 10, 11, 13, 14, 15],
    ]


def test_a_table_that_names_a_map_too_many_is_refused():
    with pytest.raises(ValueError, match="names map 6; there are 6"):
        MapTableConv2D([(0, 6)], name="c3").build((None, 9, 9, 6))


def test_subsampling_is_the_sum_of_four_times_a_coefficient_plus_a_bias():
    maps = drawn((2, 6, 8, 3))
    layer = randomised(layers.Subsampling2D(), maps.shape)
    coefficient, bias = (np.asarray(weight) for weight in layer.weights)
    total = maps.reshape(2, 3, 2, 4, 2, 3).sum(axis=(2, 4))
    np.testing.assert_allclose(layer(maps), total * coefficient + bias, atol=1e-5)


def test_the_squashing_function_has_the_fixed_points_that_the_paper_chose_it_for():
    squashed = np.asarray(layers.ScaledTanh()(np.array([-1.0, 0.0, 1.0, 100.0], np.float32)))
    np.testing.assert_allclose(squashed, [-1, 0, 1, 1.7159], atol=1e-4)


def test_the_radial_basis_is_minus_the_squared_distance_to_each_code():
    values = drawn((5, 84))
    layer = layers.RadialBasis(codes(10))
    expected = -((values[:, None] - np.array(codes(10))) ** 2).sum(axis=2)
    np.testing.assert_allclose(layer(values), expected, rtol=1e-5)
    assert not layer.trainable_weights
    with pytest.raises(ValueError, match="codes of 84 numbers and gets 83"):
        layers.RadialBasis(codes(10)).build((None, 83))


@pytest.mark.parametrize("classes", [2, 10, 26])
def test_no_two_classes_have_codes_that_are_close(classes):
    found = np.array(codes(classes))
    assert found.shape == (classes, 84)
    assert set(np.unique(found)) == {-1, 1}
    apart = (found[:, None] != found).sum(axis=2)[~np.eye(classes, dtype=bool)]
    assert apart.min() >= 10


def test_maxout_is_the_largest_of_neighbouring_channels():
    values = drawn((2, 3, 4, 6))
    np.testing.assert_array_equal(layers.Maxout(3)(values), values.reshape(2, 3, 4, 2, 3).max(axis=-1))
    with pytest.raises(ValueError, match="6 channels cannot be shared out to groups of 4"):
        layers.Maxout(4)(values)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_minimum_pooling_is_the_smallest_of_each_window(padding):
    values = drawn((2, 7, 7, 3))
    pooled = np.asarray(layers.MinPooling2D(3, 2, padding)(values))
    np.testing.assert_array_equal(pooled, -np.asarray(keras.layers.MaxPooling2D(3, 2, padding)(-values)))
    assert pooled[1, 1, 1, 2] == (values[1, 2:5, 2:5, 2] if padding == "valid" else values[1, 1:4, 1:4, 2]).min()


def test_they_come_back_from_a_file(tmp_path):
    image = keras.Input((14, 14, 6))
    x = layers.Maxout(2, name="maxout")(layers.ScaledTanh(name="tanh")(layers.MapTableConv2D(C3, 5, name="c3")(image)))
    x = layers.Subsampling2D(name="s4")(layers.MinPooling2D(2, 1, name="min")(x))
    x = keras.layers.Dense(84, name="f6")(keras.layers.Flatten(name="flat")(x))
    network = keras.Model(image, layers.RadialBasis(codes(4), name="logits")(x))
    network.save(tmp_path / "network.keras")
    values = drawn((3, 14, 14, 6))
    np.testing.assert_array_equal(load_network(tmp_path / "network.keras")(values), network(values))


def test_a_process_that_has_seen_none_of_our_layers_reads_a_network_of_them(tmp_path):
    get_model("lenet5_1998").build((28, 28, 1), 3).save(tmp_path / "network.keras")
    script = "import sys; from models.saved import load_network; print(load_network(sys.argv[1]).count_params())"
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "network.keras"], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == str(60_000 + 84 * 3), done.stderr


def test_a_layer_without_a_file_is_an_attribute_that_is_not_there():
    with pytest.raises(AttributeError, match=r"no file models/layers/no_such_layer\.py for a layer NoSuchLayer"):
        _ = layers.NoSuchLayer
