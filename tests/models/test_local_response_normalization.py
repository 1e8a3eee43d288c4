"""The layer against the paper's formula in numpy, TensorFlow's own, differences, and its exported files."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import layers

SETTINGS = [{}, {"depth": 3, "k": 1.0, "alpha": 0.02, "beta": 0.5}, {"depth": 1, "alpha": 0.1}, {"depth": 9, "alpha": 0.01}]


def maps(*shape, seed=0):
    """Large enough that the paper's alpha of 1e-4 matters."""
    return np.random.default_rng(seed).normal(0, 60, shape).astype(np.float32)


def by_the_formula(x, depth=5, k=2.0, alpha=1e-4, beta=0.75):
    """Krizhevsky et al. 2012, section 3.3, channel by channel, in float64."""
    x, channels = x.astype(np.float64), x.shape[-1]
    result = np.empty_like(x)
    for i in range(channels):
        near = x[..., max(0, i - depth // 2) : min(channels - 1, i + depth // 2) + 1]
        result[..., i] = x[..., i] / (k + alpha * (near**2).sum(axis=-1)) ** beta
    return result


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("shape", [(2, 4, 3, 7), (1, 2, 2, 2), (5, 6)])
def test_it_computes_the_papers_formula(settings, shape):
    x = maps(*shape)
    layer = layers.LocalResponseNormalization(**settings)
    np.testing.assert_allclose(layer(x), by_the_formula(x, **settings), rtol=2e-6)
    assert np.abs(x - np.asarray(layer(x))).max() > 1, "nothing was normalised"


def test_it_equals_tensorflows_own():
    x = maps(2, 5, 5, 96)
    own = tf.nn.local_response_normalization(x, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)
    np.testing.assert_allclose(layers.LocalResponseNormalization()(x), own, rtol=2e-6)


@pytest.mark.parametrize("settings", SETTINGS)
def test_its_gradient_is_that_of_the_formula(settings):
    x, weights, step = maps(3, 7), maps(3, 7, seed=1), 1e-3
    variable = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        total = tf.reduce_sum(layers.LocalResponseNormalization(**settings)(variable) * weights)
    differences = np.empty_like(x, np.float64)
    for place in np.ndindex(x.shape):
        moved = np.zeros_like(x, np.float64)
        moved[place] = step
        up, down = (by_the_formula(x + sign * moved, **settings) for sign in (1, -1))
        differences[place] = ((up - down) * weights).sum() / (2 * step)
    np.testing.assert_allclose(tape.gradient(total, variable), differences, rtol=1e-4, atol=1e-4)


def test_a_gradient_passes_where_all_is_zero():
    x = tf.zeros((1, 2, 2, 8))
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(layers.LocalResponseNormalization()(x))
    np.testing.assert_allclose(tape.gradient(total, x), np.full(x.shape, 2.0**-0.75), rtol=1e-6)


@pytest.mark.parametrize(("dtype", "digits"), [("bfloat16", 2**-8), ("float16", 2**-11)])
def test_half_precision_loses_digits_of_the_result_alone(dtype, digits):
    x = np.asarray(keras.ops.cast(keras.ops.cast(maps(2, 3, 3, 16) * 20, dtype), "float32"))  # squares over float16's largest
    result = layers.LocalResponseNormalization(dtype=keras.DTypePolicy(f"mixed_{dtype}"))(x)
    assert result.dtype.name == dtype
    np.testing.assert_allclose(keras.ops.cast(result, "float32"), by_the_formula(x), rtol=1.1 * digits)


@pytest.mark.parametrize("depth", [0, 4, -3])
def test_a_depth_without_a_middle_is_refused(depth):
    with pytest.raises(ValueError, match=f"depth {depth} is no odd number"):
        layers.LocalResponseNormalization(depth)


def test_its_settings_are_saved_with_it():
    settings = {"depth": 3, "k": 1.0, "alpha": 0.02, "beta": 0.5}
    layer = layers.LocalResponseNormalization(**settings, name="conv1_lrn")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(again(maps(2, 7)), layer(maps(2, 7)))


def test_pictures_may_have_any_size():
    image = keras.Input((None, None, 8))
    network = keras.Model(image, layers.LocalResponseNormalization()(image))
    for x in (maps(1, 3, 4, 8), maps(2, 6, 5, 8)):
        np.testing.assert_allclose(network(x), by_the_formula(x), rtol=2e-6)


def test_phones_get_it_in_operators_that_every_runtime_has():
    from ai_edge_litert.interpreter import Interpreter

    x = maps(1, 6, 6, 16)
    layer = layers.LocalResponseNormalization()
    graph = tf.function(layer, input_signature=[tf.TensorSpec(x.shape)]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(result, by_the_formula(x), rtol=1e-5)


def test_onnx_gets_it_in_standard_operators():
    import onnxruntime
    import tf2onnx

    x = maps(3, 6, 6, 16)
    layer = layers.LocalResponseNormalization()
    model, _ = tf2onnx.convert.from_function(tf.function(layer), [tf.TensorSpec((None, 6, 6, 16), name="x")], opset=17)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], by_the_formula(x), rtol=1e-5)
