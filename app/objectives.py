"""The kinds of question a network answers. A row each: its finished outputs, its metrics, and its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app import answers, metrics

Outputs = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Objective:
    """What the stages need to know of a kind of question.

    Args:
        outputs: names of the finished outputs, in their order.
        metric: the key of `measure` that stands for the whole; higher is better.
        measure: outputs, annotations and classes to figures.
        answer: outputs, classes, how many and the least probability of an answer to answers.
        threshold: outputs and annotations of pictures not trained on, to the least probability of an answer and what it does.
    """

    name: str
    outputs: tuple[str, ...]
    metric: str
    measure: Callable[[Outputs, np.ndarray[Any, Any], Sequence[str]], dict[str, Any]]
    answer: Callable[[Outputs, Sequence[str], int, float], list[answers.Answer]]
    threshold: Callable[[Outputs, np.ndarray[Any, Any]], dict[str, Any]]


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective(
            "classification",
            ("probabilities",),
            "accuracy",
            metrics.classification,
            answers.classification,
            metrics.threshold,
        ),
    )
}
