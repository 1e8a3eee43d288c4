"""How good probabilities of classes are. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

CALIBRATION_BINS = 15
RIGHT_KEPT = 0.99  # of the pictures answered rightly, that a threshold keeps
HIGHEST = 0.99  # of thresholds: a file of integers knows steps of 1/256, and no probability nearer to 1 than one of them


def measure(outputs: dict[str, np.ndarray[Any, Any]], labels: np.ndarray[Any, Any], classes: Sequence[str]) -> dict[str, Any]:
    """Accuracy, top-5 accuracy, loss, calibration error, and precision, recall and F1 of each class.

    Shapes: probabilities [N, classes], labels int [N].
    Source: the expected calibration error of Guo et al. 2017, 15 equal bins.
    """
    probabilities = outputs["probabilities"].astype(np.float64)
    counts = confusion(probabilities, labels, len(classes))
    own = probabilities[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(len(classes)) < labels[:, None]  # of equal ones, the first class is answered first
    rank = ((probabilities > own) | ((probabilities == own) & earlier)).sum(axis=1)
    precision = _ratio(np.diag(counts), counts.sum(axis=0))
    recall = _ratio(np.diag(counts), counts.sum(axis=1))
    f1 = _ratio(2 * precision * recall, precision + recall)
    return {
        "accuracy": accuracy(probabilities, labels),
        "top5": round(float((rank < 5).mean()), 6),
        "loss": round(float(-np.log(probabilities[np.arange(len(labels)), labels].clip(1e-12)).mean()), 6),
        "calibration_error": round(calibration_error(probabilities, labels), 6),
        "macro_f1": round(float(f1.mean()), 6),
        "pictures": len(labels),
        "classes": {
            name: {
                "precision": round(float(precision[c]), 6),
                "recall": round(float(recall[c]), 6),
                "f1": round(float(f1[c]), 6),
                "pictures": int(counts[c].sum()),
            }
            for c, name in enumerate(classes)
        },
        "confusion": counts.tolist(),
    }


def accuracy(probabilities: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> float:
    """Share of pictures whose likeliest class is the right one."""
    return round(float((probabilities.argmax(axis=1) == labels).mean()), 6)


def confusion(probabilities: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], classes: int) -> np.ndarray[Any, Any]:
    """How often class i (row) was taken for class j (column).

    Shapes: [N, classes], [N] -> int [classes, classes].
    """
    pairs = labels.astype(np.int64) * classes + probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def calibration_error(probabilities: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> float:
    """Mean gap between how sure the network was and how often it was right, weighted over equal bins of confidence."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def threshold(outputs: dict[str, np.ndarray[Any, Any]], labels: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The probability below which a picture is said to be none of the classes, and what it does to these pictures.

    The highest that keeps 99 % of the right answers. Gives `probability`, the shares `right_kept` and `wrong_refused`, and
    `pictures`. The pictures have to be ones that the network was not trained on.

    Shapes: probabilities [N, classes], labels int [N].
    Source: the baseline of Hendrycks and Gimpel 2017: the likeliest class's probability.
    """
    probabilities = outputs["probabilities"].astype(np.float64)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    lowest = float(np.quantile(confidence[right], 1 - RIGHT_KEPT, method="lower")) if right.any() else 0.0
    chosen = min(HIGHEST, np.floor(lowest * 1e4) / 1e4)  # a rounded one would refuse the picture that it was taken from
    return {
        "probability": float(chosen),
        "right_kept": _share(confidence[right] >= chosen),
        "wrong_refused": _share(confidence[~right] < chosen),
        "pictures": len(labels),
    }


def agreement(ours: dict[str, np.ndarray[Any, Any]], theirs: dict[str, np.ndarray[Any, Any]]) -> float:
    """Share of pictures on which two sets of outputs have the same likeliest class."""
    first, second = (outputs["probabilities"].argmax(axis=1) for outputs in (ours, theirs))
    return round(float((first == second).mean()), 6)


def _share(which: np.ndarray[Any, Any]) -> float:
    return round(float(which.mean()), 6) if len(which) else 0.0


def _ratio(top: np.ndarray[Any, Any], bottom: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    ratio: np.ndarray[Any, Any] = np.divide(top, bottom, out=np.zeros(len(top)), where=bottom > 0)
    return ratio
