"""Training for the int8 file: the arithmetic is the file's, the weights that are kept are the plain network's."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from sklearn.datasets import load_digits

from app.config import make_config
from app.deploy import inference_model
from app.errors import UserError
from app.export.converters import VARIANTS
from app.export.graph import Graph
from app.train import fit as story
from app.train.callbacks import EpochOrder
from app.train.devices import find_devices
from app.train.network import build_network
from app.train.quantisation import fake_quantised
from models import layers
from models.layers.fake_quantisation import in_steps
from models.layers.fake_quantised_kernel import rounded_kernel

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def int8_file(network, pictures, folder):
    """The network's file for microcontrollers, opened: int8 from end to end, and nothing beside the network in it."""
    model = inference_model(network, "classification") if network.input_shape[3] == 3 else bare(network)
    VARIANTS["tflite-mcu"].write(Graph(model, model, pictures, None, folder), folder / "model.tflite")
    interpreter = Interpreter(str(folder / "model.tflite"))
    interpreter.allocate_tensors()
    return interpreter


def bare(network):
    return keras.Model(network.input, keras.layers.Softmax(name="probabilities")(network.output))


def answers(interpreter, pictures):
    """The classes that the file gives."""
    image, probabilities = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    found = []
    for picture in pictures:
        interpreter.set_tensor(image, (picture.astype(np.int16) - 128).astype(np.int8)[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(probabilities)[0].argmax())
    return np.array(found)


def imitations(network):
    return [layer for layer in network.layers if isinstance(layer, layers.FakeQuantisation | layers.FakeQuantisedKernel)]


def equal(ours, theirs):
    return len(ours) == len(theirs) and all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


# Kernels


@pytest.fixture(scope="module")
def mixed():
    """A convolution with normalisation, one within channels, and a dense layer, of channels unlike in size and sign."""
    rng = np.random.default_rng(0)
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(6, 3, use_bias=False, name="conv")(image)
    x = keras.layers.BatchNormalization(name="conv_bn")(x)
    x = keras.layers.Activation("relu", name="conv_relu")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = keras.layers.Flatten(name="features")(x)
    network = keras.Model(image, keras.layers.Dense(5, name="logits")(x))
    for weight in network.weights:
        values = rng.uniform(-1, 1, weight.shape) * rng.uniform(0.1, 3, weight.shape[-1:])
        weight.assign(abs(values) if "variance" in weight.name else values)
    return network


def test_kernels_are_those_that_the_int8_file_holds(mixed, tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    file = int8_file(mixed, pictures, tmp_path)
    held = {}
    for tensor in file.get_tensor_details():
        scales = tensor["quantization_parameters"]["scales"]
        if tensor["dtype"] == np.int8 and len(scales) > 1:
            along = np.reshape(scales, [-1 if axis == tensor["quantization_parameters"]["quantized_dimension"] else 1
                                        for axis in range(len(tensor["shape"]))])  # fmt: skip
            held[tuple(tensor["shape"])] = file.get_tensor(tensor["index"]) * along
    assert len(held) == 3
    # What the file calls the kernel has the scale of batch normalisation in it; and another order of axes.
    scale = mixed.get_layer("conv_bn").gamma / np.sqrt(np.asarray(mixed.get_layer("conv_bn").moving_variance) + 1e-3)
    conv = np.asarray(rounded_kernel(mixed.get_layer("conv").kernel)) * np.asarray(scale)
    np.testing.assert_allclose(np.transpose(held[6, 3, 3, 3], (1, 2, 3, 0)), conv, rtol=1e-5)
    depthwise = np.asarray(rounded_kernel(mixed.get_layer("depthwise").kernel, channel_axes=2))
    np.testing.assert_allclose(held[1, 3, 3, 6], depthwise.reshape(1, 3, 3, 6), rtol=1e-6)
    np.testing.assert_allclose(held[5, 216].T, np.asarray(rounded_kernel(mixed.get_layer("logits").kernel)), rtol=1e-6)


def test_a_kernel_learns_as_if_it_was_not_rounded():
    import tensorflow as tf

    kernel = tf.Variable(np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype(np.float32))
    weights = np.random.default_rng(1).normal(size=kernel.shape)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(rounded_kernel(kernel) * weights)
    np.testing.assert_allclose(tape.gradient(total, kernel), weights, rtol=1e-6)


def test_all_zeros_stay_zeros():
    assert not np.asarray(rounded_kernel(keras.ops.zeros((3, 3, 2, 4)))).any()
    assert not np.asarray(in_steps(keras.ops.zeros((4,)), 0.0, 0.0)).any()


# What is stored between operations


def test_a_tensor_has_256_values_one_of_which_is_zero():
    values = np.linspace(-3, 5, 10_001).astype(np.float32)
    rounded = np.unique(np.asarray(in_steps(keras.ops.convert_to_tensor(values), -1.03, 2.0)))
    assert len(rounded) == 256
    assert 0 in rounded
    np.testing.assert_allclose(np.diff(rounded), 3.03 / 255, rtol=1e-4)
    assert (rounded[0], rounded[-1]) == pytest.approx((-1.03, 2.0), abs=3.03 / 255 / 2)


def test_gradients_pass_inside_of_the_range_and_stop_outside():
    import tensorflow as tf

    values = tf.Variable([-2.0, -0.9, 0.0, 0.123, 1.9, 2.5])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(3 * in_steps(values, -1.0, 2.0))
    assert tape.gradient(total, values).numpy().tolist() == [0, 3, 3, 3, 3, 0]


def test_the_range_is_the_mean_of_the_first_batches_and_follows_later_ones():
    layer = layers.FakeQuantisation(momentum=0.75)
    batches = [np.array([[low, high]], np.float32) for low, high in [(-1, 1), (-3, 5), (-2, 3), (-2, 3), (-10, 13)]]
    found = []
    for batch in batches:
        layer(batch, training=True)
        found.append((float(layer.low.value), float(layer.high.value)))
    assert found[:4] == [(-1, 1), (-2, 3), (-2, 3), (-2, 3)]
    assert found[4] == pytest.approx((-2 - 0.25 * 8, 3 + 0.25 * 10))
    layer(np.array([[-99, 99]], np.float32), training=False)
    layer(np.array([[-99, 99]], np.float32), training=True, track=False)
    assert (float(layer.low.value), float(layer.high.value)) == found[4]
    assert not layer.trainable_weights


def test_what_the_converter_joins_is_not_rounded_in_between():
    network = build_network(make_config("resnet20", "digits", {}), (16, 16, 3), 4)
    twin = fake_quantised(network)
    rounded = {layer.name.removesuffix("_stored") for layer in imitations(twin) if layer.name.endswith("_stored")}
    assert {"scale", "conv1_relu", "conv2_1_1_relu", "conv2_1_2_bn", "conv2_1_relu", "features", "logits"} <= rounded
    assert not {"conv1", "conv1_bn", "conv2_1_2", "conv2_1_add", "conv3_1_shortcut"} & rounded
    assert sum(layer.name.endswith("_int8") for layer in twin.layers) == 20


def test_a_function_that_is_no_rectifier_is_an_operation_of_its_own_with_the_range_of_the_format():
    network = build_network(make_config("cnn", "digits", {}, {"activation": "tanh"}), (8, 8, 1), 4)
    pictures = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 1)).astype(np.float32)
    before = np.asarray(network(pictures))
    twin = fake_quantised(network)
    twin(pictures, training=True)
    assert np.corrcoef(np.asarray(twin(pictures)).ravel(), before.ravel())[0, 1] > 0.99
    assert twin.get_layer("conv1_function_stored").fixed == (-1.0, 127 / 128)
    assert float(twin.get_layer("conv1_stored").high.value) > 0


