"""Metrics and answers of finished outputs."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from app.answers import Answer, Label, classification
from app.metrics import classification as metrics
from app.objectives import OBJECTIVES


@st.composite
def outcomes(draw):
    """Probabilities without ties, and labels; not every class has a picture."""
    pictures, classes = draw(st.integers(1, 60)), draw(st.integers(2, 12))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    sharpness = draw(st.sampled_from([0.1, 1.0, 10.0]))
    probabilities = rng.dirichlet(np.full(classes, sharpness), pictures) + rng.uniform(1e-9, 1e-6, (pictures, classes))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities, rng.integers(0, draw(st.integers(1, classes)), pictures)


def names(probabilities):
    return [f"class {c}" for c in range(probabilities.shape[1])]


@given(outcomes())
def test_figures_are_those_of_scikit_learn(outcome):
    probabilities, labels = outcome
    classes = list(range(probabilities.shape[1]))
    figures = metrics.measure({"probabilities": probabilities}, labels, names(probabilities))
    chosen = probabilities.argmax(axis=1)
    precision, recall, f1, support = sklearn.precision_recall_fscore_support(labels, chosen, labels=classes, zero_division=0)
    for c, row in enumerate(figures["classes"].values()):
        found = [row["precision"], row["recall"], row["f1"], row["pictures"]]
        np.testing.assert_allclose(found, [precision[c], recall[c], f1[c], support[c]], atol=1e-6)
    assert figures["accuracy"] == pytest.approx(sklearn.accuracy_score(labels, chosen), abs=1e-6)
    assert figures["macro_f1"] == pytest.approx(f1.mean(), abs=1e-6)
    assert figures["loss"] == pytest.approx(sklearn.log_loss(labels, probabilities, labels=classes), abs=1e-5)
    assert figures["pictures"] == len(labels)
    np.testing.assert_array_equal(figures["confusion"], sklearn.confusion_matrix(labels, chosen, labels=classes))


@given(outcomes())
def test_top5_counts_the_pictures_whose_class_is_among_the_five_likeliest(outcome):
    probabilities, labels = outcome
    figures = metrics.measure({"probabilities": probabilities}, labels, names(probabilities))
    among = [label in np.argsort(-row)[:5] for row, label in zip(probabilities, labels, strict=True)]
    assert figures["top5"] == pytest.approx(np.mean(among), abs=1e-6)


@given(outcomes())
def test_the_calibration_error_is_that_of_a_slow_loop(outcome):
    probabilities, labels = outcome
    error = 0.0
    for lower in range(15):
        inside = [
            i for i, row in enumerate(probabilities) if lower <= row.max() * 15 < lower + 1 or (lower == 14 and row.max() >= 1)
        ]
        if inside:
            sure = np.mean([probabilities[i].max() for i in inside])
            right = np.mean([probabilities[i].argmax() == labels[i] for i in inside])
            error += len(inside) / len(labels) * abs(sure - right)
    assert metrics.calibration_error(probabilities, labels) == pytest.approx(error, abs=1e-9)


def test_a_network_that_is_sure_and_right_has_no_calibration_error():
    assert metrics.calibration_error(np.eye(4), np.arange(4)) == 0
    assert metrics.calibration_error(np.eye(4), np.array([1, 2, 3, 0])) == 1


def test_agreement_is_the_share_of_pictures_with_one_likeliest_class():
    ours, theirs = {"probabilities": np.eye(4)}, {"probabilities": np.eye(4)[[0, 1, 2, 0]]}
    assert metrics.agreement(ours, theirs) == 0.75


@given(outcomes(), st.integers(1, 15))
def test_answers_are_the_likeliest_classes_in_their_order(outcome, top):
    probabilities, _ = outcome
    answers = classification({"probabilities": probabilities}, names(probabilities), top)
    assert len(answers) == len(probabilities)
    for answer, row in zip(answers, probabilities, strict=True):
        order = np.argsort(-row)[:top]
        assert [label.label for label in answer.labels] == [f"class {c}" for c in order]
        assert [label.probability for label in answer.labels] == [pytest.approx(row[c], abs=1e-6) for c in order]


def test_among_equally_likely_classes_the_first_is_named_as_accuracy_counts_it():
    answer = classification({"probabilities": np.full((1, 3), 1 / 3)}, ["a", "b", "c"], 1)[0]
    assert answer.labels[0].label == "a"
    assert metrics.accuracy(np.full((2, 3), 1 / 3), np.array([0, 1])) == 0.5


def test_an_answer_is_json_of_plain_values():
    answer = classification({"probabilities": np.array([[0.25, 0.75]], np.float32)}, ["a", "b"], 2)[0]
    assert answer == Answer((Label("b", 0.75), Label("a", 0.25)))
    labels = [{"label": "b", "probability": 0.75}, {"label": "a", "probability": 0.25}]
    assert answer.to_json() == {"labels": labels, "none_of_these": False}


BOX = np.array([0.1, 0.2, 0.6, 0.7], np.float32)
RIGHT = {  # outputs that are right about every one of three pictures, and what is true of these
    "classification": ({"probabilities": np.eye(3, dtype=np.float32)}, np.arange(3)),
    "detection": (
        {
            "boxes": np.tile(BOX, (3, 1, 1)),
            "classes": np.arange(3, dtype=np.float32)[:, None],
            "scores": np.full((3, 1), 0.9, np.float32),
            "count": np.ones(3, np.float32),
        },
        np.stack([[np.concatenate([BOX, [c, 0]])] for c in range(3)]).astype(np.float32),
    ),
    "segmentation": (
        {"masks": np.eye(3, dtype=np.float32)[np.arange(48).reshape(3, 4, 4) % 3]},
        np.arange(48, dtype=np.uint8).reshape(3, 4, 4) % 3,
    ),
}


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=lambda objective: objective.name)
def test_every_objective_measures_and_answers_its_own_outputs(objective):
    outputs, labels = RIGHT[objective.name]
    assert set(outputs) == set(objective.outputs)
    figures = objective.measure(outputs, labels, ["a", "b", "c"])
    assert figures[objective.metric] == 1
    assert figures["pictures"] == 3
    assert json.loads(json.dumps(figures)) == figures
    assert objective.measure(objective.kept(outputs), labels, ["a", "b", "c"]) == figures
    assert objective.agreement(outputs, objective.kept(outputs)) == 1
    probability = objective.threshold(outputs, labels).get("probability", 0.0)
    answers = objective.answer(outputs, ["a", "b", "c"], None, probability)
    assert len(answers) == 3
    assert all(json.loads(json.dumps(answer.to_json())) == answer.to_json() for answer in answers)


def test_a_threshold_keeps_the_right_answers_of_pictures_not_trained_on():
    right, wrong = np.linspace(0.5, 1, 1000), np.linspace(0.51, 0.8, 100)
    likeliest = np.concatenate([right, wrong])
    outputs = {"probabilities": np.stack([likeliest, 1 - likeliest], axis=1)}
    found = metrics.threshold(outputs, np.repeat([0, 1], [1000, 100]))
    assert found["probability"] == pytest.approx(0.505, abs=1e-3)
    assert found["right_kept"] == pytest.approx(0.99, abs=2e-3)
    assert (found["wrong_refused"], found["pictures"]) == (0.0, 1100)
    surer = {
        "probabilities": np.stack([np.concatenate([right / 2 + 0.5, wrong]), 1 - np.concatenate([right / 2 + 0.5, wrong])], 1)
    }
    assert metrics.threshold(surer, np.repeat([0, 1], [1000, 100]))["wrong_refused"] == pytest.approx(
        (wrong < 0.7525).mean(), abs=0.02
    )


def test_a_threshold_stays_below_what_a_file_of_integers_can_say():
    found = metrics.threshold({"probabilities": np.tile([1.0, 0.0], (50, 1))}, np.zeros(50, int))
    most = {"probabilities": np.array([[255 / 256, 1 / 256]])}
    assert not classification(most, "ab", 1, found["probability"])[0].none_of_these
    assert classification({"probabilities": np.array([[0.9, 0.1]])}, "ab", 1, found["probability"])[0].none_of_these
