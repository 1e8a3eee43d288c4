"""What every classifier of the registry promises. A new one is covered as soon as its file has SPECS."""

import re
from functools import cache

import keras
import numpy as np
import pytest

from app.deploy import inference_model, main_path
from app.images import with_channels
from models.registry import all_models, get_model
from models.saved import load_network

SPECS = [spec for spec in all_models().values() if spec.objective == "classification"]


def family(spec):
    """The function that builds it, and all that differ from it by their table alone."""
    return getattr(spec.build, "func", spec.build)


def first_of_family(spec):
    """Whether it is the cheapest; of equals the last by name, which has what the others lack: shortcuts, say."""
    cheapest = min(other.macs for other in SPECS if family(other) is family(spec))
    return spec.name == max(other.name for other in SPECS if family(other) is family(spec) and other.macs == cheapest)


def trial(spec):
    """Shape and options at which it is tried here: a few pixels and a few channels of what the paper has."""
    side = min(32, spec.input_shape[0])
    options = {"width": 0.125} if "width" in spec.options and spec.input_shape[0] > 32 else {}
    return (side, side, spec.input_shape[2]), options


FAMILIES = [spec for spec in SPECS if first_of_family(spec)]
CHOICES = [
    (spec.name, option.name, choice)
    for spec in FAMILIES
    for option in spec.options.values()
    for choice in (option.choices or ((True, False) if option.type is bool else ()))
]
NUMBERS = [
    (spec.name, option.name, value)
    for spec in FAMILIES
    for option in spec.options.values()
    if not option.choices and option.type in (int, float)
    for value in (([option.default // 2, option.default * 2] if option.default else [4]) if option.type is int else [0.25])
]
KERAS_NAMES = {re.sub(r"[^a-z0-9]", "", name.lower()) for name in dir(keras.layers) if name[0].isupper()} | {"inputlayer"}


def every_network(test):
    """The smallest of each family, and as slow tests the others, whose code is the same."""
    marked = [pytest.param(spec, id=spec.name, marks=() if first_of_family(spec) else pytest.mark.slow) for spec in SPECS]
    return pytest.mark.parametrize("spec", marked)(test)


@cache
def built(name):
    """Shared: do not train it."""
    keras.utils.set_random_seed(0)
    spec = get_model(name)
    shape, options = trial(spec)
    return spec.build(shape, spec.classes, **options)


def logits_of(network, images, **settings):
    answers = network(images, **settings)
    return answers["logits"] if isinstance(answers, dict) else answers


def pictures(shape, count=4, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (count, *shape)).astype(np.float32)


def test_names_are_found_and_in_the_order_of_years():
    assert {"mlp", "lenet5", "cnn"} <= set(all_models())
    assert [spec.year for spec in SPECS] == sorted(spec.year for spec in SPECS)
    with pytest.raises(KeyError):
        get_model("lenet6")


@every_network
def test_logits_are_finite_and_one_for_each_class(spec):
    logits = logits_of(built(spec.name), pictures(trial(spec)[0]))
    assert logits.shape == (4, spec.classes)
    assert np.isfinite(logits).all()
    assert keras.ops.abs(keras.ops.sum(logits, axis=-1) - 1).numpy().max() > 1e-3, "probabilities instead of logits"


@every_network
def test_every_trainable_weight_gets_a_gradient(spec):
    import tensorflow as tf

    network = built(spec.name)
    targets = np.eye(spec.classes)[np.arange(8) % spec.classes]
    with tf.GradientTape() as tape:
        answers = network(pictures(trial(spec)[0], 8), training=True)
        cross_entropy = keras.losses.CategoricalCrossentropy(from_logits=True)
        loss = sum(cross_entropy(targets, logits) for logits in keras.tree.flatten(answers))
    for weight, gradient in zip(
        network.trainable_weights, tape.gradient(loss, [w.value for w in network.trainable_weights]), strict=True
    ):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path


@every_network
def test_a_saved_network_answers_the_same(spec, tmp_path):
    network = built(spec.name)
    network.save(tmp_path / "network.keras")
    loaded = load_network(tmp_path / "network.keras")
    images = pictures(trial(spec)[0])
    np.testing.assert_array_equal(logits_of(loaded, images), logits_of(network, images))


@pytest.mark.parametrize(("name", "option", "value"), [*CHOICES, *NUMBERS])
def test_every_value_of_every_option_builds_and_runs(name, option, value):
    spec = get_model(name)
    shape, options = trial(spec)
    logits = logits_of(spec.build(shape, 3, **options | {option: value}), pictures(shape, 2), training=True)
    assert logits.shape == (2, 3)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(("name", "option"), sorted({(name, option) for name, option, _ in [*CHOICES, *NUMBERS]}))
def test_no_two_values_of_an_option_do_the_same(name, option):
    spec = get_model(name)
    values = {value for other, of, value in [*CHOICES, *NUMBERS] if (other, of) == (name, option)} | {
        spec.options[option].default
    }
    shape, options = trial(spec)
    images = pictures(shape, 2)

    def answers(value):
        keras.utils.set_random_seed(0)
        network = spec.build(shape, 3, **options | {option: value})
        return b"".join(np.asarray(part).tobytes() for part in keras.tree.flatten(network(images, training=True)))

    assert len({answers(value) for value in values}) == len(values)


@every_network
@pytest.mark.parametrize("channels", [1, 3])
def test_the_smallest_pictures_pass_in_grey_and_in_colour(spec, channels):
    shape = (spec.min_size, spec.min_size, channels)
    logits = logits_of(spec.build(shape, 5, **trial(spec)[1]), pictures(shape, 2))
    assert logits.shape == (2, 5)
    assert np.isfinite(logits).all()


@every_network
def test_layers_carry_names_of_their_own(spec):
    names = [layer.name for layer in built(spec.name).layers]
    assert len(set(names)) == len(names)
    made_up = [name for name in names if re.sub(r"_\d+$|_", "", name) in KERAS_NAMES - {"dropout"}]
    assert not made_up
    shape, options = trial(spec)
    again = [layer.name for layer in spec.build(shape, spec.classes, **options).layers]
    assert again == names


@pytest.mark.parametrize(
    "spec", [pytest.param(spec, id=spec.name, marks=() if spec.macs < 2e7 else pytest.mark.slow) for spec in SPECS]
)
def test_one_batch_can_be_learnt_by_heart(spec):
    keras.utils.set_random_seed(1)
    side = max(spec.min_size, 8)
    shape = (side, side, spec.input_shape[2])
    network = main_path(spec.build(shape, 4, **trial(spec)[1]))
    images, labels = pictures(shape, 16), np.arange(16) % 4
    network.compile(
        keras.optimizers.Adam(2e-3, global_clipnorm=1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    for step in range(300):
        network.train_on_batch(images, labels)
        if step % 30 == 29 and (np.asarray(network(images)).argmax(axis=1) == labels).all():
            return
    raise AssertionError("not learnt in 300 steps")


@every_network
@pytest.mark.parametrize("channels", [1, 3])
def test_the_inference_graph_takes_rgb_and_gives_probabilities(spec, channels):
    size = max(spec.min_size, 8)
    network = spec.build((size, size, channels), 5, **trial(spec)[1])
    model = inference_model(network, spec.objective)
    images = pictures((size, size, 3)).round().astype(np.uint8)
    probabilities = np.asarray(model(images.astype(np.float32))["probabilities"])
    assert model.input_shape == (None, size, size, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    logits = np.asarray(logits_of(network, with_channels(images, channels).astype(np.float32)))
    expected = np.asarray(keras.ops.softmax(logits))
    # The file's grey is rounded to whole levels, the graph's is not: half a level of 255 at most.
    np.testing.assert_allclose(probabilities, expected, atol=1e-6 if channels == 3 else 0.02)
