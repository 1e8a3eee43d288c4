"""Our networks and those of keras.applications answer the same with the same weights. No download: the weights are drawn."""

import importlib

import keras
import numpy as np
import pytest

from models import pretrained
from models.pretrained import PUBLISHED, Copied, copy_published, load_imagenet
from models.registry import get_model

TOLERANCE = 1e-5  # of the largest logit
GAIN = 1.2  # of scales in front of rectifiers that end at 6, so that some activations get there
MODULES = {"VGG16": "vgg16", "VGG19": "vgg19", "MobileNet": "mobilenet"}  # where `preprocess_input` of each is; ResNets': resnet
SIDE = 96  # pixels, the fewest that are not small


def library(name, side=SIDE, classes=10, **settings):
    """The network of keras.applications that ours is, giving logits, with random weights that keep activations alive."""
    keras.utils.set_random_seed(0)
    build = getattr(keras.applications, PUBLISHED[name].library)
    shape = {"input_shape": (side, side, 3), "classes": classes, "classifier_activation": None}
    network = build(weights=None, **shape, **settings)
    enliven(network)
    return network


def enliven(network):
    """Draws every weight so that all of them show in the logits: kernels by He's rule, biases and statistics at random."""
    rng = np.random.default_rng(0)
    limited = network.name.startswith("mobilenet")
    first = not limited  # kernels of the others take numbers of the size of pixels
    for layer in network.layers:
        drawn = []
        for weight in layer.weights:
            shape, kind = weight.shape, weight.path.split("/")[-1]
            if kind == "kernel":
                inputs = 9 if isinstance(layer, keras.layers.DepthwiseConv2D) else np.prod(shape[:-1])
                drawn.append(rng.normal(size=shape) * np.sqrt(2 / inputs) / (64 if first else 1))
                first = False
            elif kind in ("gamma", "moving_variance"):
                drawn.append(rng.uniform(0.5, 1.5, shape) * (GAIN if limited and kind == "gamma" else 1))
            else:
                drawn.append(rng.normal(size=shape) * 0.3)
        if layer.weights:
            layer.set_weights(drawn)


def pictures(count=2, side=SIDE, channels=3):
    """Of different brightness and colour. Shapes: float32 [count, side, side, channels]."""
    rng = np.random.default_rng(0)
    colours = rng.uniform(0, 255, (count, 1, 1, channels))
    return (0.5 * colours + 0.5 * rng.uniform(0, 255, (count, side, side, channels))).astype(np.float32)


def prepared(images, name):
    """The pictures as the library's network wants them, by its own function."""
    of = MODULES.get(PUBLISHED[name].library, "resnet")
    return importlib.import_module(f"keras.applications.{of}").preprocess_input(images.copy())


def answers(network, images):
    return np.asarray(network(images, training=False))


SLOW = ("vgg_e", "resnet101_keras", "resnet152_keras")
SAME = [
    *(pytest.param(name, {}, marks=[pytest.mark.slow] if name in SLOW else []) for name in PUBLISHED if name != "mobilenet"),
    *(("mobilenet", {"width": width}) for width in (0.25, 0.5, 0.75, 1.0)),
]


@pytest.mark.parametrize(("name", "options"), SAME)
def test_with_equal_weights_a_network_answers_as_the_librarys(name, options):
    theirs = library(name, **({"alpha": options["width"]} if options else {}))
    ours = get_model(name).build((SIDE, SIDE, 3), 10, **options)
    copied = copy_published(theirs, ours, PUBLISHED[name])
    assert copied == Copied(tuple(layer.name for layer in ours.layers if layer.weights), ())
    assert sum(weight.shape.num_elements() for weight in ours.weights) == theirs.count_params()
    images = pictures()
    expected, found = answers(theirs, prepared(images, name)), answers(ours, images)
    size = np.abs(expected).max()
    assert np.abs(expected[0] - expected[1]).max() > 100 * TOLERANCE * size, "the pictures must be told apart"
    assert np.abs(found - expected).max() < TOLERANCE * size


def test_an_odd_side_is_halved_as_the_library_halves_it():
    theirs = library("mobilenet", 101, alpha=0.25)
    ours = get_model("mobilenet").build((101, 101, 3), 10, width=0.25)
    copy_published(theirs, ours, PUBLISHED["mobilenet"])
    images = pictures(side=101)
    expected = answers(theirs, prepared(images, "mobilenet"))
    np.testing.assert_allclose(answers(ours, images), expected, atol=TOLERANCE * np.abs(expected).max())


def test_the_drawn_weights_keep_every_rectifier_between_its_bounds():
    theirs = library("mobilenet", alpha=0.25)
    rectifiers = [layer.output for layer in theirs.layers if isinstance(layer, keras.layers.ReLU)]
    for activations in keras.Model(theirs.input, rectifiers)(prepared(pictures(), "mobilenet")):
        assert 0.05 < np.mean(np.asarray(activations) == 0) < 0.95, activations.name
        assert 0.0001 < np.mean(np.asarray(activations) == 6) < 0.5, activations.name


# Through files