@pytest.mark.parametrize("use_bias", [True, False])
def test_an_offset_of_the_pixels_goes_into_the_bias_before_the_kernel_is_rounded(use_bias):
    image = keras.Input((6, 6, 3), name="image")
    x = keras.layers.Rescaling(1.0, offset=[-100, -50, 7], name="centre")(image)
    x = keras.layers.Conv2D(4, 3, use_bias=use_bias, name="conv")(x)
    x = keras.layers.BatchNormalization(name="conv_bn")(x)
    [first] = imitations(fake_quantised(keras.Model(image, keras.layers.Activation("relu", name="relu")(x))))[:1]
    kernel = first.layer.kernel
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3)).astype(np.float32)
    offset = np.array([-100, -50, 7], np.float32)
    expected = keras.ops.conv(pixels, rounded_kernel(kernel)) + keras.ops.sum(kernel * offset[:, None], axis=(0, 1, 2))
    np.testing.assert_allclose(np.asarray(first(pixels + offset)), np.asarray(expected), rtol=1e-4, atol=1e-3)


def test_the_imitation_errs_as_the_file_does(ruined, tmp_path):
    """On a network whose int8 file is far from it: most of the file's mistakes are those of the imitation."""
    pictures, labels = digits()
    wrong = answers(int8_file(ruined, pictures[:100], tmp_path), pictures)
    network = two_convolutions()
    network.set_weights(ruined.get_weights())
    twin = fake_quantised(network)
    twin(pictures[:100].astype(np.float32), training=True)
    imitated = twin.predict(pictures.astype(np.float32), verbose=0).argmax(1)
    assert (wrong == labels).mean() < 0.5
    assert (wrong == imitated).mean() > 0.9


