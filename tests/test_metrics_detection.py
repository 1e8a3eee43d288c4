"""Boxes measured: against a slow evaluation of our own, and cases that can be counted by hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.metrics.detection import SURE, agreement, confusion, measure, overlaps, threshold

NAMES = ("cat", "dog", "cow")
LEFT, RIGHT = [0.1, 0.1, 0.5, 0.4], [0.3, 0.5, 0.9, 0.8]  # two boxes apart
CAT, DOG, COW = 0, 1, 2


def outputs(*pictures, most=8):
    """Of pictures as lists of (box, class, score)."""
    found = {"boxes": (most, 4), "classes": (most,), "scores": (most,)}
    found = {name: np.zeros((len(pictures), *shape), np.float32) for name, shape in found.items()}
    for i, boxes in enumerate(pictures):
        for j, (box, kind, score) in enumerate(boxes):
            found["boxes"][i, j], found["classes"][i, j], found["scores"][i, j] = box, kind, score
    return found | {"count": np.array([len(boxes) for boxes in pictures], np.float32)}


def truths(*pictures, most=4):
    """Of pictures as lists of (box, class) or (box, class, ignored)."""
    labels = np.zeros((len(pictures), most, 6), np.float32)
    labels[..., 4] = -1
    for i, boxes in enumerate(pictures):
        for j, (box, kind, *ignored) in enumerate(boxes):
            labels[i, j] = [*box, kind, *(ignored or [0])]
    return labels


def moved(box, share):
    """The box moved right by a share of its width: its IoU with itself is (1 - share) / (1 + share)."""
    top, left, bottom, right = box
    step = share * (right - left)
    return [top, left + step, bottom, right + step]


def test_boxes_that_are_right_have_a_precision_of_one():
    figures = measure(outputs([(LEFT, CAT, 0.9)], [(RIGHT, DOG, 0.8)]), truths([(LEFT, CAT)], [(RIGHT, DOG)]), NAMES)
    assert [figures[key] for key in ("map50", "map", "map75", "f1", "pictures", "boxes")] == [1, 1, 1, 1, 2, 2]
    assert figures["classes"]["dog"] == {"ap50": 1, "ap": 1, "precision": 1, "recall": 1, "f1": 1, "boxes": 1}
    assert np.array_equal(figures["confusion"], np.diag([1, 1, 0, 0]))
    assert json.loads(json.dumps(figures)) == figures


def test_a_class_without_a_truth_has_no_part_in_the_means():
    figures = measure(outputs([(LEFT, CAT, 0.9), (RIGHT, COW, 0.3)]), truths([(LEFT, CAT)]), NAMES)
    assert (figures["map50"], figures["classes"]["cow"]["ap50"], figures["classes"]["cow"]["boxes"]) == (1, None, 0)
    assert list(figures["curves"]) == ["cat"]
    assert figures["curves"]["cat"] == [1.0] * 101


@pytest.mark.parametrize(("share", "map50", "mean"), [(0.1, 1, 0.7), (0.2, 1, 0.4), (0.3, 1, 0.1), (0.4, 0, 0)])
def test_a_box_that_is_off_counts_at_the_overlaps_it_reaches(share, map50, mean):
    figures = measure(outputs([(moved(LEFT, share), CAT, 0.9)]), truths([(LEFT, CAT)]), NAMES)
    assert (figures["map50"], figures["map"]) == (map50, mean)  # IoU .818, .667, .538 and .429


def test_a_second_box_on_a_truth_is_wrong():
    once = measure(outputs([(LEFT, CAT, 0.9)], [(RIGHT, CAT, 0.5)]), truths([(LEFT, CAT)], [(RIGHT, CAT)]), NAMES)
    twice = measure(
        outputs([(LEFT, CAT, 0.9), (LEFT, CAT, 0.8)], [(RIGHT, CAT, 0.5)]), truths([(LEFT, CAT)], [(RIGHT, CAT)]), NAMES
    )
    assert once["map50"] == 1
    assert twice["map50"] == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-6)  # the second truth comes after a wrong box
    assert twice["confusion"][3][CAT] == 1
    assert twice["classes"]["cat"]["precision"] == pytest.approx(2 / 3, abs=1e-6)


def test_what_was_not_found_costs_recall():
    figures = measure(outputs([(LEFT, CAT, 0.9)]), truths([(LEFT, CAT), (RIGHT, CAT)]), NAMES)
    assert figures["map50"] == pytest.approx(51 / 101, abs=1e-6)
    assert figures["classes"]["cat"]["recall"] == 0.5
    assert figures["confusion"][CAT] == [1, 0, 0, 1]


def test_ignored_truths_are_neither_asked_for_nor_held_against_anybody():
    plain = measure(outputs([(LEFT, CAT, 0.9)]), truths([(LEFT, CAT)]), NAMES)
    for ignored in ([(LEFT, CAT, 0.9), (RIGHT, CAT, 0.95)], [(LEFT, CAT, 0.9)]):
        found = measure(outputs(ignored), truths([(LEFT, CAT), (RIGHT, CAT, 1)]), NAMES)
        assert {**found, "score": 0} == {**plain, "score": 0}


def test_a_picture_without_boxes_counts_as_a_picture():
    figures = measure(outputs([], [(LEFT, CAT, 0.9)]), truths([], [(LEFT, CAT)]), NAMES)
    assert (figures["map50"], figures["pictures"]) == (1, 2)
    nothing = measure(outputs([], []), truths([], []), NAMES)
    assert (nothing["map50"], nothing["map"], nothing["map75"], nothing["boxes"]) == (0, 0, None, 0)


def test_sizes_are_shares_of_the_picture():
    small, medium, large = [0, 0, 0.049, 0.05], [0.2, 0.2, 0.3, 0.3], [0.5, 0.5, 0.9, 0.9]
    labels = truths([(small, CAT), (medium, CAT), (large, CAT)])
    figures = measure(outputs([(small, CAT, 0.8), (medium, CAT, 0.9)]), labels, NAMES)
    assert [figures[f"map_{size}"] for size in ("small", "medium", "large")] == [1, 1, 0]


def test_boxes_taken_for_another_class_are_told_apart_from_missed_ones():
    found = outputs([(LEFT, DOG, 0.9), (moved(LEFT, 0.05), CAT, 0.6), (RIGHT, COW, 0.8)], [])
    labels = truths([(LEFT, CAT), (RIGHT, DOG)], [(LEFT, COW)])
    # The box of the truth's own class is its partner though another overlaps it more.
    assert confusion(found, labels, 3, 0.5).tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]]
    assert confusion(found, labels, 3, 0.85).tolist() == [[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_the_chosen_score_keeps_the_right_boxes_and_drops_the_wrong():
    rng = np.random.default_rng(0)
    right, wrong = rng.uniform(0.6, 0.9, 40), rng.uniform(0.05, 0.4, 200)
    pictures = [[(LEFT, CAT, sure)] + [(RIGHT, CAT, score) for score in wrong[5 * i : 5 * i + 5]] for i, sure in enumerate(right)]
    found = threshold(outputs(*pictures), truths(*[[(LEFT, CAT)]] * 40))
    assert found["probability"] == pytest.approx((wrong.max() + right.min()) / 2, abs=0.002)
    assert (found["f1"], found["pictures"]) == (1, 40)


def test_the_chosen_score_has_the_best_mean_f1_of_any():
    found, labels = crowd(7, pictures=12)
    chosen = threshold(found, labels)

    def mean_f1(score):
        kept = {**found, "scores": np.where(found["scores"] >= score, found["scores"], 0)}
        kept["count"] = (kept["scores"] > 0).sum(axis=1)
        order = np.argsort(-kept["scores"], axis=1, kind="stable")
        kept = kept | {name: np.take_along_axis(kept[name], order, 1) for name in ("classes", "scores")}
        kept["boxes"] = np.take_along_axis(kept["boxes"], order[..., None], 1)
        counts = [slow_matches(kept, labels, number, 0.5) for number in range(3)]
        return np.mean([2 * right.sum() / (len(right) + real) for right, _, real in counts if real])

    best = max(mean_f1(score) for score in np.unique(found["scores"]))
    assert chosen["f1"] == pytest.approx(best, abs=1e-6)
    assert mean_f1(chosen["probability"]) == pytest.approx(best, abs=1e-9)


def test_networks_agree_on_the_boxes_that_both_have():
    ours = outputs([(LEFT, CAT, 0.9), (RIGHT, DOG, 0.8)], [(LEFT, COW, 0.7)])
    assert agreement(ours, ours) == 1
    otherwise = outputs([(moved(LEFT, 0.02), CAT, 0.4), (RIGHT, CAT, 0.8)], [(moved(LEFT, 0.1), COW, 0.7)])
    assert agreement(ours, otherwise) == agreement(otherwise, ours) == pytest.approx(1 / 3, abs=1e-6)
    assert agreement(ours, outputs([], [])) == 0
    assert agreement(outputs([], []), outputs([], [])) == 1


def test_a_box_that_is_hardly_there_needs_no_partner_but_can_be_one():
    ours = outputs([(LEFT, CAT, 0.9), (RIGHT, DOG, SURE - 0.01)])
    assert agreement(ours, outputs([(LEFT, CAT, SURE - 0.01)])) == 1


def crowd(seed, pictures=6):
    """Random truths of three classes, some ignored, and boxes near them, on others' or nowhere, with scores that all differ."""
    rng = np.random.default_rng(seed)
    told, asked = [], []
    for _ in range(pictures):
        real = []
        for _ in range(rng.integers(0, 5)):
            top, left = rng.uniform(0, 0.6, 2)
            height, width = rng.uniform(0.02, 0.4, 2)
            real.append(([top, left, top + height, left + width], int(rng.integers(3)), int(rng.random() < 0.15)))
        boxes = []
        for box, kind, _ in real:
            for _ in range(rng.integers(0, 3)):
                off = np.sort((np.array(box) + rng.normal(0, 0.02, 4)).reshape(2, 2), axis=0).reshape(4)
                boxes.append((off, kind if rng.random() < 0.8 else int(rng.integers(3)), 0.0))
        for _ in range(rng.integers(0, 3)):
            boxes.append(([0.1, 0.1, *rng.uniform(0.2, 0.9, 2)], int(rng.integers(3)), 0.0))
        told.append([(box, kind, rng.random() * 0.99 + 0.005) for box, kind, _ in boxes])
        asked.append(real)
    return outputs(*told, most=12), truths(*asked)


