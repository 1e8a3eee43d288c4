"""Every network against the figures of its paper: parameters, multiply-adds, sizes."""

from functools import cache

import pytest

from app.explain.inspect import inspect as inspected
from models.registry import all_models

SPECS = all_models()
# name, options: parameters (trainable, or all with `all`), multiply-adds with as many digits as they are published with.
PUBLISHED = [
    ("mlp", {}, 101_770, "0.10M"),
    ("cnn", {}, 421_642, "4.24M"),
    ("lenet5", {}, 61_706, "0.42M"),
    ("lenet5_by_hand", {}, 61_706, "0.42M"),
    ("lenet5_1998", {}, 60_000, None),
    ("alexnet", {}, 62_378_344, "1135M"),
    ("alexnet_grouped", {}, 60_965_224, "724M"),
    ("vgg_a", {}, 132_863_336, "7.61G"),
    ("vgg_a_lrn", {}, 132_863_336, "7.61G"),
    ("vgg_b", {}, 133_047_848, "11.31G"),
    ("vgg_c", {}, 133_638_952, "11.77G"),
    ("vgg_d", {}, 138_357_544, "15.47G"),
    ("vgg_e", {}, 143_667_240, "19.63G"),
    ("googlenet", {}, 6_998_552, "1.58G"),
    ("resnet18", {}, 11_689_512, "1.81G"),
    ("resnet34", {}, 21_797_672, "3.66G"),
    ("resnet50", {}, 25_557_032, "4.09G"),
    ("resnet101", {}, 44_549_160, "7.80G"),
    ("resnet152", {}, 60_192_808, "11.51G"),
]
WITH_STATISTICS = [
    ("resnet50_keras", {}, 25_636_712, "3.86G"),
    ("resnet101_keras", {}, 44_707_176, "7.57G"),
    ("resnet152_keras", {}, 60_419_944, "11.28G"),
    ("mobilenet", {}, 4_253_864, "569M"),
    ("mobilenet", {"width": 0.75}, 2_601_976, "325M"),
    ("mobilenet", {"width": 0.5}, 1_342_536, "149M"),
    ("mobilenet", {"width": 0.25}, 475_544, "41M"),
]
IN_MILLIONS = [("resnet20", 0.27), ("resnet32", 0.46), ("resnet44", 0.66), ("resnet56", 0.85), ("resnet110", 1.7)]
SIZES = {
    "lenet5": {"c1": (28, 28, 6), "s2": (14, 14, 6), "c3": (10, 10, 16), "s4": (5, 5, 16), "c5": (1, 1, 120), "f6": (84,)},
    "alexnet": {
        "conv1": (55, 55, 96), "pool1": (27, 27, 96), "conv2": (27, 27, 256), "pool2": (13, 13, 256),
        "conv3": (13, 13, 384), "conv4": (13, 13, 384), "conv5": (13, 13, 256), "pool5": (6, 6, 256),
    },
    "vgg_d": {f"block{block}_pool": (224 >> block, 224 >> block, maps) for block, maps in enumerate((64, 128, 256, 512, 512), 1)},
    "googlenet": {"inception_3b": (28, 28, 480), "inception_4e": (14, 14, 832), "inception_5b": (7, 7, 1024)},
}  # fmt: skip


@cache
def at_its_own_size(name):
    return inspected(name)


def inspect(name, **settings):
    return inspected(name, **settings) if any(settings.values()) else at_its_own_size(name)


def rounded(macs, published):
    """The figure in the unit and with the digits of the published one."""
    digits = len(published[:-1].partition(".")[2])
    return f"{macs / {'M': 1e6, 'G': 1e9}[published[-1]]:.{digits}f}{published[-1]}"


@pytest.mark.parametrize(("name", "options", "parameters", "macs"), PUBLISHED)
def test_parameters_and_multiply_adds_are_the_published_ones(name, options, parameters, macs):
    found = inspect(name, options=options)
    assert found.trainable_parameters == parameters
    assert macs is None or rounded(found.macs, macs) == macs


@pytest.mark.parametrize(("name", "options", "parameters", "macs"), WITH_STATISTICS)
def test_all_parameters_and_multiply_adds_are_those_of_the_published_weights(name, options, parameters, macs):
    found = inspect(name, options=options)
    assert found.parameters == parameters
    assert rounded(found.macs, macs) == macs


@pytest.mark.parametrize(("name", "millions"), IN_MILLIONS)
def test_parameters_are_those_of_the_table_of_small_residual_networks(name, millions):
    found = inspect(name).trainable_parameters
    assert round(found / 1e6, 1 if millions == 1.7 else 2) == millions


@pytest.mark.parametrize("depth", ["20", "56"])
def test_shortcuts_cost_nothing(depth):
    plain, residual = inspect(f"plain{depth}"), inspect(f"resnet{depth}")
    assert (plain.parameters, plain.macs) == (residual.parameters, residual.macs)


def test_a_small_residual_network_has_forty_million_multiply_adds():
    assert rounded(inspect("resnet20").macs, "41M") == "41M"


def test_small_pictures_get_the_stem_of_small_pictures():
    found = inspect("resnet18", image_size=32, classes=10)
    assert found.trainable_parameters == 11_173_962
    assert rounded(found.macs, "555M") == "555M"
    assert found.paper is None


def test_auxiliary_heads_stand_beside_what_is_deployed():
    found = inspect("googlenet")
    assert found.parameters + found.auxiliary_parameters == 13_378_280
    assert inspect("googlenet", options={"auxiliary": False}).parameters == found.parameters


@pytest.mark.parametrize("name", SIZES)
def test_maps_have_the_sizes_of_the_paper(name):
    found = {row.name: row.output_shape for row in inspect(name).layers}
    assert {layer: found[layer] for layer in SIZES[name]} == SIZES[name]


@pytest.mark.parametrize("name", SPECS)
def test_what_the_table_of_models_says_is_what_is_built(name):
    found = inspect(name)
    assert found.paper is not None
    assert (found.parameters, found.trainable_parameters, found.auxiliary_parameters, found.macs) == (
        found.paper.parameters, found.paper.trainable_parameters, found.paper.auxiliary_parameters, found.paper.macs,
    )  # fmt: skip
