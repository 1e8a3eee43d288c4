import keras
import numpy as np
import pytest

from models.registry import get_model

WIDTHS = {1.0: (4_253_864, 569e6), 0.75: (2_601_976, 325e6), 0.5: (1_342_536, 150e6), 0.25: (475_544, 41e6)}  # table 6


def outlined(shape=(224, 224, 3), classes=1000, **options):
    """A network of full size without the memory for its weights."""
    with keras.StatelessScope(initialize_variables=False):
        return get_model("mobilenet").build(shape, classes, **options)


def count(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


def macs(network):
    """Multiply-adds of convolutions, those within channels too, and of the dense layer."""
    kernels = [layer for layer in network.layers if hasattr(layer, "kernel")]
    return sum(int(np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:-1])) for layer in kernels)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_width_has_the_size_that_the_paper_states(width):
    network = outlined(width=width)
    parameters, multiply_adds = WIDTHS[width]
    assert count(network.weights) == parameters
    assert macs(network) == pytest.approx(multiply_adds, rel=5e-3)
    if width == 1:
        spec = get_model("mobilenet")
        found = count(network.trainable_weights), count(network.non_trainable_weights), macs(network)
        assert found == (spec.parameters, spec.fixed_parameters, spec.macs)


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (224, [112, 112, 56, 28, 14, 7]),
        (96, [48, 48, 24, 12, 6, 3]),
        (95, [95, 95, 47, 23, 11, 5]),
        (32, [32, 32, 16, 8, 4, 2]),
        (16, [16, 16, 8, 4, 2, 1]),
    ],
)
def test_the_maps_have_the_sizes_of_the_papers_table_and_small_pictures_keep_theirs_at_first(side, expected):
    network = outlined((side, side, 3))
    places = ["conv1", *(f"conv_pw_{number}" for number in (1, 3, 5, 11, 13))]
    assert [network.get_layer(place).output.shape[1] for place in places] == expected


def test_narrow_networks_learn_with_every_weight_from_small_grey_pictures():
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    network = get_model("mobilenet").build((28, 28, 1), 4, width=0.25)
    images = np.random.default_rng(0).uniform(0, 255, (8, 28, 28, 1)).astype(np.float32)
    with tf.GradientTape() as tape:
        logits = network(images, training=True)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(np.arange(8) % 4, logits)
    for weight, gradient in zip(
        network.trainable_weights, tape.gradient(loss, [weight.value for weight in network.trainable_weights]), strict=True
    ):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path


def test_a_convolution_within_channels_mixes_none():
    network = get_model("mobilenet").build((32, 32, 3), 4, width=0.25)
    layer = network.get_layer("conv_dw_1")
    maps = np.random.default_rng(0).normal(size=(1, 6, 6, 8)).astype(np.float32)
    changed = maps.copy()
    changed[..., 3] += 1
    moved = np.abs(np.asarray(layer(changed)) - np.asarray(layer(maps))).max(axis=(0, 1, 2)) > 0
    assert moved.tolist() == [number == 3 for number in range(8)]


def test_the_kernels_within_channels_start_large_enough_for_their_nine_inputs():
    kernel = get_model("mobilenet").build((32, 32, 3), 4).get_layer("conv_dw_13").get_weights()[0]
    assert kernel.shape == (3, 3, 1024, 1)
    assert kernel.std() == pytest.approx(np.sqrt(2 / 9), rel=0.1)
