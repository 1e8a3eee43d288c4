import keras
import numpy as np
import pytest
import tensorflow as tf

from app.data.targets.overfeat import encoder
from app.deploy import inference_model
from app.explain.inspect import inspect
from app.train.losses.overfeat import OverFeat
from models.overfeat import FAST, SMALL, overfeat, parse_scales
from models.registry import get_model
from models.saved import load_network
from tests.models.built import outlined, pictures
from tests.models.rectangles import map50_of, outputs_of_files, rectangles

# Sermanet et al. 2014, table 1: the maps of one window.
MAPS = {
    "conv1": (56, 56, 96), "pool1": (28, 28, 96), "conv2": (24, 24, 256), "pool2": (12, 12, 256), "conv3": (12, 12, 512),
    "conv4": (12, 12, 1024), "conv5": (12, 12, 1024), "pool5": (6, 6, 1024), "fc6": (1, 1, 3072), "fc7": (1, 1, 4096),
    "logits": (1, 1, 1001), "box6": (1, 1, 4096), "box7": (1, 1, 1024), "edges": (1, 1, 4),
}  # fmt: skip
FORMS = {"overfeat": FAST, "overfeat_small": SMALL}


def narrow(name="overfeat_small", shape=(64, 64, 3), classes=3, **options):
    keras.utils.set_random_seed(0)
    full = {"width": 0.03125} if name == "overfeat" else {}
    return get_model(name).build(shape, classes, **full, **options)


def windows_of(network):
    return network.get_layer("predictions").windows()


@pytest.mark.parametrize("name", FORMS)
def test_what_the_table_of_models_says_is_what_is_built(name):
    found, spec = inspect(name), get_model(name)
    assert (found.trainable_parameters, found.parameters - found.trainable_parameters) == (spec.parameters, spec.fixed_parameters)
    assert found.macs == spec.macs


def test_one_window_has_the_maps_the_parameters_and_the_connections_of_the_paper():
    rows = {row.name: row for row in inspect("overfeat", options={"scales": "1"}).layers}
    assert {name: rows[name].output_shape for name in MAPS} == MAPS
    classifier = [row for name, row in rows.items() if name[:3] not in ("box", "edg")]
    background = 4096 + 1
    assert sum(row.parameters for row in classifier) - background == 145_920_872  # 145 million
    assert sum(row.macs for row in classifier) == pytest.approx(2_810e6, rel=0.005)  # 2,810 million
    regressor = (36 * 1024 + 1) * 4096 + (4096 + 1) * 1024 + (1024 + 1) * 4
    assert get_model("overfeat").parameters == 145_920_872 + background + regressor
    assert (FAST.window, FAST.stride) == (231, 32)


def test_the_pyramid_has_the_sizes_of_the_paper():
    network = outlined("overfeat")
    heights = [level[0] for level in network.get_layer("predictions").levels]
    np.testing.assert_allclose(heights, [245, 281, 317, 389, 425, 461], atol=1)
    assert [level[3] for level in network.get_layer("predictions").levels] == [1, 2, 3, 5, 7, 8]


@pytest.mark.parametrize(
    ("name", "shape"), [("overfeat_small", (128, 128, 3)), ("overfeat_small", (70, 100, 1)), ("overfeat", (60, 90, 3))]
)
def test_every_window_has_an_answer(name, shape):
    network = narrow(name, shape, scales="1.1,1.5" if name == "overfeat" else "")
    layer, form = network.get_layer("predictions"), FORMS[name]
    for (height, width, margin, rows, columns), grid in zip(layer.levels, layer.input[::2], strict=True):
        assert grid.shape[1:3] == (rows, columns)
        for side, count in ((height, rows), (width, columns)):
            left = side + margin - ((count - 1) * form.stride + form.window - margin)
            assert -form.stride < left <= (0 if margin else form.stride - 1), "the last window reaches the edge"
    assert network.output.shape == (None, len(windows_of(network)), 4 + 3 + 1)
    assert np.isfinite(network(pictures(shape, 2))).all()


def test_windows_lie_where_they_look():
    """A bright square at one place of a picture changes the answers of the windows that cover it, and of no others."""
    network = narrow(shape=(128, 128, 1))
    dark = np.full((1, 128, 128, 1), 60, np.float32)
    bright = dark.copy()
    bright[:, 40:44, 90:94] = 255
    changed = np.abs(np.asarray(network(bright)) - np.asarray(network(dark)))[0].max(axis=1) > 1e-7
    windows = windows_of(network)
    blur = 2.5  # pixels to either side that resizing mixes
    near = ((windows[:, :2] < (44 + blur, 94 + blur)) & (windows[:, 2:] > (40 - blur, 90 - blur))).all(axis=1)
    inside = ((windows[:, :2] < (40, 90)) & (windows[:, 2:] > (44, 94))).all(axis=1)
    assert not changed[~near].any()
    assert changed[inside].mean() > 0.95


