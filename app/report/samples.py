"""Single pictures: the mistakes of which the network was surest, and the first batch as it saw it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.style import WIDTH, class_labels, picture

Array = np.ndarray[Any, Any]
COLUMNS = 3
MOST_TILES = 12
LETTERS = 17  # that fit under a tile
MARGIN, LINE = 0.06, 0.175  # inches
SUREST = 0.99  # 100 % would say that there was no doubt at all
NOTICED = 0.005  # a smaller share of a target is not worth its place


@dataclass(frozen=True)
class Mistakes:
    """Pictures that were taken for something else, the surest first: images uint8 [M, H, W, C]; of how many in all."""

    images: Array
    truths: Array
    taken_for: Array
    probabilities: Array
    total: int

    def captions(self, classes: Sequence[str]) -> list[str]:
        """`is 7, taken for 1, 98 %`, in two lines."""
        rows = zip(self.truths, self.taken_for, self.probabilities, strict=True)
        return [f"is {classes[truth]},\ntaken for {classes[other]}, {_share(min(sure, SUREST))}" for truth, other, sure in rows]


def find_mistakes(images: Array, labels: Array, probabilities: Array) -> Mistakes:
    """The mistakes among held-out pictures.

    Shapes: [N, H, W, C], int [N], [N, classes].
    """
    answers, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(answers != labels)
    shown = wrong[np.argsort(-sure[wrong], kind="stable")][:MOST_TILES]
    return Mistakes(images[shown], labels[shown], answers[shown], sure[shown], len(wrong))


def target_captions(targets: Array, classes: Sequence[str], smoothing: float = 0.0) -> list[str]:
    """The label of each picture, or those that were mixed with their shares: `3 70 % 8 30 %`.

    Label smoothing says nothing of a picture, so it is taken out again where the targets have it.

    Shapes: [N, classes].
    """
    floor = smoothing / targets.shape[1]
    if floor and targets.min() >= floor - 1e-6:
        targets = (targets - floor) / (1 - smoothing)
    return [_target_caption(row, classes) for row in targets]


def _target_caption(row: Array, classes: Sequence[str]) -> str:
    order = [c for c in np.argsort(-row, kind="stable")[:3] if row[c] > NOTICED]
    if not order:
        return "no label"
    if len(order) == 1 and row[order[0]] > 1 - NOTICED:
        return str(classes[order[0]])
    return " ".join(f"{classes[c]} {_share(row[c])}" for c in order)


def _share(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def draw_mistakes(mistakes: Mistakes, classes: Sequence[str], file: Path) -> None:
    """The surest mistakes with what they are and what they were taken for."""
    draw_tiles(mistakes.images, mistakes.captions(class_labels(classes)), file)


def draw_batch(images: Array, targets: Array, classes: Sequence[str], smoothing: float, file: Path) -> None:
    """The first pictures of a batch, with the labels they were learnt under.

    Shapes: 0..255 [N, H, W, C], [N, classes].
    """
    captions = target_captions(targets[:MOST_TILES], class_labels(classes), smoothing)
    draw_tiles(images[:MOST_TILES], captions, file)


def spread(pictures: int, most: int) -> Array:
    """Numbers of so many pictures, evenly chosen among all."""
    return np.unique(np.linspace(0, pictures - 1, min(most, pictures)).astype(int))


def draw_tiles(images: Array, captions: Sequence[str], file: Path, columns: int = COLUMNS) -> None:
    """Pictures in rows, each with its caption below it.

    Shapes: 0..255 [N, H, W, C], N of at least 1.
    """
    lines = [
        [line for part in caption.split("\n") for line in textwrap.wrap(part, LETTERS * COLUMNS // columns)]
        for caption in captions
    ]
    side = WIDTH / columns - 2 * MARGIN
    tall = side * min(2.0, max(0.5, images.shape[1] / images.shape[2]))
    rows = [range(start, min(start + columns, len(images))) for start in range(0, len(images), columns)]
    heights = [tall + LINE * max(len(lines[index]) for index in row) + 2 * MARGIN for row in rows]
    with picture(file, height=sum(heights) + MARGIN) as figure:
        figure.set_layout_engine("none")
        for row, top in zip(rows, np.cumsum([MARGIN, *heights]), strict=False):
            for column, index in enumerate(row):
                axes = _place(figure, column * (side + 2 * MARGIN) + MARGIN, top, side, tall)
                _show(axes, images[index])
                axes.set_xlabel("\n".join(lines[index]), fontsize=10.5, labelpad=2)


def _place(figure: Any, left: float, top: float, width: float, height: float) -> Any:
    """Axes at a place in inches from the upper left corner."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def _show(axes: Any, image: Array) -> None:
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    axes.imshow(pixels[..., 0] if pixels.shape[-1] == 1 else pixels[..., :3], cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set(visible=True, color="#BBBBBB", linewidth=0.6)
