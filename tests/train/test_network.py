"""Networks that start from weights that others learnt, and of which the last layer alone is trained."""

import keras
import numpy as np
import pytest
from PIL import Image

from app.config import make_config
from app.errors import UserError
from app.runs import find_weights
from app.train.network import build_network, freeze, start_from
from models.pretrained import PUBLISHED
from models.registry import get_model
from tests.data.photos import photo


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Reddish and bluish pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, name in enumerate(("red", "blue")):
        (folder / name).mkdir()
        for seed in range(30):
            Image.fromarray(tinted(seed, number)).save(folder / name / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The narrowest MobileNet of keras.applications, trained a little on other such pictures, and a file of it."""
    keras.utils.set_random_seed(0)
    ours = get_model("mobilenet").build((32, 32, 3), 1000, width=0.25)
    ours.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for first in range(500, 940, 20):
        seeds = np.arange(first, first + 20)
        ours.train_on_batch(np.stack([tinted(seed, seed % 2) for seed in seeds]).astype(np.float32), seeds % 2)
    theirs = keras.applications.MobileNet((128, 128, 3), 0.25, weights=None)
    for layer in ours.layers:
        name = PUBLISHED["mobilenet"].name(layer.name)
        if layer.weights and name != "conv_preds":
            theirs.get_layer(name).set_weights(layer.get_weights())
    file = tmp_path_factory.mktemp("published") / "mobilenet_2_5_128_tf.h5"
    theirs.save(file)
    return theirs, file


def tinted(seed, number):
    """A picture with hardly any blue, or hardly any red. Shapes: uint8 [32, 32, 3]."""
    picture = photo(1000 * number + seed, 32, 32).astype(np.float32)
    picture[..., 2 * (1 - number)] *= 0.1
    return picture.astype(np.uint8)


def same(ours, theirs):
    return all(np.array_equal(a, b) for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True))


def quiet(line):
    pass


def built(model="mobilenet", shape=(32, 32, 3), classes=5, options=None, **flags):
    return build_network(make_config(model, "digits", flags, options), shape, classes)


NARROW = {"options": {"width": 0.25}}


# Published weights


def test_a_network_has_the_name_of_the_registry():
    assert built("resnet20").name == "resnet20"


def test_a_new_head_is_put_on_published_weights(published):
    theirs, file = published
    network, said = built(**NARROW), []
    assert start_from(network, find_weights(str(file), "mobilenet"), said.append) == ["logits"]
    assert said == [f"54 of 55 layers start from {file}; fresh: logits"]
    assert same(network.get_layer("conv_pw_13"), theirs.get_layer("conv_pw_13"))


def test_grey_pictures_have_the_kernels_of_all_colours_added(published):
    theirs, file = published
    network, said = built(shape=(32, 32, 1), **NARROW), []
    start_from(network, file, said.append)
    assert said == [
        f"54 of 55 layers start from {file}; the kernel of conv1 is summed over the colours for grey pictures; fresh: logits"
    ]
    summed = theirs.get_layer("conv1").get_weights()[0].sum(axis=2, keepdims=True)
    np.testing.assert_array_equal(network.get_layer("conv1").get_weights()[0], summed)


def test_imagenet_is_what_the_library_keeps_on_disk(published, monkeypatch, tmp_path):
    theirs, _ = published
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    (tmp_path / "models").mkdir()
    bare = keras.applications.MobileNet((128, 128, 3), 0.25, include_top=False, weights=None)
    bare.set_weights(theirs.get_weights()[: len(bare.weights)])
    bare.save(tmp_path / "models" / "mobilenet_2_5_128_tf_no_top.h5")
    network, said = built(**NARROW), []
    assert start_from(network, find_weights("imagenet", "mobilenet"), said.append) == ["logits"]
    assert said == ["54 of 55 layers start from imagenet; fresh: logits"]
    assert same(network.get_layer("conv_dw_13_bn"), theirs.get_layer("conv_dw_13_bn"))


def test_without_network_the_way_out_is_told_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    message = (
        r"^--weights imagenet cannot be had \(URL fetch failure on https[^\n]*\); connect once, or give a file [^\n]* FILE.h5$"
    )
    with pytest.raises(UserError, match=message):
        start_from(built(**NARROW), "imagenet", quiet)


@pytest.mark.parametrize("weights", ["imagenet", "some.h5"])
def test_a_network_without_published_weights_is_refused_with_those_that_have_some(weights):
    message = f"^--weights {weights}: keras.applications has none for resnet20; it has for {', '.join(PUBLISHED)}$"
    with pytest.raises(UserError, match=message):
        find_weights(weights, "resnet20")
    with pytest.raises(UserError, match=message):
        start_from(built("resnet20", shape=(16, 16, 1), options={"width": 0.25}), weights, quiet)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match=r"there is no .*nowhere.h5; give imagenet, a run folder, a .keras or a .h5 file"):
        find_weights(str(tmp_path / "nowhere.h5"), "mobilenet")


@pytest.mark.parametrize("content", [b"", b"words"])
def test_a_broken_file_is_told_in_one_line(tmp_path, content):
    (tmp_path / "broken.h5").write_bytes(content)
    with pytest.raises(UserError, match=r"^--weights [^\n]*broken.h5 cannot be had \([^\n]*\); give another file$"):
        start_from(built(**NARROW), tmp_path / "broken.h5", quiet)


def test_a_file_of_another_width_is_told_in_one_line(published):
    with pytest.raises(UserError, match=r"^--weights [^\n]*tf.h5 does not fit mobilenet \([^\n]+\)$"):
        start_from(built(options={"width": 0.5}), published[1], quiet)


FLOW = {"model": "mobilenet", "image_size": 32, "limit": 0, "batch_size": 8, "warmup": 0.5, **NARROW}


def test_a_new_head_on_published_features_learns_and_leaves_them_as_they_are(train, published, folder):
    theirs, file = published
    run = train(data=str(folder), weights=str(file), freeze=True, epochs=5, learning_rate=1e-2, **FLOW)
    assert run.metrics()["test"]["accuracy"] >= 0.9  # of two classes, equally frequent
    network = run.network()
    kept = [layer for layer in network.layers if layer.weights and layer.name != "logits"]
    assert len(kept) == 54
    assert all(same(layer, theirs.get_layer(layer.name)) for layer in kept)


@pytest.mark.slow
def test_fine_tuning_learns_and_changes_what_was_published(train, published, folder):
    theirs, file = published
    run = train(data=str(folder), weights=str(file), epochs=5, learning_rate=2e-3, **FLOW)
    assert run.metrics()["test"]["accuracy"] >= 0.9
    assert not same(run.network().get_layer("conv_pw_1"), theirs.get_layer("conv_pw_1"))


# Freezing


def test_frozen_normalisation_keeps_its_statistics_and_uses_them():
    network = built("resnet20", shape=(16, 16, 3), options={"width": 0.25})
    images = np.random.default_rng(0).uniform(0, 255, (8, 16, 16, 3)).astype(np.float32)
    assert np.abs(np.asarray(network(images, training=True)) - np.asarray(network(images, training=False))).max() > 1e-3
    freeze(network)
    np.testing.assert_array_equal(network(images, training=True), network(images, training=False))
    before = {weight.path: np.array(weight) for weight in network.weights}
    network.compile(keras.optimizers.SGD(1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    network.train_on_batch(images, np.arange(8) % 5)
    changed = {weight.path for weight in network.weights if not np.array_equal(before[weight.path], weight)}
    assert changed == {"logits/kernel", "logits/bias"}


def test_auxiliary_heads_are_trained_with_the_main_one():
    image = keras.Input((4,), name="image")
    x = keras.layers.Dense(3, name="hidden")(image)
    outputs = {name: keras.layers.Dense(2, name=name)(x) for name in ("logits", "aux1_logits")}
    network = keras.Model(image, outputs)
    freeze(network)
    assert {layer.name for layer in network.layers if layer.trainable_weights} == {"logits", "aux1_logits"}


def test_freezing_what_stays_as_drawn_is_refused():
    with pytest.raises(UserError, match=r"^--freeze would keep fc1, fc2 as drawn, without weights that fit; leave it out$"):
        freeze(built(**NARROW), ["fc1", "fc2", "logits"])
    freeze(built(**NARROW), ["logits"])


def test_freezing_a_network_whose_last_layer_is_fixed_is_refused():
    with pytest.raises(UserError, match="--freeze leaves nothing of lenet5_1998 to train, whose last layer is fixed"):
        freeze(built("lenet5_1998", shape=(32, 32, 1)))


def test_frozen_layers_are_of_a_network_of_ours_too():
    network = get_model("resnet20").build((16, 16, 3), 5, width=0.25)
    freeze(network)
    assert {weight.path for weight in network.trainable_weights} == {"logits/kernel", "logits/bias"}
