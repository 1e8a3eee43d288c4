import keras
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.explain.kinds import fields
from app.explain.receptive_field import Window
from models.sizes import margins, output_size, transposed_size

WIDE = (88, 80, 1)  # pixels: the field of a stack lies inside, so that no edge hides a part of it
side, kernel, stride, dilation = (st.integers(1, limit) for limit in (40, 7, 4, 3))
padding = st.sampled_from(["valid", "same"])


def conv(extent, strides=1, padding="valid", dilation=1):
    ones = {"kernel_initializer": "ones", "use_bias": False}
    return keras.layers.Conv2D(1, extent, strides, padding, dilation_rate=dilation, **ones)


@st.composite
def layers(draw):
    """A layer that moves over the picture, with weights that hide nothing: every pixel that it sees changes its output."""
    steps, zeros = draw(st.integers(1, 3)), draw(padding)
    # TensorFlow crashes in the gradient of a kernel that is shorter than its stride.
    pair = draw(st.tuples(st.integers(steps, 4), st.integers(steps, 4)))
    ones = {"kernel_initializer": "ones", "use_bias": False}
    return draw(
        st.sampled_from(
            [
                conv(pair, steps, zeros),
                conv(pair, 1, zeros, dilation=2),
                keras.layers.AveragePooling2D(pair, steps, zeros),
                keras.layers.DepthwiseConv2D(pair, steps, zeros, depthwise_initializer="ones", use_bias=False),
                keras.layers.SeparableConv2D(
                    1, pair, steps, zeros, depthwise_initializer="ones", pointwise_initializer="ones", use_bias=False
                ),
                keras.layers.Conv2DTranspose(1, pair, steps, zeros, **ones),
                keras.layers.UpSampling2D(pair),
                keras.layers.UpSampling2D(steps, interpolation="bilinear"),
                keras.layers.ZeroPadding2D((pair, (steps, 0))),
                keras.layers.Cropping2D((pair, (0, steps))),
                keras.layers.Activation("relu"),
            ]
        )
    )


def network(stack, branch=()):
    image = keras.Input(WIDE)
    x = image
    for layer in stack:
        if min(x.shape[1:3]) < 8 or max(x.shape[1:3]) > 300:
            break
        x = layer(x)
    for layer in branch:
        x = keras.layers.Add()([conv(3, padding="same")(x), layer(x)])
    return keras.Model(image, x)


def pixels_that_matter(model, row, column):
    """First and last row and column of the pixels with a gradient at one position of the output."""
    import tensorflow as tf

    picture = tf.ones((1, *WIDE))
    with tf.GradientTape() as tape:
        tape.watch(picture)
        answer = tf.reduce_sum(model(picture)[:, row, column])
    gradient = np.asarray(tape.gradient(answer, picture))[0, :, :, 0]
    rows, columns = np.nonzero(gradient)
    return ((rows.min(), rows.max()), (columns.min(), columns.max())) if len(rows) else None


def compare_with_gradients(model, positions=3):
    *_, (step, (height, width)) = fields(model)
    middle = [side // 2 for side in step.outputs[0].shape[1:3]]
    compared = 0
    for shift in range(positions):
        row, column = (min(place + shift, side - 1) for place, side in zip(middle, step.outputs[0].shape[1:3], strict=True))
        spans = height.span(row), width.span(column)
        inside = all(0 <= first <= last < side for (first, last), side in zip(spans, WIDE, strict=False))
        if inside:
            assert pixels_that_matter(model, row, column) == spans
            assert height.size >= spans[0][1] - spans[0][0] + 1
            compared += 1
    return compared


@given(side, kernel, stride, padding, dilation)
def test_the_size_of_an_output_is_keras(side, kernel, stride, padding, dilation):
    stride = 1 if dilation > 1 else stride  # Keras takes one of them only
    wanted = output_size(side, kernel, stride, padding, dilation)
    assume(wanted > 0)
    assert conv(kernel, stride, padding, dilation).compute_output_shape((1, side, side, 1))[1] == wanted


@given(side, kernel, stride, st.integers(0, 3), dilation)
def test_the_size_of_a_padded_output_is_the_number_of_places_that_the_kernel_has(side, kernel, stride, zeros, dilation):
    length = dilation * (kernel - 1) + 1
    places = range(-zeros, side + zeros - length + 1, stride)
    assume(len(places))
    assert output_size(side, kernel, stride, zeros, dilation) == len(places)


@given(side, kernel, stride, padding, dilation)
def test_the_size_of_a_transposed_output_is_keras(side, kernel, stride, padding, dilation):
    stride = 1 if dilation > 1 else stride
    layer = keras.layers.Conv2DTranspose(1, kernel, stride, padding, dilation_rate=dilation)
    assert layer.compute_output_shape((1, side, side, 1))[1] == transposed_size(side, kernel, stride, padding, dilation)


@given(side, kernel, stride, dilation)
def test_same_padding_is_as_small_as_it_can_be(side, kernel, stride, dilation):
    before, after = margins(side, kernel, stride, "same", dilation)
    places = -(-side // stride)
    assert 0 <= after - before <= 1
    assert output_size(side + before + after, kernel, stride, "valid", dilation) == places or before == after == 0
    if after:
        assert output_size(side + before + after - 1, kernel, stride, "valid", dilation) < places


@settings(max_examples=60)
@given(st.lists(layers(), min_size=1, max_size=5))
def test_a_receptive_field_is_where_the_gradient_is(stack):
    assume(compare_with_gradients(network(stack)))


@settings(max_examples=15)
@given(st.lists(layers(), max_size=2), st.integers(1, 6), st.integers(1, 3))
def test_a_sum_sees_what_any_of_its_parts_sees(stack, extent, dilation):
    branch = [conv((extent, 2), padding="same", dilation=dilation)]
    assume(compare_with_gradients(network(stack, branch)))


def test_fields_grow_by_the_kernel_less_one_times_the_jump():
    window = Window().through(7, 2, 3).through(3, 2, 1).through(3, 1, 1)
    assert (window.size, window.jump, window.start) == (7 + 2 * 2 + 2 * 4, 4, -3 - 2 - 4)


def test_what_a_transposed_convolution_sees_depends_on_where():
    halves = Window().through(2, 2).through_transposed(3, 2)
    assert [halves.span(index) for index in range(4)] == [(-2, 1), (0, 1), (0, 3), (2, 3)]
    assert (halves.size, halves.jump) == (4, 1)


def test_maps_that_do_not_keep_step_see_everything_together():
    assert Window().through(2, 2).joined(Window()) is None


def test_after_a_reshape_the_size_is_known_and_the_place_is_not():
    loose = Window().through(5).adrift()
    assert loose.size == 5
    assert loose.through(1) == loose
    assert loose.through(3) is None
    assert loose.joined(Window().through(9)).size == 9