def test_sliding_by_convolution_is_cutting_out_every_window():
    """The grid of a picture is the classifier's answer to each of its windows, one after the other."""
    form = SMALL._replace(margin=0)
    keras.utils.set_random_seed(0)
    whole = overfeat(form, (56, 64, 3), 3, scales=f"{56 / form.window}")
    single = overfeat(form, (form.window, form.window, 3), 3, scales="1")
    for layer in whole.layers:
        if layer.weights:
            rng = np.random.default_rng(len(layer.name))
            layer.set_weights([np.abs(rng.normal(0.1, 0.1, weight.shape)) for weight in layer.weights])
            single.get_layer(layer.name).set_weights(layer.get_weights())
    image = pictures((56, 64, 3), 1)
    found, places = np.asarray(whole(image))[0], windows_of(whole).round().astype(int)
    assert len(places) == 9 * 11
    cut = np.stack([image[0, top:bottom, left:right] for top, left, bottom, right in places])
    answers = np.asarray(single(cut))[:, 0]
    np.testing.assert_allclose(found[:, 4:], answers[:, 4:], rtol=1e-4)
    np.testing.assert_allclose(found[:, :4], answers[:, :4] + np.tile(places[:, :2], 2), rtol=1e-4)


def test_all_levels_have_the_same_weights():
    counts = [narrow(scales=scales).count_params() for scales in ("2", "2,1.5,1")]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("name", FORMS)
def test_every_weight_learns(name):
    network = narrow(name, scales="1.1" if name == "overfeat" else "")
    images, labels = rectangles(8)
    with tf.GradientTape() as tape:
        loss = keras.ops.mean(OverFeat(reduction=None)(encoder(network, 3)(labels), network(images, training=True)))
    weights = network.trainable_weights
    for weight, gradient in zip(weights, tape.gradient(loss, [w.value for w in weights]), strict=True):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path


def test_the_loss_is_that_of_its_formula():
    rng = np.random.default_rng(0)
    targets, found = rng.uniform(0, 60, (2, 40, 6)).astype(np.float32), rng.normal(0, 2, (2, 40, 8)).astype(np.float32)
    targets[..., 4], targets[..., 5] = 3, 20
    targets[0, :3, 4], targets[0, 3:7, 4] = [0, 2, 1], -1
    found[..., :4] = targets[..., :4] + rng.normal(0, 3, (2, 40, 4))
    answers = np.asarray(OverFeat(reduction=None)(targets, found))
    for picture in range(2):
        entropy = (
            np.log(np.exp(found[picture, :, 4:]).sum(axis=1))
            - found[picture, np.arange(40), 4 + targets[picture, :, 4].astype(int).clip(0)]
        )
        holds = (targets[picture, :, 4] >= 0) & (targets[picture, :, 4] < 3)
        hard = np.sort(entropy[targets[picture, :, 4] == 3])[::-1][: max(3 * holds.sum(), 8)]
        error = np.abs(found[picture, holds, :4] - targets[picture, holds, :4]) / 20
        boxes = np.where(error < 0.1, 5 * error**2, error - 0.05).sum()
        expected = (entropy[holds].sum() + 2 * boxes + hard.sum()) / max(holds.sum(), 1)
        assert answers[picture] == pytest.approx(expected, rel=1e-4)


def test_a_saved_network_answers_the_same(tmp_path):
    network = narrow(scales="2,1")
    network.save(tmp_path / "network.keras")
    loaded = load_network(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded(pictures((64, 64, 3))), network(pictures((64, 64, 3))))
    np.testing.assert_array_equal(windows_of(loaded), windows_of(network))


@pytest.mark.parametrize("text", ["0.5", "2,x", "2,,1", "nan", "1000"])
def test_other_scales_than_numbers_of_at_least_one_are_refused(text):
    assert parse_scales("4,2.25") == (4.0, 2.25)
    with pytest.raises(ValueError, match="are no numbers"):
        overfeat(SMALL, (64, 64, 3), 2, scales=text)


def test_scores_are_those_of_a_softmax_without_the_background():
    layer = narrow().get_layer("predictions")
    raw = np.array([[[-8, 16, 32, 96, 0.0, 2.0, 1.0, 3.0]]], np.float32)
    boxes, scores = (np.asarray(part) for part in layer.detections(raw))
    np.testing.assert_allclose(boxes, [[[0, 0.25, 0.5, 1]]])
    np.testing.assert_allclose(scores[0, 0], np.exp([0, 2, 1]) / np.exp([0, 2, 1, 3]).sum(), rtol=1e-5)


@pytest.mark.slow
def test_files_for_other_runtimes_find_the_same_boxes(tmp_path):
    model = inference_model(narrow(), "detection")
    image = rectangles(1)[0]
    expected = {name: np.asarray(values) for name, values in model(image).items()}
    for found in outputs_of_files(model, image, tmp_path):
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_eight_pictures_can_be_learnt_by_heart():
    images, labels = rectangles(8)
    network = narrow(scales="4,3,2.25,1.7,1.3")
    network.compile(keras.optimizers.Adam(3e-3), OverFeat())
    targets = encoder(network, 3)(labels)
    for _ in range(250):
        network.train_on_batch(images, targets)
    assert map50_of(network, images, labels) == pytest.approx(1)