def slow_matches(found, labels, number, least):
    """Whether every box of a class is right, the surest first, as COCO pairs them; their scores; and how many truths are real."""
    rows, real = [], 0
    for i in range(len(labels)):
        mine = labels[i][labels[i, :, 4] == number].astype(np.float64)
        real += int((mine[:, 5] == 0).sum())
        free = np.ones(len(mine), bool)
        own = [j for j in range(int(found["count"][i])) if found["classes"][i, j] == number]
        for j in sorted(own, key=lambda j: -found["scores"][i, j]):
            box = found["boxes"][i, j].astype(np.float64)
            shared = [slow_overlap(truth[:4], box, crowd=truth[5] > 0) for truth in mine]
            good = [k for k in range(len(mine)) if free[k] and mine[k, 5] == 0 and shared[k] >= least]
            if good:
                free[max(good, key=lambda k: shared[k])] = False
            elif any(mine[k, 5] and shared[k] >= least for k in range(len(mine))):
                continue
            rows.append((found["scores"][i, j], bool(good)))
    rows.sort(key=lambda row: -row[0])
    return np.array([right for _, right in rows], bool), np.array([score for score, _ in rows]), real


def slow_overlap(truth, box, crowd=False):
    height = min(truth[2], box[2]) - max(truth[0], box[0])
    width = min(truth[3], box[3]) - max(truth[1], box[1])
    shared = max(height, 0) * max(width, 0)
    areas = [(one[2] - one[0]) * (one[3] - one[1]) for one in (truth, box)]
    whole = areas[1] if crowd else sum(areas) - shared
    return shared / whole if whole > 0 else 0.0


