import keras
import numpy as np
import pytest

from app.explain.inspect import inspect
from models.registry import get_model
from tests.models.built import kinds, narrow, outlined, pictures
from tests.models.segmenting import converted, learn, reloaded, settled, unreached

NAMES = {"fcn32s": (134_346_581, 32), "fcn16s": (134_364_410, 16), "fcn8s": (134_376_863, 8)}


@pytest.mark.parametrize(("name", "parameters"), [(name, figures[0]) for name, figures in NAMES.items()])
def test_it_has_the_134_million_weights_of_the_paper(name, parameters):
    spec = get_model(name)
    assert outlined(name).count_params() == spec.parameters == parameters
    assert spec.fixed_parameters == 0
    assert inspect(name).macs == spec.macs


def test_vgg_d_without_its_last_layer_is_inside():
    network, vgg = outlined("fcn8s"), outlined("vgg_d")
    convolutions = kinds(vgg, keras.layers.Conv2D)
    assert len(convolutions) == 13
    for name in convolutions:
        assert [w.shape for w in network.get_layer(name).weights] == [w.shape for w in vgg.get_layer(name).weights]
    assert network.get_layer("fc6").kernel.shape == (7, 7, 512, 4096)
    assert network.get_layer("fc7").kernel.shape == (1, 1, 4096, 4096)


@pytest.mark.parametrize(("name", "stride"), [(name, figures[1]) for name, figures in NAMES.items()])
def test_the_name_is_the_stride_of_its_finest_scores(name, stride):
    last = outlined(name).get_layer("logits")
    assert last.size == (stride, stride)
    assert last.input.shape[1:] == (512 // stride, 512 // stride, 21)


def test_small_pictures_are_halved_once_less():
    sizes = {side: narrow("fcn8s", (side, side, 3)).get_layer("logits").size for side in (95, 96)}
    assert sizes == {95: (4, 4), 96: (8, 8)}


def test_scores_of_earlier_poolings_are_added():
    network = outlined("fcn8s")
    for number, maps in ((4, (32, 32, 512)), (3, (64, 64, 256))):
        skip = network.get_layer(f"score_pool{number}")
        assert skip.input is network.get_layer(f"block{number}_pool").output
        assert skip.input.shape[1:] == maps
        assert any(part is skip.output for part in network.get_layer(f"score_sum{number}").input)


def test_a_fresh_8s_answers_as_the_32s_does():
    """Its enlargements interpolate, and the scores that it adds are zero."""
    coarse, fine = narrow("fcn32s", (128, 128, 3)), narrow("fcn8s", (128, 128, 3))
    for layer in coarse.layers:
        if layer.weights:
            fine.get_layer(layer.name).set_weights(layer.get_weights())
    images = pictures((128, 128, 3), 2)
    inside = (slice(None), slice(32, -32), slice(32, -32))
    ours, theirs = np.asarray(fine(images))[inside], np.asarray(coarse(images))[inside]
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("name", [*NAMES, "fcn8s_small"])
@pytest.mark.parametrize("shape", [(16, 16, 1), (45, 60, 3), (100, 130, 3)])
def test_the_logits_are_as_large_as_the_picture(name, shape):
    assert narrow(name, shape, width=0.03125)(pictures(shape)).shape == (4, *shape[:2], 5)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("fcn32s", (64, 64, 3), {}),
        ("fcn16s", (37, 50, 1), {"dropout": 0.2}),
        ("fcn8s", (100, 110, 3), {}),
        ("fcn8s_small", (64, 64, 1), {"width": 0.5}),
    ],
)
def test_every_weight_learns_from_the_first_step(name, shape, options):
    lost = unreached(narrow(name, shape, **options), shape, 5)
    # A bias before batch normalisation is taken off again with the mean; it is there for published weights.
    assert [path for path in lost if name != "fcn8s_small" or not path.endswith("/bias")] == []


def test_the_small_one_has_an_eighth_of_the_maps():
    spec, network = get_model("fcn8s_small"), outlined("fcn8s_small")
    trainable = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert (trainable, network.count_params() - trainable) == (spec.parameters, spec.fixed_parameters)
    assert network.get_layer("fc6").filters == 512
    assert inspect("fcn8s_small").macs == spec.macs


def test_it_comes_back_from_a_file(tmp_path):
    network = narrow("fcn8s", (40, 40, 3))
    images = pictures((40, 40, 3))
    np.testing.assert_array_equal(reloaded(network, tmp_path / "fcn.keras")(images), network(images))


@pytest.mark.slow
def test_it_learns_eight_pictures_by_heart():
    assert learn("fcn8s_small", (32, 32, 1), 120, width=0.5) > 0.95


@pytest.mark.slow
def test_its_files_answer_as_it_does(tmp_path):
    network = settled(narrow("fcn8s", (40, 52, 3)))
    ours, phone, server = converted(network, tmp_path, pictures((40, 52, 3), 2))
    assert ours.std() > 0.01
    np.testing.assert_allclose(phone, ours, atol=1e-5)
    np.testing.assert_allclose(server, ours, atol=1e-5)
