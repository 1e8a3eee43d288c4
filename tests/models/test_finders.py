"""What every detector and segmenter of the registry promises. A new one is covered as soon as its file has SPECS."""

import re

import keras
import numpy as np
import pytest

from app.deploy import divided, inference_model, main_path, predictions_layer
from app.objectives import OBJECTIVES
from models.registry import all_models
from models.saved import load_network

SPECS = [spec for spec in all_models().values() if spec.objective != "classification"]
CLASSES = 3
KERAS_NAMES = {re.sub(r"[^a-z0-9]", "", name.lower()) for name in dir(keras.layers) if name[0].isupper()} | {"inputlayer"}


def family(spec):
    return getattr(spec.build, "func", spec.build)


def is_cheapest(spec):
    return spec.macs == min(other.macs for other in SPECS if family(other) is family(spec))


CHEAP_DETECTORS = [spec for spec in SPECS if spec.objective == "detection" and is_cheapest(spec)]


def every_finder(test):
    marked = [pytest.param(spec, id=spec.name, marks=() if is_cheapest(spec) else pytest.mark.slow) for spec in SPECS]
    return pytest.mark.parametrize("spec", marked)(test)


def small(spec, channels=3, **more):
    """The narrowest form for the smallest pictures, which need not be square."""
    keras.utils.set_random_seed(0)
    width = {"width": 0.0625 if spec.macs > 1e10 else 0.5} if "width" in spec.options else {}
    return spec.build((spec.min_size, spec.min_size + 32, channels), CLASSES, **{**width, **more})


def pictures(network, count=2):
    height, width = main_path(network).input_shape[1:3]
    return np.random.default_rng(0).uniform(0, 255, (count, height, width, 3)).astype(np.float32)


@every_finder
@pytest.mark.parametrize("channels", [1, 3])
def test_the_smallest_pictures_get_finished_outputs_in_grey_and_in_colour(spec, channels):
    network = small(spec, channels)
    found = {name: np.asarray(values) for name, values in inference_model(network, spec.objective)(pictures(network)).items()}
    assert tuple(found) == OBJECTIVES[spec.objective].outputs
    assert all(values.dtype == np.float32 and np.isfinite(values).all() for values in found.values())
    if spec.objective == "segmentation":
        assert found["masks"].shape == (2, spec.min_size, spec.min_size + 32, CLASSES)
        np.testing.assert_allclose(found["masks"].sum(axis=-1), 1, atol=1e-5)
        return
    most = found["boxes"].shape[1]
    assert {name: values.shape for name, values in found.items()} == {
        "boxes": (2, most, 4), "classes": (2, most), "scores": (2, most), "count": (2,),
    }  # fmt: skip
    assert (np.diff(found["scores"], axis=1) <= 0).all()
    assert ((found["scores"] > 0).sum(axis=1) == found["count"]).all()
    assert set(np.unique(found["classes"])) <= set(range(CLASSES))
    assert (found["boxes"][..., :2] <= found["boxes"][..., 2:]).all()
    assert found["boxes"].min() >= 0
    assert found["boxes"].max() <= 1


@pytest.mark.parametrize("spec", CHEAP_DETECTORS, ids=lambda spec: spec.name)
def test_the_two_halves_of_a_detector_are_the_whole_unless_it_chooses_on_its_way(spec):
    network = small(spec)
    if "faster_rcnn" in spec.name:
        with pytest.raises(ValueError, match="chooses regions half way through"):
            divided(network)
        return
    images = pictures(network)
    whole, (body, tail) = inference_model(network, "detection")(images), divided(network)
    found = tail(body(images))
    for name, values in whole.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)


@every_finder
def test_a_saved_network_answers_the_same_and_layers_carry_names_of_their_own(spec, tmp_path):
    network = small(spec)
    network.save(tmp_path / "network.keras")
    loaded = load_network(tmp_path / "network.keras")
    images = pictures(network)
    expected = np.asarray(main_path(network)(images))
    np.testing.assert_array_equal(np.asarray(main_path(loaded)(images)), expected)
    names = [layer.name for layer in network.layers]
    assert len(set(names)) == len(names)
    assert not [name for name in names if re.sub(r"_\d+$|_", "", name) in KERAS_NAMES - {"dropout"}]
    if spec.objective == "detection":
        boxes, scores = predictions_layer(main_path(loaded)).detections(keras.ops.convert_to_tensor(expected))
        assert boxes.shape[:2] == scores.shape[:2]
        assert (boxes.shape[2], scores.shape[2]) == (4, CLASSES)


@every_finder
def test_every_value_of_every_option_builds_and_runs(spec):
    for option in spec.options.values():
        for value in option.choices or ((True, False) if option.type is bool else ()):
            network = small(spec, **{option.name: value})
            assert np.isfinite(np.asarray(main_path(network)(pictures(network, 1)))).all(), (option.name, value)