def slow_precision(found, labels, number, least):
    """The area under the curve that never rises, at 101 recalls."""
    right, _, real = slow_matches(found, labels, number, least)
    if not real:
        return None
    recall = np.cumsum(right) / real
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    return np.mean([max(precision[recall >= wanted - 1e-12], default=0.0) for wanted in np.arange(101) / 100])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_figures_are_those_of_a_slow_evaluation_of_our_own(seed):
    found, labels = crowd(seed)
    figures = measure(found, labels, NAMES)
    slow = {name: [slow_precision(found, labels, c, iou) for iou in np.arange(0.5, 0.96, 0.05)] for c, name in enumerate(NAMES)}
    for name, row in figures["classes"].items():
        if slow[name][0] is None:
            assert row["ap50"] is None
            continue
        assert row["ap50"] == pytest.approx(slow[name][0], abs=1e-5)
        assert row["ap"] == pytest.approx(np.mean(slow[name]), abs=1e-5)
        assert np.mean(figures["curves"][name]) == pytest.approx(slow[name][0], abs=1e-4)
        right, scores, real = slow_matches(found, labels, NAMES.index(name), 0.5)
        kept = right[scores >= figures["score"]]
        assert row["boxes"] == real
        assert row["recall"] == pytest.approx(kept.sum() / real, abs=1e-6)
        assert row["precision"] == pytest.approx(kept.mean() if len(kept) else 0, abs=1e-6)
    known = [values for values in slow.values() if values[0] is not None]
    assert figures["map50"] == pytest.approx(np.mean([values[0] for values in known]) if known else 0, abs=1e-5)
    assert figures["map"] == pytest.approx(np.mean(known) if known else 0, abs=1e-5)