@pytest.mark.parametrize("ending", [".weights.h5", ".h5"])
@pytest.mark.parametrize(
    ("classes", "top"),
    [(1000, True), (7, True), (1000, False)],
    ids=["the published head", "a head of as many classes", "no head"],
)
def test_a_file_that_the_library_wrote_is_read(tmp_path, ending, classes, top):
    shape = {"input_shape": (224, 224, 3), "alpha": 0.25, "weights": None}
    theirs = keras.applications.MobileNet(include_top=top, **shape, **({"classes": classes} if top else {}))
    enliven(theirs)
    file = tmp_path / f"mobilenet{ending}"
    theirs.save_weights(file) if ending == ".weights.h5" else theirs.save(file)
    ours = get_model("mobilenet").build((32, 32, 3), 7, width=0.25)
    copied = load_imagenet(ours, "mobilenet", file)
    assert copied.fresh == (() if classes == 7 else ("logits",))
    assert len(copied.started) + len(copied.fresh) == 55
    for layer in ("conv1", "conv_dw_13", "conv_pw_13_bn"):
        for found, expected in zip(ours.get_layer(layer).get_weights(), theirs.get_layer(layer).get_weights(), strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("side", "whole"), [(224, True), (96, False)])
def test_a_head_is_downloaded_where_it_fits_alone(monkeypatch, side, whole):
    asked = []
    monkeypatch.setattr(keras.applications, "VGG16", lambda **settings: asked.append(settings))
    monkeypatch.setattr(pretrained, "copy_published", lambda *_: None)
    with keras.StatelessScope(initialize_variables=False):
        load_imagenet(get_model("vgg_d").build((side, side, 3), 10), "vgg_d")
    assert asked == [{"weights": "imagenet", "include_top": whole}]


@pytest.mark.parametrize(("side", "nearest"), [(32, 128), (150, 160), (224, 224), (300, 224)])
def test_mobilenets_weights_are_those_of_the_nearest_size(monkeypatch, side, nearest):
    asked = []
    monkeypatch.setattr(keras.applications, "MobileNet", lambda **settings: asked.append(settings))
    monkeypatch.setattr(pretrained, "copy_published", lambda *_: None)
    load_imagenet(get_model("mobilenet").build((side, side, 3), 1000, width=0.5), "mobilenet")
    assert asked == [{"weights": "imagenet", "include_top": True, "alpha": 0.5, "input_shape": (nearest, nearest, 3)}]


def test_a_width_without_published_weights_is_told():
    with pytest.raises(ValueError, match=r"there are weights for widths of \.25, \.5, \.75 and 1; not 0\.125"):
        load_imagenet(get_model("mobilenet").build((32, 32, 3), 5, width=0.125), "mobilenet")


def test_a_file_of_another_network_is_told(tmp_path):
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ValueError, match=r"\S"):
        load_imagenet(get_model("mobilenet").build((32, 32, 3), 5, width=0.25), "mobilenet", tmp_path / "other.weights.h5")


def test_weights_that_cannot_be_downloaded_are_an_error_of_the_system(monkeypatch, tmp_path):
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    with pytest.raises(OSError, match="URL fetch failure"):
        load_imagenet(get_model("mobilenet").build((32, 32, 3), 5, width=0.25), "mobilenet")


# What fits in part


def test_a_grey_network_answers_as_the_library_does_for_grey_in_three_colours():
    theirs = library("mobilenet", alpha=0.25)
    ours = get_model("mobilenet").build((SIDE, SIDE, 1), 10, width=0.25)
    assert copy_published(theirs, ours, PUBLISHED["mobilenet"]).grey == "conv1"
    images = pictures(channels=1)
    expected = answers(theirs, prepared(np.repeat(images, 3, axis=3), "mobilenet"))
    np.testing.assert_allclose(answers(ours, images), expected, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.parametrize("name", ["vgg_d", "resnet50_keras"])
def test_a_grey_network_whose_colours_have_means_of_their_own_answers_so_too(name):
    theirs = library(name)
    ours = get_model(name).build((SIDE, SIDE, 1), 10)
    assert not copy_published(theirs, ours, PUBLISHED[name]).grey
    images = pictures(channels=1)
    expected = answers(theirs, prepared(np.repeat(images, 3, axis=3), name))
    np.testing.assert_allclose(answers(ours, images), expected, atol=TOLERANCE * np.abs(expected).max())


def test_a_stem_for_small_pictures_stays_fresh():
    theirs = library("resnet50_keras")
    ours = get_model("resnet50_keras").build((32, 32, 3), 10)
    before = ours.get_layer("conv1").get_weights()
    copied = copy_published(theirs, ours, PUBLISHED["resnet50_keras"])
    assert copied.fresh == ("conv1",)
    np.testing.assert_array_equal(ours.get_layer("conv1").get_weights()[0], before[0])
    np.testing.assert_array_equal(
        ours.get_layer("conv3_1_shortcut").get_weights()[0],
        theirs.get_layer("conv3_block1_0_conv").get_weights()[0],
    )


@pytest.mark.network
def test_the_published_weights_know_a_picture(tmp_path):
    """The library's own weights, downloaded: both networks have the same opinion of noise."""
    ours = get_model("mobilenet").build((224, 224, 3), 1000, width=0.25)
    assert load_imagenet(ours, "mobilenet").fresh == ()
    theirs = keras.applications.MobileNet(alpha=0.25, classifier_activation=None)
    images = pictures(side=224)
    expected = answers(theirs, prepared(images, "mobilenet"))
    np.testing.assert_allclose(answers(ours, images), expected, atol=TOLERANCE * np.abs(expected).max())
