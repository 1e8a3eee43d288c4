"""Anchors, proposals and samples against counting by loops."""

import keras
import numpy as np
import pytest

from models.layers.anchor_grid import AnchorGrid
from models.layers.proposal_losses import ProposalLosses
from models.layers.region_losses import RegionLosses
from models.layers.region_predictions import RegionPredictions
from models.layers.region_proposals import RegionProposals
from models.layers.region_sampling import RegionSampling

SIZE = (96, 128)
SIZES = [(24, 24), (16, 40)]
TRUTH = np.array(
    [
        [[10, 12, 40, 40, 3, 0], [50, 60, 90, 100, 1, 0], [0, 100, 30, 128, 2, 1], [0, 0, 0, 0, -1, 0]],
        [[0, 0, 0, 0, -1, 0]] * 4,
    ],
    np.float32,
) / [*SIZE, *SIZE, 1, 1]
TRUTH = TRUTH.astype(np.float32)


def grid():
    return np.asarray(AnchorGrid(8, SIZES)(np.zeros((1, 12, 16, 3), np.float32)))


def iou(one, other):
    """Of each of the first and each of the second: [N, M]."""
    common = (
        (np.minimum(one[:, None, 2:], other[None, :, 2:]) - np.maximum(one[:, None, :2], other[None, :, :2])).clip(0).prod(-1)
    )
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    return common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-9)


def pixels(rows):
    return rows[:, :4] * np.tile(SIZE, 2)


def test_anchors_stand_around_the_middle_of_every_place():
    found = grid()
    assert found.shape == (1, 12 * 16 * 2, 4)
    np.testing.assert_allclose(found[0, :2], [[4 - 12, 4 - 12, 4 + 12, 4 + 12], [4 - 20, 4 - 8, 4 + 20, 4 + 8]])
    np.testing.assert_allclose(found[0, 2] - found[0, 0], [0, 8, 0, 8])
    np.testing.assert_allclose(found[0, 32] - found[0, 0], [8, 0, 8, 0])


def by_loop(anchors, logits, offsets, candidates, most, overlap):
    """The proposals of one picture as everybody writes them."""
    sides = anchors[:, 2:] - anchors[:, :2]
    middle = (anchors[:, :2] + anchors[:, 2:]) / 2 + offsets[:, :2] * sides
    sides = sides * np.exp(offsets[:, 2:])
    boxes = np.concatenate([middle - sides / 2, middle + sides / 2], axis=1).clip(0, np.tile(SIZE, 2))
    kept = []
    for number in np.argsort(-logits, kind="stable")[:candidates]:
        if all(iou(boxes[number][None], boxes[other][None])[0, 0] <= overlap for other in kept):
            kept.append(number)
    return boxes[kept[:most]]


@pytest.mark.parametrize(("candidates", "most"), [(60, 20), (30, 30)])
def test_proposals_are_those_of_the_greedy_loop(candidates, most):
    rng = np.random.default_rng(candidates)
    anchors = grid()
    logits = rng.normal(size=(2, anchors.shape[1])).astype(np.float32)
    offsets = rng.normal(0, 0.3, (2, anchors.shape[1], 4)).astype(np.float32)
    layer = RegionProposals(SIZE, candidates, most, 0.7)
    # Heads have one map an anchor, offsets four: as rows and columns.
    found = np.asarray(layer([anchors, logits.reshape(2, 12, 16, 2), offsets.reshape(2, 12, 16, 8)]))
    assert found.shape == (2, most, 4)
    for picture in range(2):
        expected = by_loop(anchors[0], logits[picture], offsets[picture], candidates, most, 0.7)
        np.testing.assert_allclose(found[picture, : len(expected)], expected, atol=1e-3)
        assert not found[picture, len(expected) :].any()


def test_proposals_stay_inside_and_have_no_gradient():
    import tensorflow as tf

    offsets = tf.Variable(np.full((1, 12, 16, 8), 50, np.float32))
    with tf.GradientTape() as tape:
        boxes = RegionProposals(SIZE, 50, 10)([grid(), np.zeros((1, 12, 16, 2), np.float32), offsets])
    assert np.isfinite(boxes).all()
    assert (np.asarray(boxes) >= 0).all()
    assert (np.asarray(boxes) <= np.tile(SIZE, 2)).all()
    assert tape.gradient(boxes, offsets) is None


