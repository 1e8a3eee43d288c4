import numpy as np

from app.report.confusion import confused_pairs
from app.report.samples import find_mistakes, target_captions

CLASSES = ("cat", "dog", "cow")
PERCENT = "\N{NO-BREAK SPACE}%"


def test_the_surest_mistake_comes_first():
    probabilities = np.array([[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0, 0.0004, 0.9996], [0.98, 0.01, 0.01]])
    mistakes = find_mistakes(np.zeros((4, 2, 2, 1), np.uint8), np.array([0, 2, 1, 2]), probabilities)
    assert mistakes.total == 3
    assert mistakes.captions(CLASSES) == [
        f"is dog,\ntaken for cow, 99{PERCENT}",
        f"is cow,\ntaken for cat, 98{PERCENT}",
        f"is cow,\ntaken for dog, 70{PERCENT}",
    ]


def test_mixed_targets_are_told_with_their_shares():
    targets = np.array([[1, 0, 0], [0, 0.7, 0.3]], np.float32)
    assert target_captions(targets, CLASSES) == ["cat", f"dog 70{PERCENT} cow 30{PERCENT}"]


def test_label_smoothing_is_taken_out_of_targets_that_have_it():
    targets = np.array([[1, 0, 0], [0, 0.7, 0.3]], np.float32)
    told = target_captions(targets, CLASSES)
    assert target_captions(targets * 0.9 + 0.1 / 3, CLASSES, 0.1) == told
    assert target_captions(targets, CLASSES, 0.1) == told


def test_confused_pairs_are_the_most_frequent_mistakes():
    counts = np.array([[5, 3, 0], [1, 9, 0], [0, 0, 0]])
    pairs = confused_pairs(counts, CLASSES)
    assert [(pair.truth, pair.taken_for, pair.pictures) for pair in pairs] == [("cat", "dog", 3), ("dog", "cat", 1)]
    assert pairs[0].share == 3 / 8
