import json
import re
import subprocess
import sys

import keras
import pytest

from app.errors import UserError
from app.explain import inspect as module
from app.explain.graph import skeleton
from app.explain.inspect import inspect, rows_of
from models.layers import MinPooling2D
from models.layers.map_table_conv2d import MapTableConv2D
from models.layers.radial_basis import RadialBasis
from models.layers.subsampling2d import Subsampling2D
from models.registry import get_model
from models.spec import ModelSpec

APPLICATIONS = keras.applications
# Parameters as the library has them; multiply-adds of the papers' tables; the fields of Araujo et al. 2019, table 1.
PUBLISHED = (
    (APPLICATIONS.VGG16, 138_357_544, 15.47e9, "block5_pool", 212),
    (APPLICATIONS.ResNet50, 25_636_712, 3.86e9, "conv5_block3_out", 483),
    (APPLICATIONS.MobileNet, 4_253_864, 569e6, "conv_pw_13_relu", 315),
)
SLOW = (
    (APPLICATIONS.VGG19, 143_667_240, 19.63e9, "block5_pool", 268),
    (APPLICATIONS.ResNet152, 60_419_944, 11.28e9, "conv5_block3_out", 1507),
    (APPLICATIONS.InceptionV3, 23_851_784, 2.84e9, "mixed10", 1311),
)


def spec_of(build, shape=(32, 32, 3), **more):
    settings = {"name": "given", "title": "Given", "year": 2000, "paper": "", "parameters": 0, "macs": 0, **more}
    return ModelSpec(build=build, input_shape=shape, **settings)


def rows(*layers, shape=(32, 32, 3)):
    """The rows of a chain of layers, without the input's."""
    image = x = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return rows_of(keras.Model(image, x))[1:]


def named(rows, name):
    return next(row for row in rows if row.name == name)


@pytest.fixture
def registered(monkeypatch):
    """Makes `inspect` find networks that are not in the registry."""

    def register(build, shape=(32, 32, 3), **more):
        monkeypatch.setattr(module, "find_model", lambda name: spec_of(build, shape, **more))
        return build

    return register


def test_lenet5_is_the_table_of_its_paper():
    layers = {row.name: row for row in inspect("lenet5").layers}
    assert {name: layers[name].output_shape for name in ("c1", "s2", "c3", "s4", "c5", "f6")} == {
        "c1": (28, 28, 6), "s2": (14, 14, 6), "c3": (10, 10, 16), "s4": (5, 5, 16), "c5": (1, 1, 120), "f6": (84,),
    }  # fmt: skip
    assert [layers[name].parameters for name in ("c1", "c3", "c5", "f6", "logits")] == [156, 2416, 48_120, 10_164, 850]
    assert [layers[name].macs for name in ("c1", "c3", "c5", "f6", "logits")] == [117_600, 240_000, 48_000, 10_080, 840]
    assert [layers[name].receptive_field[0] for name in ("c1", "s2", "c3", "s4", "c5")] == [5, 6, 14, 16, 32]
    assert layers["c1"].activation_bytes == 28 * 28 * 6 * 4


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [("lenet5", 61_706, 416_520), ("cnn", 421_642, 4_241_152), ("mlp", 101_770, 101_632)],
)
def test_totals_are_those_computed_by_hand(name, parameters, macs):
    found = inspect(name)
    assert (found.parameters, found.trainable_parameters, found.macs) == (parameters, parameters, macs)


