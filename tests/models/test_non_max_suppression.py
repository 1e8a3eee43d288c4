"""The layer against the loop over all boxes that everybody writes."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.layers.non_max_suppression import ROUNDS, NonMaxSuppression

SIDE = 16  # steps of a coordinate: fractions that float32 has exactly, so that both ways of counting meet a threshold alike
BOXES, CLASSES = 10, 3


def iou(one, other):
    height, width = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    common = max(height, 0) * max(width, 0)
    return common / max(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - common, 1e-12)


def by_loop(boxes, scores, candidates, most, score, overlap):
    """One picture: rows of class, score and box; the best first."""
    pairs = [(-scores[place, label], place, label) for place in range(len(boxes)) for label in range(scores.shape[1])]
    kept = []
    for negative, place, label in sorted(pairs)[:candidates]:
        rivals = [box for other, _, box in kept if other == label]
        if -negative > score and all(iou(boxes[place].astype(float), rival) <= overlap for rival in rivals):
            kept.append((label, -negative, boxes[place].astype(float)))
    return kept[:most]


def rows(answer, picture):
    count = int(answer["count"][picture])
    return [
        (int(answer["classes"][picture, n]), float(answer["scores"][picture, n]), np.asarray(answer["boxes"][picture, n]))
        for n in range(count)
    ]


def corners(draw_from):
    low, high = np.sort(draw_from, axis=-2)[..., 0, :], np.sort(draw_from, axis=-2)[..., 1, :]
    return (np.concatenate([low, high], axis=-1) / SIDE).astype(np.float32)


@st.composite
def scenes(draw, scores):
    batch = draw(st.sampled_from([1, 3]))
    flat = draw(st.lists(st.integers(0, SIDE), min_size=batch * BOXES * 4, max_size=batch * BOXES * 4))
    chosen = draw(scores(batch * BOXES * CLASSES))
    return corners(np.reshape(flat, (batch, BOXES, 2, 2))), np.reshape(chosen, (batch, BOXES, CLASSES)).astype(np.float32)


def all_different(count):
    return st.permutations(range(count)).map(lambda order: np.array(order) / count)


def many_alike(count):
    return st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.5, 0.9]), min_size=count, max_size=count)


@settings(max_examples=25, deadline=None)
@given(scenes(all_different), st.sampled_from([6, 20, 100]), st.sampled_from([4, 30]), st.sampled_from([0.25, 0.5]))
def test_it_gives_what_the_loop_gives(scene, candidates, most, overlap):
    answer = NonMaxSuppression(candidates, most, 0.2, overlap)(*scene)
    for picture, (boxes, scores) in enumerate(zip(*scene, strict=True)):
        expected, found = by_loop(boxes, scores, candidates, most, 0.2, overlap), rows(answer, picture)
        assert [row[:2] for row in found] == [(label, pytest.approx(score)) for label, score, _ in expected]
        np.testing.assert_array_equal([row[2] for row in found], [row[2] for row in expected])


@pytest.mark.parametrize("blocks", [(4, 26), (1, 29), (29, 1)])
@settings(max_examples=15, deadline=None)
@given(scene=scenes(all_different), candidates=st.sampled_from([7, 100]))
def test_it_gives_the_same_in_blocks(blocks, scene, candidates):
    layer = NonMaxSuppression(candidates, 30, 0.2, 0.4)
    layer.blocks = blocks
    answer = layer(*scene)
    for picture, (boxes, scores) in enumerate(zip(*scene, strict=True)):
        expected, found = by_loop(boxes, scores, candidates, 30, 0.2, 0.4), rows(answer, picture)
        assert [row[:2] for row in found] == [(label, pytest.approx(score)) for label, score, _ in expected]


def test_of_many_boxes_it_gives_what_the_loop_gives():
    """Twelve objects, each found from fifty places: more than two blocks hold, but not of those that the first leaves."""
    rng = np.random.default_rng(0)
    object_ = np.repeat(np.arange(12), 50)
    low = (np.stack([object_ // 4, object_ % 4], axis=-1) * 16 + rng.integers(0, 3, (600, 2))) / 64
    boxes = np.concatenate([low, low + 12 / 64], axis=-1)[None].astype(np.float32)
    scores = rng.permutation(1200).reshape(1, 600, 2).astype(np.float32) / 1200
    expected, found = by_loop(boxes[0], scores[0], 512, 200, 0.005, 0.45), rows(NonMaxSuppression()(boxes, scores), 0)
    assert len(expected) == 24  # every object with either class
    assert [row[:2] for row in found] == [(label, pytest.approx(score)) for label, score, _ in expected]


@settings(max_examples=25, deadline=None)
@given(scenes(many_alike))
def test_of_equal_scores_one_of_those_that_overlap_is_left(scene):
    answer = NonMaxSuppression(BOXES * CLASSES, BOXES * CLASSES, 0.2, 0.5)(*scene)
    for picture, (boxes, scores) in enumerate(zip(*scene, strict=True)):
        kept = rows(answer, picture)
        for number, (label, _, box) in enumerate(kept):
            assert not [other for other, _, rival in kept[:number] if other == label and iou(box, rival) > 0.5]
        for place, label in np.argwhere(scores > 0.2):
            box, score = boxes[place], scores[place, label]
            equal = [other for other, s, b in kept if other == label and s >= score and (iou(b, box) > 0.5 or (b == box).all())]
            assert equal, "a box is missing that nothing suppresses"


def test_what_lies_behind_the_count_is_zero():
    boxes = corners(np.random.default_rng(0).integers(0, SIDE, (2, BOXES, 2, 2)))
    scores = np.full((2, BOXES, CLASSES), 0.1, np.float32)
    scores[1, 4, 2] = 0.9
    answer = NonMaxSuppression(score=0.5)(boxes, scores)
    assert list(np.asarray(answer["count"])) == [0, 1]
    assert [int(np.count_nonzero(answer[name])) for name in ("scores", "classes")] == [1, 1]
    assert not np.asarray(answer["boxes"])[0].any()
    np.testing.assert_array_equal(answer["boxes"][1, 0], boxes[1, 4])


@pytest.mark.parametrize(("candidates", "most", "given"), [(512, 200, BOXES * CLASSES), (512, 7, 7), (5, 200, 5)])
def test_as_many_rows_as_asked_for_or_as_there_can_be(candidates, most, given):
    inputs = keras.Input((BOXES, 4)), keras.Input((BOXES, CLASSES))
    answer = NonMaxSuppression(candidates, most)(*inputs)
    shapes = {name: tensor.shape for name, tensor in answer.items()}
    assert shapes == {"boxes": (None, given, 4), "classes": (None, given), "scores": (None, given), "count": (None,)}
    assert {tensor.dtype for tensor in answer.values()} == {"float32"}


def test_a_chain_of_boxes_is_followed_as_far_as_it_is_told():
    """Each suppresses the next, so that every other one stays."""
    length = ROUNDS + 1
    start = np.arange(length, dtype=np.float32) / 64
    boxes = np.stack([np.zeros(length), start, np.ones(length), start + 1 / 16], axis=-1)[None].astype(np.float32)
    scores = np.linspace(0.9, 0.3, length, dtype=np.float32)[None, :, None]
    kept = rows(NonMaxSuppression(overlap=0.5)(boxes, scores), 0)
    assert len(kept) == len(by_loop(boxes[0], scores[0], 99, 99, 0.0, 0.5)) == -(-length // 2)


def test_it_is_made_again_from_its_settings():
    layer = NonMaxSuppression(12, 5, 0.3, 0.7, name="detections")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    assert (again.candidates, again.most, again.score, again.overlap) == (12, 5, 0.3, 0.7)


@pytest.mark.slow
def test_tflite_and_onnx_files_give_the_same_boxes(tmp_path):
    import onnxruntime
    import tensorflow as tf
    import tf2onnx
    from ai_edge_litert.interpreter import Interpreter

    rng = np.random.default_rng(0)
    places, classes = 300, 5
    inputs = keras.Input((places, 4), name="place"), keras.Input((places, classes), name="likely")
    model = keras.Model(inputs, NonMaxSuppression(200, 50, 0.1, 0.5)(*inputs))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = Interpreter(model_content=converter.convert())
    signature = [tf.TensorSpec((None, *tensor.shape[1:]), name=tensor.name) for tensor in inputs]
    onnx, _ = tf2onnx.convert.from_function(tf.function(lambda b, s: model([b, s]), signature), signature, opset=17)
    session = onnxruntime.InferenceSession(onnx.SerializeToString())
    for batch in (1, 3):
        boxes = corners(rng.uniform(0, SIDE, (batch, places, 2, 2)))
        scores = rng.uniform(0, 1, (batch, places, classes)).astype(np.float32)
        expected = {name: np.asarray(value) for name, value in model([boxes, scores]).items()}
        assert expected["count"].min() > 10
        for detail in interpreter.get_input_details():
            interpreter.resize_tensor_input(detail["index"], (boxes if detail["shape"][-1] == 4 else scores).shape)
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], boxes if detail["shape"][-1] == 4 else scores)
        interpreter.invoke()
        for outputs in (
            [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()],
            session.run(None, {"place": boxes, "likely": scores}),
        ):
            for name, values in expected.items():  # names of outputs are the converters'
                assert any(part.shape == values.shape and np.array_equal(part, values) for part in outputs), name