@pytest.mark.parametrize("training", [True, False])
def test_the_sample_of_anchors_keeps_its_bounds_and_its_quota(training):
    anchors = grid()
    layer = ProposalLosses(SIZE, samples=40, share=0.25, seed=1)
    positive, negative, boxes = (np.asarray(part) for part in layer.chosen(anchors, TRUTH, training=training))
    shared = iou(anchors[0], pixels(TRUTH[0]))
    learnt, ignored = shared[:, :2], shared[:, 2]
    nearest = (learnt == learnt.max(axis=0)).any(axis=1)
    assert 1 <= positive[0].sum() <= 10
    assert positive[0].sum() + negative[0].sum() == 40
    assert ((learnt.max(axis=1) >= 0.7) | nearest)[positive[0]].all()
    assert (learnt.max(axis=1) < 0.3)[negative[0]].all()
    assert (ignored < 0.3)[negative[0]].all()
    np.testing.assert_allclose(boxes[0][positive[0]], pixels(TRUTH[0])[learnt.argmax(axis=1)][positive[0]], rtol=1e-5)
    assert (positive[1].sum(), negative[1].sum()) == (0, 40), "a picture without a box is background"


def test_every_box_has_a_positive_anchor_however_little_they_share():
    truth = np.array([[[0.4, 0.1, 0.45, 0.9, 0, 0]]], np.float32)
    positive, negative, _ = (np.asarray(part)[0] for part in ProposalLosses(SIZE).chosen(grid(), truth))
    shared = iou(grid()[0], pixels(truth[0]))[:, 0]
    assert shared.max() < 0.3
    assert positive.sum() >= 1
    assert shared[positive] == pytest.approx(shared.max())
    assert not (positive & negative).any()


def test_training_draws_anew_and_watching_does_not():
    layer = ProposalLosses(SIZE, samples=40)
    drawn = [np.asarray(layer.chosen(grid(), TRUTH, training=training)[1]) for training in (True, True, False, False)]
    assert (drawn[0] != drawn[1]).any()
    assert (drawn[2] == drawn[3]).all()
    assert layer.generator.state in layer.variables, "resuming needs the generator's state"


def test_the_first_losses_are_those_of_the_formulas():
    anchors, rng = grid(), np.random.default_rng(0)
    logits = rng.normal(size=(2, 12, 16, 2)).astype(np.float32)
    moves = rng.normal(size=(2, 12, 16, 8)).astype(np.float32)
    layer = ProposalLosses(SIZE, samples=64)
    positive, negative, boxes = (np.asarray(part)[0] for part in layer.chosen(anchors, TRUTH))
    found = np.asarray(layer([anchors, logits, moves, TRUTH], training=False))[0]
    probability = 1 / (1 + np.exp(-logits[0].reshape(-1)))
    entropy = -np.log(probability[positive]).sum() - np.log(1 - probability[negative]).sum()
    sides = anchors[0, :, 2:] - anchors[0, :, :2]
    centre = ((boxes[:, :2] + boxes[:, 2:]) - (anchors[0, :, :2] + anchors[0, :, 2:])) / 2 / sides
    with np.errstate(divide="ignore"):
        wanted = np.concatenate([centre, np.log((boxes[:, 2:] - boxes[:, :2]) / sides)], axis=1)
    error = np.abs(moves[0].reshape(-1, 4) - wanted)[positive]
    smooth = np.where(error < 1 / 9, 4.5 * error**2, error - 1 / 18).sum()
    np.testing.assert_allclose(found, [entropy / 64, smooth / 64], rtol=1e-4)
    assert len(layer.losses) == 2


def regions(rng, count=40):
    first = rng.uniform(0, 80, (2, count, 2))
    near = np.concatenate([first, first + rng.uniform(8, 40, (2, count, 2))], axis=-1).clip(0, np.tile(SIZE, 2))
    near[0, :8] = pixels(TRUTH[0])[0] + rng.uniform(-3, 3, (8, 4))
    near[0, 8:20] = pixels(TRUTH[0])[2] - rng.uniform(0, 3, (12, 4)) * [-1, -1, 1, 1]  # on the ignored one
    near[:, -5:] = 0
    return near.astype(np.float32)


