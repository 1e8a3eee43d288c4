"""The course of a training, and of several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from app.report.history import Array, History
from app.style import COLOURS, RATE, TRAINING, VALIDATION, drawable, picture

WIDE = 8  # ratio of the largest to the smallest loss from which a linear axis would hide the end of the training
FEW = 40  # epochs that still leave room for a dot each
SHORT_NAME = 34  # characters that fit in half of the legend
MARKERS = "osD^vPX"  # one fewer than the colours: run 9 shares the first's colour, not its mark


def draw_curves(history: History, metric: str, best_epoch: int | None, file: Path) -> None:
    """Loss, metric and learning rate of every epoch, one above the other, with the best epoch marked."""
    with picture(file, height=6.2) as figure:
        loss, score, rate = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.3))
        for axes, name in ((loss, "loss"), (score, metric)):
            axes.set_title(name)
            for column, label, colour, dashes in (
                (name, "training", TRAINING, "--"),
                (f"val_{name}", "validation", VALIDATION, "-"),
            ):
                axes.plot(history.epochs, history.column(column), dashes, color=colour, label=label, **_dots(history))
        _fit_loss(loss, history)
        _in_percent(score)
        rate.plot(history.epochs, history.column("learning_rate"), color=RATE, **_dots(history))
        rate.set_title("learning rate")
        rate.set_ylim(bottom=0)
        rate.yaxis.set_major_locator(MaxNLocator(3))
        rate.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        _in_epochs(rate)
        if best_epoch is not None:
            _mark((loss, score, rate), history, metric, best_epoch)
        handles, labels = loss.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=3, columnspacing=1.4)


def draw_comparison(histories: Mapping[str, History], metric: str, file: Path) -> None:
    """The metric of every run by epoch, and below it the error on a logarithmic axis, which tells good runs apart."""
    lines = len(histories) + 1
    columns = 2 if lines > 4 and max(map(len, histories)) <= SHORT_NAME else 1
    with picture(file, height=5.4 + 0.19 * -(-lines // columns), width=6.4) as figure:
        score, error = figure.subplots(2, 1, sharex=True)
        score.set_title(metric)
        error.set_title(f"error (1 - {metric})")
        handles: list[Any] = []
        for index, (name, history) in enumerate(histories.items()):
            colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
            dots = {"marker": marker, "markersize": 4, "markevery": max(1, len(history) // 10)}
            for axes, value in ((score, lambda shares: shares), (error, lambda shares: _no_zeros(1 - shares))):
                axes.plot(history.epochs, value(history.column(metric)), "--", color=colour, linewidth=0.9, alpha=0.8)
                axes.plot(history.epochs, value(history.column(f"val_{metric}")), "-", color=colour, **dots)
            label = drawable(name, f"run {index + 1}")
            handles.append(Line2D([], [], color=colour, marker=marker, markersize=4, label=label))
        handles.append(Line2D([], [], color="#555555", linestyle="--", linewidth=0.9, label="dashed: the same run in training"))
        _in_percent(score)
        _logarithmic(error, lambda value: f"{100 * value:g} %")
        _in_epochs(error)
        figure.legend(handles=handles, loc="outside lower left", ncols=columns)


def draw_precision(curves: Mapping[str, Sequence[float]], means: Mapping[str, float | None], file: Path) -> None:
    """Precision by recall of every class, named up to eight of them, and their mean.

    Args:
        curves: by class, at recalls evenly from 0 to 1.
        means: average precision of each class.
    """
    named = len(curves) <= len(COLOURS)
    with picture(file, height=4.2 + (0.19 * -(-len(curves) // 2) if named else 0)) as figure:
        axes = figure.subplots()
        for index, (name, values) in enumerate(curves.items()):
            colour = COLOURS[index % len(COLOURS)] if named else "#9DB9CC"
            mean = f" {100 * (means.get(name) or 0):.1f} %" if named else ""
            label = drawable(name, f"class {index}", 18) + mean if named else None if index else "each class"
            axes.plot(np.linspace(0, 1, len(values)), values, color=colour, linewidth=1.6 if named else 0.8, label=label)
        if not named:
            mean_curve = np.mean(list(curves.values()), axis=0)
            axes.plot(np.linspace(0, 1, len(mean_curve)), mean_curve, color=COLOURS[0], linewidth=2.2, label="their mean")
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.03)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 6):g} %"))
        figure.legend(loc="outside upper left", ncols=2, columnspacing=1.4)


def _mark(panels: tuple[Any, ...], history: History, metric: str, best_epoch: int) -> None:
    for axes in panels:
        axes.axvline(best_epoch, color="#777777", linewidth=1, linestyle=":", label=f"best epoch: {best_epoch}")
    for axes, name in ((panels[0], "val_loss"), (panels[1], f"val_{metric}")):
        if (value := history.at(best_epoch, name)) is not None:
            axes.plot([best_epoch], [value], "o", color=VALIDATION, markersize=7, markerfacecolor="none", markeredgewidth=1.6)


def _dots(history: History) -> dict[str, Any]:
    return {"marker": "o", "markersize": 2.5} if len(history) <= FEW else {}


def _no_zeros(error: Array) -> Array:
    """An error of 0 has no place on a logarithmic axis: it is drawn at half of the smallest other."""
    positive = error[error > 0]
    return np.maximum(error, positive.min() / 2) if len(positive) else np.full(len(error), np.nan)


def _fit_loss(axes: Any, history: History) -> None:
    values = np.concatenate([history.column("loss"), history.column("val_loss")])
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > WIDE * values.min():
        _logarithmic(axes, lambda value: f"{value:g}")


def _logarithmic(axes: Any, write: Any) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: write(float(f"{value:.3g}"))))


def _in_percent(axes: Any) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 6):g} %"))


def _in_epochs(axes: Any) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=(1, 2, 5, 10)))
