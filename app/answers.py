"""Finished outputs -> what a person is told. numpy only: whatever a network's outputs need is in its graph already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Label:
    """A class and how sure the network is of it, 0..1."""

    label: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """What a network says of one picture, the likeliest class first."""

    labels: tuple[Label, ...]

    def to_json(self) -> dict[str, Any]:
        """`{"labels": [{"label": ..., "probability": ...}]}`"""
        return asdict(self)


def classification(outputs: dict[str, np.ndarray[Any, Any]], classes: Sequence[str], top: int) -> list[Answer]:
    """The `top` likeliest classes of every picture.

    Shapes: probabilities [N, classes] -> N answers.
    """
    probabilities = outputs["probabilities"]
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        Answer(tuple(Label(classes[c], round(float(row[c]), 6)) for c in best))
        for row, best in zip(probabilities, order, strict=True)
    ]
