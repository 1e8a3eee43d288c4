"""The kinds of question a network answers. A row each: its finished outputs, its metrics, and its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app import answers
from app.metrics import classification, detection, segmentation

Array = np.ndarray[Any, Any]
Outputs = dict[str, Array]


@dataclass(frozen=True)
class Objective:
    """What the stages need to know of a kind of question.

    Args:
        outputs: names of the finished outputs, in their order.
        metric: the key of `measure` that stands for the whole; higher is better.
        figures: outputs, annotations and classes to figures.
        answer: outputs, classes, how many and the least probability of an answer to answers.
        threshold: outputs and annotations of pictures not trained on, to the least probability of an answer and what it does;
            empty where answers have none.
        agreement: two sets of outputs to the share of answers that are the same.
        kept: outputs without what `figures`, `threshold` and `agreement` do not look at.
        scored: some figures are of the answers that are told, those of at least a score.
    """

    name: str
    outputs: tuple[str, ...]
    metric: str
    figures: Callable[..., dict[str, Any]]
    answer: Callable[[Outputs, Sequence[str], int | None, float], Sequence[answers.AnyAnswer]]
    threshold: Callable[[Outputs, Array], dict[str, Any]]
    agreement: Callable[[Outputs, Outputs], float]
    kept: Callable[[Outputs], Outputs] = lambda outputs: outputs
    scored: bool = False

    def measure(
        self, outputs: Outputs, labels: Array, classes: Sequence[str], threshold: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Figures of outputs by their annotations.

        Args:
            threshold: that was chosen on other pictures; empty or none: there is none.
        """
        told = {"score": threshold["probability"]} if self.scored and threshold else {}
        return self.figures(outputs, labels, classes, **told)


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective(
            "classification",
            ("probabilities",),
            "accuracy",
            classification.measure,
            answers.classification,
            classification.threshold,
            classification.agreement,
        ),
        Objective(
            "detection",
            ("boxes", "classes", "scores", "count"),
            "map50",
            detection.measure,
            answers.detection,
            detection.threshold,
            detection.agreement,
            scored=True,
        ),
        Objective(
            "segmentation",
            ("masks",),
            "miou",
            segmentation.measure,
            answers.segmentation,
            segmentation.threshold,
            segmentation.agreement,
            segmentation.likeliest,
        ),
    )
}
