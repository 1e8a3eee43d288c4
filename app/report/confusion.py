"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.ticker import FuncFormatter, MaxNLocator

from app.style import class_labels, picture

COUNTED = 20  # classes up to which every cell has its count
NAMED = 50  # classes up to which every row has its name; above, every tenth or so has its number
CELL, NARROW_CELL, SMALLEST = 0.34, 0.16, 3.4  # inches: a cell with a count in it, one without, the side of the whole
LETTER = 0.085  # inches
LEAST_SHARE = 0.005  # of a row, that is written


@dataclass(frozen=True)
class Confused:
    """Pictures of one class that were taken for another."""

    truth: str
    taken_for: str
    pictures: int
    share: float


def confused_pairs(counts: np.ndarray[Any, Any], classes: Sequence[str], most: int = 12) -> list[Confused]:
    """The pairs with the most mistakes, the worst first.

    Shapes: int [classes, classes], truth by answer.
    """
    wrong = counts - np.diag(np.diag(counts))
    totals = counts.sum(axis=1)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    places = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [
        Confused(classes[row], classes[column], int(wrong[row, column]), float(wrong[row, column] / totals[row]))
        for row, column in places
        if wrong[row, column]
    ]


def draw_confusion(counts: np.ndarray[Any, Any], classes: Sequence[str], file: Path, *, in_shares: bool = False) -> None:
    """Truth by answer, coloured by the share of the row, so that rare classes are seen as well.

    Args:
        in_shares: the cells have their percent of the row in place of their counts.
    Shapes: int [classes, classes].
    """
    many = len(classes)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    names = class_labels(classes)
    side = max(SMALLEST, (CELL if many <= COUNTED else NARROW_CELL) * many) if many <= NAMED else SMALLEST
    margin = 0.4 + LETTER * (max(map(len, names)) if many <= NAMED else 2)
    with picture(file, height=side + margin + 0.15, width=side + margin + 0.85, fitted=True) as figure:
        axes = figure.subplots()
        axes.grid(False)
        # The root makes single mistakes among hundreds of pictures visible.
        drawn = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
        bar = figure.colorbar(drawn, ax=axes, fraction=0.04, pad=0.02, ticks=(0, 0.05, 0.25, 0.5, 1))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        bar.outline.set_visible(False)
        axes.set_ylabel("is")
        axes.set_xlabel(f"is taken for{'' if many <= NAMED else ' (number of the class)'}")
        if many <= NAMED:
            size = 10 if many <= COUNTED else 8
            upright = max(map(len, names)) <= 3
            axes.set_yticks(range(many), names, fontsize=size)
            axes.set_xticks(range(many), names, fontsize=size, rotation=0 if upright else 90)
        else:
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(MaxNLocator(10, integer=True))
        if many <= COUNTED:
            _write_counts(axes, counts, shares, in_shares)


def _write_counts(axes: Any, counts: np.ndarray[Any, Any], shares: np.ndarray[Any, Any], in_shares: bool) -> None:
    size = 9 if in_shares or counts.max() < 1000 else 8 if counts.max() < 10_000 else 6.5
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 0.3 else "black"
        words = _percent(shares[row, column]) if in_shares else str(counts[row, column])
        axes.text(column, row, words, ha="center", va="center", color=colour, fontsize=size)


def _percent(share: float) -> str:
    """Whole percents; what would be none is left out."""
    return f"{100 * share:.0f}" if share >= LEAST_SHARE else ""