# Training


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return story.fit(qat_config(), tmp_path_factory.mktemp("qat"), say_nothing, live=False)


def qat_config(**flags):
    flags = {"limit": 100, "epochs": 4, "warmup": 0.0, "batch_size": 25, "qat": True, "ema": 0.5} | flags
    return make_config("mlp", "digits", flags)


def say_nothing(line):
    pass


def test_what_is_kept_is_the_plain_network(run):
    network = run.network()
    fresh = build_network(run.config, tuple(run.record["input_shape"]), 10)
    assert not imitations(network)
    assert [(w.path, w.shape) for w in network.weights] == [(w.path, w.shape) for w in fresh.weights]
    assert not equal(network.get_weights(), fresh.get_weights())
    assert not imitations(run.inference_model().get_layer("mlp"))
    assert run.metrics()["parameters"] == network.count_params() == run.metrics()["trainable_parameters"]


def test_the_best_epoch_is_chosen_and_kept_by_the_arithmetic_of_the_file(tmp_path, monkeypatch):
    made, seen = [], []
    real = story._Training.__post_init__
    monkeypatch.setattr(story._Training, "__post_init__", lambda self: (made.append(self), real(self))[1])
    keep = story.KeepBest.on_epoch_end

    def looked(self, epoch, logs):
        again = made[0].network.evaluate(made[0].validation, verbose=0, return_dict=True)
        plain = build_network(made[0].config, made[0].dataset.shape, 10)
        plain.set_weights(made[0].kept.get_weights())
        plain.compile(loss=keras.losses.CategoricalCrossentropy(from_logits=True))
        seen.append((logs["val_loss"], again["loss"], plain.evaluate(made[0].validation, verbose=0)))
        keep(self, epoch, logs)

    monkeypatch.setattr(story.KeepBest, "on_epoch_end", looked)
    run = story.fit(qat_config(epochs=1, ema=0.0), tmp_path, say_nothing, live=False)
    [(told, imitated, plain)] = seen
    assert told == pytest.approx(imitated, rel=1e-6)
    assert told != pytest.approx(plain, rel=1e-4)
    assert equal(run.network().get_weights(), made[0].kept.get_weights())
    assert equal(made[0].kept.trainable_variables, made[0].network.trainable_variables)


class Interrupted(Exception):
    pass


def test_resumed_ends_as_uninterrupted(run, tmp_path, monkeypatch):
    def stop(self, epoch, logs=None):
        if epoch == 2:
            raise Interrupted
        self.batches.epoch = epoch

    with monkeypatch.context() as patched:
        patched.setattr(EpochOrder, "on_epoch_begin", stop)
        with pytest.raises(Interrupted):
            story.fit(qat_config(), tmp_path, say_nothing, live=False)
    again = story.fit(qat_config(), tmp_path, say_nothing, live=False)
    with np.load(run.state_file) as whole, np.load(again.state_file) as resumed:
        names = set(whole.files) - {"progress"}
        assert {name for name in names if whole[name].shape == ()} != set()  # the ranges
        assert names == set(resumed.files) - {"progress"}
        assert not [name for name in names if not np.array_equal(whole[name], resumed[name])]
    assert equal(run.network().get_weights(), again.network().get_weights())


def test_it_starts_from_a_run_and_a_plain_training_starts_from_it(run, train):
    said = []
    later = train(weights=str(run.folder), epochs=1, warmup=0.0, said=said, qat=True)
    assert [line for line in said if line.startswith("2 of 2 layers start from")]
    train(weights=str(later.folder), epochs=1, warmup=0.0, said=said, name="plain")
    assert len([line for line in said if line.startswith("2 of 2 layers start from")]) == 2


