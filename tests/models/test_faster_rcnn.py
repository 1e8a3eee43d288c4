import keras
import numpy as np
import pytest
import tensorflow as tf

from app.deploy import inference_model, main_path
from app.explain.inspect import inspect
from app.train.checkpoint import load_state, save_state
from models.faster_rcnn import SMALL, faster_rcnn
from models.registry import get_model
from models.saved import load_network
from tests.models.built import outlined, pictures
from tests.models.rectangles import map50_of, outputs_of_files, rectangles

NAMES = ["faster_rcnn", "faster_rcnn_small"]


def narrow(name="faster_rcnn_small", shape=(64, 64, 3), classes=3, **options):
    keras.utils.set_random_seed(0)
    full = {"width": 0.0625} if name == "faster_rcnn" else {}
    return get_model(name).build(shape, classes, **full, **options)


def inputs(count=8):
    images, truth = rectangles(count)
    return {"image": images, "truth": truth}


class Same(keras.utils.PyDataset):
    """The same pictures as two batches, without targets."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return ({name: values[4 * index : 4 * index + 4] for name, values in inputs().items()},)


def test_its_parameters_are_those_of_vgg_and_four_heads():
    convolutions = sum((9 * before + 1) * after for before, after in [
        (3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512), *[(512, 512)] * 5,
    ])  # fmt: skip
    anchors = (9 * 512 + 1) * 512 + (512 + 1) * 9 + (512 + 1) * 36  # one score an anchor: section 3.1, first footnote
    hidden = (7 * 7 * 512 + 1) * 4096 + (4096 + 1) * 4096
    answers = (4096 + 1) * 21 + (4096 + 1) * 4 * 20
    assert convolutions == 14_714_688
    assert convolutions + anchors + hidden + answers == get_model("faster_rcnn").parameters == 137_057_234


@pytest.mark.parametrize("name", NAMES)
def test_what_the_table_of_models_says_is_what_is_built(name):
    found, spec = inspect(name), get_model(name)
    assert (found.trainable_parameters, found.parameters - found.trainable_parameters) == (spec.parameters, spec.fixed_parameters)
    assert (found.macs, found.auxiliary_parameters) == (spec.macs, 0)


def test_every_layer_of_vgg_d_but_its_logits_fits_by_name_and_shape():
    shapes = [
        {layer.name: [tuple(weight.shape) for weight in layer.weights] for layer in outlined(name).layers if layer.weights}
        for name in ("vgg_d", "faster_rcnn")
    ]
    assert shapes[0].keys() - shapes[1].keys() == set()
    assert [name for name in shapes[0] if shapes[0][name] != shapes[1][name]] == ["logits"]


def test_nine_anchors_of_the_paper_stand_at_every_place():
    network = outlined("faster_rcnn")
    sizes = np.array(network.get_layer("anchors").sizes)
    np.testing.assert_allclose(np.sqrt(sizes.prod(axis=1)), np.repeat([128, 256, 512], 3))
    np.testing.assert_allclose(sizes[:, 1] / sizes[:, 0], [0.5, 1, 2] * 3)
    assert network.get_layer("anchors").output.shape == (1, 38 * 50 * 9, 4)
    assert network.get_layer("proposals").output.shape == (None, 300, 4)
    assert network.output["predictions"].shape == (None, 300, 4 + 20)
    assert [tensor.shape[1] for tensor in network.get_layer("sampled").output] == [128, 128, 128]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(64, 64, 3), (72, 52, 1), (32, 32, 3)])
def test_answers_are_finite_inside_the_picture_and_sure_of_nothing_that_is_empty(name, shape):
    network = main_path(narrow(name, shape))
    predictions = np.asarray(network(pictures(shape, 2)))
    boxes, scores = (np.asarray(part) for part in network.get_layer("predictions").detections(predictions))
    assert predictions.shape == (2, boxes.shape[1], 4 + 3)
    assert np.isfinite(predictions).all()
    assert ((boxes >= 0) & (boxes <= 1 + 1e-6)).all()
    assert ((scores >= 0) & (scores < 1)).all()
    assert not scores[boxes[:, :, 2] == 0].any()


def test_answers_do_not_depend_on_the_true_boxes():
    network = narrow()
    known, other = inputs(), inputs()
    other["truth"] = np.roll(other["truth"], 1, axis=0)
    first, second = network(known), network(other)
    np.testing.assert_array_equal(first["predictions"], second["predictions"])
    assert (np.asarray(first["losses"]) != np.asarray(second["losses"])).any()
    np.testing.assert_array_equal(main_path(network)(known["image"]), first["predictions"])


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_learns_from_losses_that_are_inside(name):
    network = narrow(name)
    with tf.GradientTape() as tape:
        outputs = network(inputs(), training=True)
        loss = sum(network.losses)
    assert float(loss) == pytest.approx(float(np.asarray(outputs["losses"]).mean(axis=0).sum()), rel=1e-5)
    weights = network.trainable_weights
    for weight, gradient in zip(weights, tape.gradient(loss, [w.value for w in weights]), strict=True):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path


def test_it_is_compiled_without_a_loss_and_watched_by_the_same_sample_every_time():
    network = narrow()
    network.compile(keras.optimizers.Adam(1e-3), loss=None, run_eagerly=True)
    history = network.fit(Same(1), validation_data=Same(1), epochs=3, verbose=0, shuffle=False).history
    assert history["loss"][-1] < history["loss"][0]
    again = [network.evaluate(Same(1), verbose=0) for _ in range(2)]
    assert again[0] == again[1] == pytest.approx(history["val_loss"][-1])


def test_a_training_that_is_gone_on_with_draws_what_it_would_have_drawn(tmp_path):
    def fresh():
        network = narrow()
        network.compile(keras.optimizers.Adam(1e-3), loss=None, run_eagerly=True)
        return network

    whole, half = fresh(), fresh()
    whole.fit(Same(1), epochs=1, verbose=0, shuffle=False)
    save_state(tmp_path / "state.npz", whole, {})
    whole.fit(Same(1), epochs=1, verbose=0, shuffle=False)
    half.optimizer.build(half.trainable_variables)
    load_state(tmp_path / "state.npz", half)
    half.fit(Same(1), epochs=1, verbose=0, shuffle=False)
    for one, other in zip(whole.variables, half.variables, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
    generators = [variable for variable in whole.variables if "seed_generator" in variable.path]
    assert len(generators) == 2


def test_a_saved_network_answers_the_same(tmp_path):
    network = narrow(anchors="5x6,7x8,9x10,11x12,13x14,15x16,17x18,19x20,21x22")
    network.save(tmp_path / "network.keras")
    loaded = load_network(tmp_path / "network.keras")
    for name, values in network(inputs()).items():
        np.testing.assert_array_equal(loaded(inputs())[name], values)
    assert loaded.get_layer("anchors").sizes[0] == [5, 6]


def test_other_anchors_than_nine_sizes_are_refused():
    with pytest.raises(ValueError, match="not nine sizes"):
        faster_rcnn(SMALL, (64, 64, 3), 2, anchors="5x6")


def test_low_precision_stays_away_from_boxes_and_losses():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = narrow()
    finally:
        keras.config.set_dtype_policy("float32")
    exact = ("objectness", "offsets", "anchors", "proposals", "align", "sampled", "logits", "predictions", "losses")
    assert {network.get_layer(name).compute_dtype for name in exact} == {"float32"}
    assert network.get_layer("conv2").compute_dtype == network.get_layer("fc1").compute_dtype == "bfloat16"
    outputs = network(inputs(), training=True)
    assert {str(values.dtype.name) for values in outputs.values()} == {"float32"}
    assert np.isfinite(outputs["losses"]).all()


def test_a_picture_without_boxes_teaches_what_background_is():
    network = narrow()
    nothing = inputs(2)
    nothing["truth"][..., :4], nothing["truth"][..., 4] = 0, -1
    losses = np.asarray(network(nothing, training=True)["losses"])
    assert (losses[:, [0, 2]] > 0).all()
    assert (losses[:, [1, 3]] == 0).all()


@pytest.mark.slow
def test_files_for_other_runtimes_find_the_same_boxes(tmp_path):
    model = inference_model(narrow(), "detection")
    image = inputs(1)["image"]
    expected = {name: np.asarray(values) for name, values in model(image).items()}
    for found in outputs_of_files(model, image, tmp_path):
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_eight_pictures_can_be_learnt_by_heart():
    known = inputs()
    network = narrow()
    network.compile(keras.optimizers.Adam(2e-3, global_clipnorm=10.0), loss=None)
    for _ in range(200):
        network.train_on_batch(known)
    assert map50_of(main_path(network), known["image"], known["truth"]) == pytest.approx(1)
