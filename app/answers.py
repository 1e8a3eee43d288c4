"""Finished outputs -> what a person is told. numpy only: whatever a network's outputs need is in its graph already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Label:
    """A class and how sure the network is of it, 0..1."""

    label: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """What a network says of one picture, the likeliest class first.

    Args:
        none_of_these: the likeliest is below the probability from which the network is believed.
    """

    labels: tuple[Label, ...]
    none_of_these: bool = False

    def to_json(self) -> dict[str, Any]:
        """`{"labels": [{"label": ..., "probability": ...}], "none_of_these": ...}`"""
        # By hand: `asdict` takes longer than all else that a service does for an answer.
        labels = [{"label": one.label, "probability": one.probability} for one in self.labels]
        return {"labels": labels, "none_of_these": self.none_of_these}


def classification(
    outputs: dict[str, np.ndarray[Any, Any]], classes: Sequence[str], top: int, threshold: float = 0.0
) -> list[Answer]:
    """The `top` likeliest classes of every picture.

    Args:
        threshold: probability below which a picture is none of them.
    Shapes: probabilities [N, classes] -> N answers.
    """
    probabilities = outputs["probabilities"]
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        Answer(tuple(Label(classes[c], round(float(row[c]), 6)) for c in best), bool(row[best[0]] < threshold))
        for row, best in zip(probabilities, order, strict=True)
    ]