@given(st.integers(0, 10**6))
def test_the_confusion_has_every_truth_in_its_row(seed):
    found, labels = crowd(seed)
    counts = confusion(found, labels, 3, 0.3)
    assert [row.sum() for row in counts[:3]] == [((labels[..., 4] == c) & (labels[..., 5] == 0)).sum() for c in range(3)]
    told = (found["scores"] >= 0.3) & (np.arange(12) < found["count"][:, None])
    assert counts[:, :3].sum() <= told.sum()


def test_overlaps_are_those_of_a_slow_loop():
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 1, (2, 9, 2, 2))
    boxes.sort(axis=2)
    first, second = boxes.reshape(2, 9, 4)
    np.testing.assert_allclose(overlaps(first, second), [[slow_overlap(a, b) for b in second] for a in first], atol=1e-12)
    assert overlaps(np.zeros((1, 4)), np.zeros((1, 4))) == 0


def test_a_score_that_was_chosen_elsewhere_decides_what_is_told():
    found, true = outputs([(LEFT, CAT, 0.9), (RIGHT, CAT, 0.6)]), truths([(LEFT, CAT), (RIGHT, CAT)])
    own, strict = measure(found, true, NAMES), measure(found, true, NAMES, 0.8)
    assert own["f1"] == 1
    assert (strict["score"], strict["classes"]["cat"]["recall"], strict["classes"]["cat"]["precision"]) == (0.8, 0.5, 1)
    assert strict["f1"] == pytest.approx(2 / 3, abs=1e-6)
    assert strict["confusion"][CAT][-1] == 1
    assert strict["map50"] == own["map50"]


def test_where_nothing_is_right_a_quarter_is_asked_for():
    assert threshold(outputs([(LEFT, CAT, 0.9)]), truths([(RIGHT, CAT)])) == {"probability": 0.25, "f1": 0, "pictures": 1}