def test_auxiliary_heads_are_trained_as_they_are():
    image = keras.Input((4, 4, 1), name="image")
    x = keras.layers.Flatten(name="pixels")(keras.layers.Conv2D(2, 2, activation="relu", name="conv")(image))
    heads = {name: keras.layers.Dense(3, name=name)(x) for name in ("logits", "auxiliary1")}
    twin = fake_quantised(keras.Model(image, heads))
    assert [layer.name for layer in imitations(twin)] == ["conv_int8", "conv_stored", "logits_int8", "logits_stored"]
    story._compile(twin, make_config("mlp", "digits", {}), 1, find_devices(1))
    images = np.random.default_rng(0).uniform(0, 1, (20, 4, 4, 1)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[np.arange(20) % 3]
    told = twin.fit(images, dict.fromkeys(heads, targets), verbose=0).history
    assert {"loss", "logits_accuracy", "auxiliary1_loss"} <= set(told)


@pytest.mark.slow
def test_a_network_with_heads_is_trained_and_kept_whole(tmp_path):
    flags = {"epochs": 1, "warmup": 0.0, "limit": 40, "batch_size": 20, "image_size": 17, "qat": True}
    config = make_config("googlenet", "digits", flags, {"width": 0.0625})
    run = story.fit(config, tmp_path, say_nothing, live=False)
    assert set(run.network().output) == {"logits", "auxiliary1", "auxiliary2"}
    assert "auxiliary1_loss" in run.history_file.read_text()


@pytest.mark.parametrize(
    ("model", "options", "text"),
    [
        ("rnn", {}, "--qat is not for rnn: it has a SimpleRNN (recurrent1); leave the flag out"),
        ("lenet5_1998", {}, "--qat is not for lenet5_1998: it has a ScaledTanh (c1_tanh); leave the flag out"),
        (
            "googlenet",
            {"normalisation": "lrn"},
            "--qat is not for googlenet: it has a LocalResponseNormalization (pool1_lrn); give --set normalisation=batch",
        ),
    ],
)
def test_networks_that_compute_inside_of_layers_are_refused_before_data_is_read(model, options, text, tmp_path, monkeypatch):
    monkeypatch.setattr(story, "load_data", lambda *_: pytest.fail("data was read"))
    with pytest.raises(UserError) as caught:
        story.fit(make_config(model, "digits", {"qat": True}, options), tmp_path, say_nothing)
    assert str(caught.value) == text


def test_other_arithmetic_is_refused():
    with pytest.raises(UserError, match="--qat imitates integers in float32; not in --precision mixed_bfloat16"):
        make_config("lenet5", "digits", {"qat": True, "precision": "mixed_bfloat16"})


def test_the_layers_are_rebuilt_from_what_they_say_of_themselves():
    inner = keras.layers.Conv2D(3, 2, name="inner")
    kernel = layers.FakeQuantisedKernel(inner, shift=-1.0)
    assert layers.FakeQuantisedKernel.from_config(kernel.get_config()).shift == -1.0
    stored = layers.FakeQuantisation(momentum=0.5, fixed=(0.0, 1.0))
    again = layers.FakeQuantisation.from_config(stored.get_config())
    assert (again.momentum, again.fixed) == (0.5, (0.0, 1.0))


# What it is for


def digits():
    found = load_digits()
    return (found.images * 255 / 16).astype(np.uint8)[..., None], found.target


@pytest.fixture(scope="module")
def ruined():
    keras.utils.set_random_seed(0)
    network = two_convolutions()
    fit_on_digits(network, 3e-3, epochs=8)
    return spoiled(network)


def two_convolutions():
    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="scale")(image)
    x = keras.layers.Conv2D(8, 3, activation="relu", name="c1")(x)
    x = keras.layers.Conv2D(16, 3, activation="relu", name="c2")(x)
    x = keras.layers.Flatten(name="features")(x)
    return keras.Model(image, keras.layers.Dense(10, name="logits")(x))


def fit_on_digits(network, rate, epochs):
    pictures, labels = digits()
    network.compile(keras.optimizers.Adam(rate), LOSS)
    network.fit(pictures[:1300].astype(np.float32), labels[:1300], epochs=epochs, batch_size=32, verbose=0)


def spoiled(network, factor=1000):
    """The same function, with one map a thousand times as large as the others: its range leaves them a step or none."""
    w = network.get_weights()
    maps = keras.Model(network.input, network.get_layer("c1").output)(digits()[0][:100].astype(np.float32))
    largest = int(np.asarray(maps).mean((0, 1, 2)).argmax())
    w[0][..., largest] *= factor
    w[1][largest] *= factor
    w[2][:, :, largest] /= factor
    again = two_convolutions()
    again.set_weights(w)
    return again


def test_a_network_that_int8_ruins_is_mended(ruined, tmp_path):
    pictures, labels = digits()
    unseen, truth = pictures[1300:], labels[1300:]

    def accuracy_of_the_file(network):
        return (answers(int8_file(network, pictures[:200], tmp_path), unseen) == truth).mean()

    assert (ruined.predict(unseen.astype(np.float32), verbose=0).argmax(1) == truth).mean() > 0.85
    assert accuracy_of_the_file(ruined) < 0.5
    network = two_convolutions()
    network.set_weights(ruined.get_weights())
    keras.utils.set_random_seed(0)
    fit_on_digits(fake_quantised(network), 1e-3, epochs=5)  # without imitation the file reaches .78, with it .88
    kept = two_convolutions()
    kept.set_weights(network.get_weights())
    assert accuracy_of_the_file(kept) > 0.84
