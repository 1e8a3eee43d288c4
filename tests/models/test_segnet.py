import keras
import numpy as np
import pytest

from app.explain.inspect import inspect
from models import layers
from models.registry import get_model
from tests.models.built import kinds, narrow, outlined, pictures
from tests.models.segmenting import converted, learn, reloaded, settled, unreached

ENCODER = [f"block{block}_conv{number}" for block, count in enumerate((2, 2, 3, 3, 3), 1) for number in range(1, count + 1)]


def trainable(network):
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)


def test_it_has_29_45_million_weights_and_29_43_without_normalisation():
    spec, network = get_model("segnet"), outlined("segnet")
    assert trainable(network) == spec.parameters == 29_449_355
    assert network.count_params() - trainable(network) == spec.fixed_parameters == 15_872
    assert outlined("segnet", normalisation="none").count_params() == 29_433_483


def test_the_encoder_can_start_from_all_convolutions_of_vgg_d():
    network, vgg = outlined("segnet"), outlined("vgg_d")
    for name in ENCODER:
        assert [w.shape for w in network.get_layer(name).weights] == [w.shape for w in vgg.get_layer(name).weights]
    assert [name for name in kinds(vgg, keras.layers.Conv2D) if name not in ENCODER] == []


def test_the_decoder_is_the_encoder_in_a_mirror():
    network = outlined("segnet")
    shapes = {name: network.get_layer(name).kernel.shape[2:] for name in kinds(network, keras.layers.Conv2D)}
    for name in ENCODER[1:]:
        taken, given = shapes[name]
        assert shapes[name.replace("conv", "deconv")] == (given, taken)
    assert shapes["logits"] == (64, 11)
    assert len(shapes) == 26


def test_each_unpooling_is_told_the_places_of_its_own_pooling():
    network = outlined("segnet")
    assert len(kinds(network, layers.MaxUnpooling2D)) == 5
    for block in range(1, 6):
        places = network.get_layer(f"block{block}_pool").output[1]
        assert network.get_layer(f"block{block}_unpool").input[1] is places


def test_the_small_one_has_a_quarter_of_the_maps():
    spec, network = get_model("segnet_small"), outlined("segnet_small")
    assert (trainable(network), network.count_params() - trainable(network)) == (spec.parameters, spec.fixed_parameters)
    assert network.get_layer("block5_conv3").filters == 128


@pytest.mark.parametrize("name", ["segnet", "segnet_small"])
def test_multiply_adds_are_those_of_inspect(name):
    assert inspect(name).macs == get_model(name).macs


@pytest.mark.parametrize("shape", [(16, 16, 1), (45, 60, 3), (64, 96, 3)])
def test_the_logits_are_as_large_as_the_picture(shape):
    assert narrow("segnet", shape)(pictures(shape)).shape == (4, *shape[:2], 5)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("segnet", (64, 64, 3), {}),
        ("segnet", (37, 50, 1), {}),
        ("segnet", (64, 64, 3), {"normalisation": "none", "width": 0.125}),
        ("segnet_small", (64, 64, 3), {"width": 0.25}),
    ],
)
def test_every_weight_learns_from_the_first_step(name, shape, options):
    lost = unreached(narrow(name, shape, **options), shape, 5)
    # A bias before batch normalisation is taken off again with the mean; it is there for published weights.
    assert [path for path in lost if not (path.endswith("/bias") and options.get("normalisation") != "none")] == []


def test_it_comes_back_from_a_file(tmp_path):
    network = narrow("segnet", (40, 40, 3))
    images = pictures((40, 40, 3))
    np.testing.assert_array_equal(reloaded(network, tmp_path / "segnet.keras")(images), network(images))


@pytest.mark.slow
def test_it_learns_eight_pictures_by_heart():
    assert learn("segnet_small", (32, 32, 1), 120, width=0.5) > 0.95


@pytest.mark.slow
def test_its_files_answer_as_it_does(tmp_path):
    network = settled(narrow("segnet", (40, 52, 3)))
    ours, phone, server = converted(network, tmp_path, pictures((40, 52, 3), 2))
    assert ours.std() > 0.01
    np.testing.assert_allclose(phone, ours, atol=1e-5)
    np.testing.assert_allclose(server, ours, atol=1e-5)
