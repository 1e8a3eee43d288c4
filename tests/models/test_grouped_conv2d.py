"""Convolution in groups, against Keras' own."""

import keras
import numpy as np
import pytest

from models.layers.grouped_conv2d import GroupedConv2D


@pytest.mark.parametrize(
    ("groups", "strides", "padding", "dilation"), [(2, 1, "same", 1), (3, 2, "valid", 1), (2, 1, "valid", 2)]
)
def test_it_is_keras_convolution_of_the_same_groups(groups, strides, padding, dilation):
    import tensorflow as tf

    image = tf.constant(np.random.default_rng(0).normal(size=(2, 9, 8, 6)).astype(np.float32))
    settings = {"strides": strides, "padding": padding, "dilation_rate": dilation, "groups": groups}
    ours, theirs = GroupedConv2D(12, 3, **settings), keras.layers.Conv2D(12, 3, **settings)
    theirs.build(image.shape)
    ours.build(image.shape)
    ours.set_weights([np.random.default_rng(seed).normal(size=weight.shape) for seed, weight in enumerate(theirs.weights)])
    theirs.set_weights(ours.get_weights())
    answers = []
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch(image)
            answer = layer(image)
            loss = tf.reduce_sum(answer**2)
        answers.append([answer, *tape.gradient(loss, [image, layer.kernel.value])])
    for one, other in zip(*answers, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    assert ours.compute_output_shape(image.shape) == answers[0][0].shape


def test_its_graph_has_no_function_that_other_runtimes_would_lack():
    import tensorflow as tf

    layer = GroupedConv2D(4, 3, groups=2)
    layer.build((None, 8, 8, 4))
    graph = tf.function(lambda x: layer(x)).get_concrete_function(tf.TensorSpec((None, 8, 8, 4))).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert "Conv2D" in kinds
    assert not [kind for kind in kinds if "Call" in kind]