@pytest.mark.parametrize(
    ("build", "parameters", "macs", "last", "field"),
    [*PUBLISHED, *(pytest.param(*row, marks=pytest.mark.slow) for row in SLOW)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_known_networks_have_their_figures(build, parameters, macs, last, field):
    spec = spec_of(lambda shape, classes: build(weights=None, input_shape=shape, classes=classes))
    found = rows_of(skeleton(spec, (224, 224, 3), 1000, {}))
    assert sum(row.parameters for row in found) == parameters
    assert sum(row.macs for row in found) == pytest.approx(macs, rel=2e-3)
    assert named(found, last).receptive_field == (field, field)
    assert found[-1].sees_all


@pytest.mark.parametrize("name", ["lenet5", "cnn", "gru"])
def test_a_skeleton_has_the_rows_of_the_whole_network(name):
    spec = get_model(name)
    bones = skeleton(spec, spec.input_shape, spec.classes, {})
    assert all(weight._value is None for weight in bones.weights)
    assert rows_of(bones)[1:] == rows_of(spec.build(spec.input_shape, spec.classes))[1:]


def test_a_skeleton_leaves_nothing_to_be_filled_later():
    program = """
import resource, keras
from app.explain.graph import skeleton
from models.spec import ModelSpec
build = lambda shape, classes: keras.applications.VGG19(weights=None, input_shape=shape, classes=classes)
spec = ModelSpec(name='', title='', year=0, paper='', build=build, input_shape=(224, 224, 3), parameters=0, macs=0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
network = skeleton(spec, (224, 224, 3), 1000, {})
with keras.StatelessScope():
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100, "the weights take 548 MiB"


def test_multiply_adds_of_convolutions_are_counted_by_use_of_the_kernel():
    conv, grouped, depthwise, separable, transposed = rows(
        keras.layers.Conv2D(8, 3, padding="same"),
        keras.layers.Conv2D(8, 3, 2, "same", groups=4),
        keras.layers.DepthwiseConv2D(3, depth_multiplier=2, dilation_rate=2),
        keras.layers.SeparableConv2D(5, (1, 3)),
        keras.layers.Conv2DTranspose(3, 4, 2, "same"),
    )
    assert conv.macs == 32 * 32 * 3 * 3 * 3 * 8
    assert grouped.macs == 16 * 16 * 3 * 3 * 2 * 8
    assert (depthwise.output_shape, depthwise.macs) == ((12, 12, 16), 12 * 12 * 3 * 3 * 16)
    assert (separable.output_shape, separable.macs) == ((12, 10, 5), 12 * 10 * (3 * 16 + 16 * 5))
    assert (transposed.output_shape, transposed.macs) == ((24, 20, 3), 12 * 10 * 4 * 4 * 5 * 3)
    assert (grouped.kernel, grouped.strides, depthwise.dilation) == ((3, 3), (2, 2), (2, 2))


def test_dense_layers_act_on_each_position():
    on_maps, _, on_steps, _, on_vector = rows(
        keras.layers.Dense(4),
        keras.layers.Reshape((64, 64)),
        keras.layers.Dense(2),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    )
    assert (on_maps.macs, on_maps.receptive_field) == (32 * 32 * 3 * 4, (1, 1))
    assert (on_steps.macs, on_steps.sees_all) == (64 * 64 * 2, False)
    assert (on_vector.macs, on_vector.sees_all, on_vector.receptive_field) == (128 * 10, True, (32, 32))


@pytest.mark.parametrize(
    ("layer", "macs", "parameters"),
    [
        (keras.layers.SimpleRNN(5), 7 * (6 * 5 + 5 * 5), 6 * 5 + 5 * 5 + 5),
        (keras.layers.LSTM(5), 7 * 4 * (6 * 5 + 5 * 5), 4 * (6 * 5 + 5 * 5 + 5)),
        (keras.layers.GRU(5), 7 * 3 * (6 * 5 + 5 * 5), 3 * (6 * 5 + 5 * 5 + 5 + 5)),
        (keras.layers.GRU(5, reset_after=False), 7 * 3 * (6 * 5 + 5 * 5), 3 * (6 * 5 + 5 * 5 + 5)),
        (keras.layers.Bidirectional(keras.layers.LSTM(5)), 2 * 7 * 4 * (6 * 5 + 5 * 5), 2 * 4 * (6 * 5 + 5 * 5 + 5)),
    ],
)
def test_recurrent_layers_multiply_at_every_step(layer, macs, parameters):
    steps, found = rows(keras.layers.Reshape((7, 6)), layer, shape=(7, 6, 1))
    assert (steps.receptive_field, steps.sees_all) == ((1, 6), False), "a step is a row of pixels"
    assert (found.macs, found.parameters, found.sees_all) == (macs, parameters, True)


def test_normalisation_and_pooling_multiply_nothing():
    norm, pooled, small, whole = rows(
        keras.layers.BatchNormalization(), keras.layers.MaxPooling2D(3, 2), MinPooling2D(2), keras.layers.GlobalMaxPooling2D()
    )
    assert (norm.parameters, norm.trainable_parameters) == (12, 6)
    assert {row.macs for row in (norm, pooled, small, whole)} == {0}
    assert [row.receptive_field for row in (norm, pooled, small)] == [(1, 1), (3, 3), (5, 5)]
    assert whole.sees_all


def test_layers_of_our_own_follow_the_same_rules():
    _, sub, table = rows(
        keras.layers.Conv2D(6, 5),
        Subsampling2D(2),
        MapTableConv2D([[n % 6 for n in range(i, i + 4)] for i in range(15)]),
        shape=(32, 32, 1),
    )
    assert (sub.macs, sub.parameters, sub.receptive_field) == (0, 12, (6, 6))
    assert (table.output_shape, table.macs, table.parameters) == ((10, 10, 15), 100 * 60 * 25, 60 * 25 + 15)
    assert table.receptive_field == (14, 14)
    _, codes = rows(keras.layers.Flatten(), RadialBasis([[1.0] * 12] * 10), shape=(2, 2, 3))
    assert (codes.macs, codes.parameters, codes.trainable_parameters, codes.sees_all) == (120, 120, 0, True)


def test_a_layer_that_nobody_knows_gets_sane_numbers():
    class Mixed(keras.layers.Layer):
        """Its attributes say something other than what it does."""

        pool_size = (3, 3)

        def build(self, input_shape):
            self.scale = self.add_weight(shape=(32, 32, 3), name="scale")

        def call(self, inputs):
            return keras.ops.transpose(inputs[:, :9] * self.scale[:9], (0, 2, 1, 3))

    class Counted(keras.layers.Layer):
        def call(self, inputs):
            return inputs

        def macs(self, input_shape, output_shape):
            return 1000 * output_shape[-1]

    counted, mixed = rows(Counted(), Mixed())
    assert counted.macs == 3000
    assert counted.receptive_field == (1, 1)
    assert (mixed.output_shape, mixed.parameters, mixed.macs, mixed.sees_all) == ((32, 9, 3), 32 * 32 * 3, 0, True)


def test_a_merge_sees_what_any_branch_sees():
    image = keras.Input((32, 32, 3))
    wide = keras.layers.Conv2D(4, (1, 7), padding="same", name="wide")(image)
    tall = keras.layers.Conv2D(4, (5, 1), padding="same", name="tall")(image)
    joined = keras.layers.Concatenate(name="joined")([wide, tall])
    short_cut = joined[:, ::2, ::2]
    strided = keras.layers.Conv2D(8, 3, 2, "same", name="strided")(joined)
    total = keras.layers.Add(name="total")([strided, short_cut])
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(total)
    found = rows_of(keras.Model(image, keras.layers.Multiply(name="gated")([total, gate])))
    assert named(found, "joined").receptive_field == (5, 7)
    assert next(row for row in found if row.kind == "GetItem").receptive_field == (5, 7)
    assert named(found, "total").receptive_field == (7, 9)
    assert named(found, "gated").sees_all


def test_shared_weights_are_counted_once_and_multiplied_twice():
    image, shared = keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 3, padding="same", name="shared")
    found = rows_of(keras.Model(image, shared(shared(image))))[1:]
    assert [row.parameters for row in found] == [84, 0]
    assert [row.macs for row in found] == [8 * 8 * 81] * 2
    assert [row.receptive_field for row in found] == [(3, 3), (5, 5)]


def test_a_model_inside_a_model_is_opened():
    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="inside")], name="inner")
    image = keras.Input((8, 8, 3))
    found = rows_of(keras.Model(image, keras.layers.Flatten(name="flat")(inner(image))))
    assert named(found, "inside").macs == 6 * 6 * 27 * 4
    assert sum(row.parameters for row in found) == 27 * 4 + 4
    assert named(found, "flat").receptive_field == (3, 3)


def test_heads_for_training_are_told_apart(registered):
    def build(shape, classes):
        image = keras.Input(shape)
        x = keras.layers.Conv2D(4, 3, name="trunk")(image)
        x = keras.layers.Flatten()(x)
        outputs = {"auxiliary": keras.layers.Dense(classes, name="auxiliary")(x)}
        return keras.Model(image, outputs | {"logits": keras.layers.Dense(classes, name="logits")(x)})

    registered(build, (8, 8, 1))
    found = inspect("given")
    assert [row.name for row in found.layers if row.parameters] == ["trunk", "logits"]
    assert found.auxiliary_parameters == 36 * 4 * 10 + 10
    assert f"{found.auxiliary_parameters:,}" in found.text


def test_half_precision_takes_half_the_memory():
    image = keras.Input((8, 8, 3))
    half = keras.layers.Conv2D(4, 3, dtype="mixed_bfloat16")(image)
    full, *_, halved = rows_of(keras.Model(image, half))
    assert (full.activation_bytes, halved.activation_bytes) == (8 * 8 * 3 * 4, 6 * 6 * 4 * 2)


def test_published_figures_are_shown_only_where_they_belong():
    assert "published" in inspect("lenet5").text
    assert inspect("lenet5", options={"pooling": "average"}).paper is not None
    for other in (inspect("lenet5", 48), inspect("lenet5", classes=3), inspect("lenet5", options={"activation": "maxout"})):
        assert other.paper is None
        assert "published" not in other.text


def test_the_table_fits_130_columns():
    for name in ("googlenet", "vgg_e", "resnet50"):
        assert max(map(len, inspect(name).text.splitlines())) <= 130
    assert re.search(r"MACs +416,520 +0\.42 M +416,520", inspect("lenet5").text)


def test_json_has_what_scripts_read():
    found = inspect("cnn", 30).to_json()
    assert {"name", "objective", "input_shape", "parameters", "trainable_parameters", "macs", "layers"} <= set(found)
    assert (found["name"], found["input_shape"], found["paper"]) == ("cnn", [30, 30, 1], None)
    assert sum(row["macs"] for row in found["layers"]) == found["macs"]
    assert found["layers"][2]["receptive_field"] == [3, 3]
    assert json.loads(json.dumps(found)) == found


def test_height_and_width_may_differ():
    found = inspect("unet_small", (32, 48))
    assert found.input_shape == (32, 48, 3)
    assert found.layers[-1].output_shape == (32, 48, 11)


def test_what_cannot_be_built_is_told(registered):
    with pytest.raises(UserError, match=r"no model 'lenet6'; did you mean lenet5"):
        inspect("lenet6")
    for size in (8, -1):
        with pytest.raises(UserError, match=rf"--image-size {size} is too small for lenet5; the smallest is 28"):
            inspect("lenet5", size)
    registered(lambda shape, classes: keras.layers.Conv2D(1, 5)(keras.Input(shape)))
    with pytest.raises(UserError, match=r"given cannot be built for 4x4 pictures: "):
        inspect("given", 4)