@pytest.mark.parametrize("training", [True, False])
def test_the_sample_of_regions_keeps_its_bounds_and_its_quota(training):
    proposals = regions(np.random.default_rng(0))
    layer = RegionSampling(SIZE, classes=5, samples=24, share=0.25, seed=3)
    found, labels, boxes = (np.asarray(part) for part in layer([proposals, TRUTH], training=training))
    shared = iou(found[0], pixels(TRUTH[0]))
    holds, empty = (labels[0] >= 0) & (labels[0] < 5), labels[0] == 5
    assert 1 <= holds.sum() <= 6
    assert (shared[:, :2].max(axis=1) >= 0.5)[holds].all()
    assert (shared[:, :3].max(axis=1) < 0.5)[empty].all()
    assert labels[0][holds].tolist() == TRUTH[0, shared[:, :2].argmax(axis=1), 4][holds].tolist()
    np.testing.assert_allclose(boxes[0][holds], pixels(TRUTH[0])[shared[:, :2].argmax(axis=1)][holds], rtol=1e-5)
    assert ((found[0][holds | empty][:, 2:] - found[0][holds | empty][:, :2]) > 0).all(), "padding is not learnt"
    assert set(labels[1]) == {5}, "a picture without a box is background"


def test_the_true_boxes_are_among_the_regions():
    layer = RegionSampling(SIZE, classes=5, samples=8, share=0.5)
    far = np.tile(np.array([0, 0, 5, 5], np.float32), (1, 8, 1))
    found, labels, _ = (np.asarray(part) for part in layer([far, TRUTH[:1]], training=True))
    true = {tuple(row.round()) for row in found[0][labels[0] < 5]}
    assert true == {(10, 12, 40, 40), (50, 60, 90, 100)}, "not the ignored one, and not padding"


def test_the_second_losses_are_those_of_the_formulas():
    rng = np.random.default_rng(1)
    layer = RegionSampling(SIZE, classes=5, samples=24)
    found, labels, boxes = (np.asarray(part) for part in layer([regions(rng), TRUTH]))
    logits, moves = rng.normal(size=(2, 24, 6)).astype(np.float32), rng.normal(size=(2, 24, 20)).astype(np.float32)
    losses = RegionLosses()
    answer = np.asarray(losses([logits, moves, found, labels, boxes]))[0]
    used = labels[0] >= 0
    probability = np.exp(logits[0]) / np.exp(logits[0]).sum(axis=1, keepdims=True)
    entropy = -np.log([probability[n, int(labels[0, n])] for n in np.flatnonzero(used)]).sum()
    smooth = 0.0
    for n in np.flatnonzero(used & (labels[0] < 5)):
        sides = found[0, n, 2:] - found[0, n, :2]
        centre = ((boxes[0, n, :2] + boxes[0, n, 2:]) - (found[0, n, :2] + found[0, n, 2:])) / 2 / sides
        wanted = np.concatenate([centre / 0.1, np.log((boxes[0, n, 2:] - boxes[0, n, :2]) / sides) / 0.2])
        error = np.abs(moves[0, n].reshape(5, 4)[int(labels[0, n])] - wanted)
        smooth += np.where(error < 1, error**2 / 2, error - 0.5).sum()
    np.testing.assert_allclose(answer, [entropy / used.sum(), smooth / used.sum()], rtol=1e-4)
    assert len(losses.losses) == 2


def test_a_region_has_the_box_of_its_likeliest_class():
    region = np.array([[[10, 20, 30, 60], [0, 0, 0, 0]]], np.float32)
    logits = np.array([[[0.0, 3.0, 1.0], [9.0, 0.0, 0.0]]], np.float32)  # two classes and the background
    moves = np.zeros((1, 2, 8), np.float32)
    moves[0, 0, :4], moves[0, 0, 4:] = 7, (1, 0, 5 * np.log(2), 0)  # in tenths and fifths
    layer = RegionPredictions(SIZE)
    found = np.asarray(layer([logits, moves, region]))
    boxes, scores = (np.asarray(part) for part in layer.detections(found))
    np.testing.assert_allclose(boxes[0, 0], [2 / 96, 20 / 128, 42 / 96, 60 / 128], rtol=1e-5)
    np.testing.assert_allclose(scores[0, 0], np.exp([0, 3]) / np.exp([0, 3, 1]).sum(), rtol=1e-5)
    assert not scores[0, 1].any(), "an empty region is nothing"


def test_configurations_make_the_same_layers():
    made = [
        AnchorGrid(8, SIZES), RegionProposals(SIZE, 9, 4, 0.6), ProposalLosses(SIZE, 30, 0.4, 0.6, 0.2, 5),
        RegionSampling(SIZE, 7, 30, 0.3, 0.4, 5), RegionLosses(), RegionPredictions(SIZE),
    ]  # fmt: skip
    for layer in made:
        twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
        assert twin.get_config() == layer.get_config()
