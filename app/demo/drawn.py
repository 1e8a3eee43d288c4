"""How a drawing has to look to be like a release's pictures, measured on its samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HALF = 128  # from here on a pixel is ink
DIGITS = {str(digit) for digit in range(10)}
SPANS, PENS = (0.5, 1.0), (0.06, 0.2)  # what is believed, in fractions of the picture's side
USUAL = (20 / 28, 0.1)  # MNIST's, where the samples show no ink
SQUARE_CORRECTION = np.pi / 4  # edges of square pixels are longer than those of the stroke they stand for, by this on average


def drawing(samples: Sequence[Path], classes: Sequence[str]) -> dict[str, Any] | None:
    """What the page needs to draw for this network; none where fingers cannot draw what it knows.

    Gives `dark` (light strokes on black), `span` (the longer side of the ink) and `pen` (width of a stroke), both in
    fractions of the picture's side.
    """
    images = []
    for path in samples:
        with Image.open(path) as image:
            images.append((image.mode == "L", np.asarray(image.convert("L"), np.uint8)))
    if not images or not (set(classes) == DIGITS or all(grey for grey, _ in images)):
        return None
    border = np.concatenate([np.concatenate([p[0], p[-1], p[:, 0], p[:, -1]]) for _, p in images])
    dark = bool(np.median(border) < HALF)
    inks = [(picture if dark else 255 - picture) >= HALF for _, picture in images]
    inks = [ink for ink in inks if ink.any()]
    if not inks:
        return {"dark": dark, "span": USUAL[0], "pen": USUAL[1]}
    span = float(np.clip(np.median([_span(ink) for ink in inks]), *SPANS))
    pen = float(np.clip(np.median([_pen(ink) for ink in inks]), *PENS))
    return {"dark": dark, "span": round(span, 4), "pen": round(pen, 4)}


def _span(ink: np.ndarray[Any, Any]) -> float:
    """The longer side of the box around the ink."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return float(max((rows[-1] - rows[0] + 1) / ink.shape[0], (columns[-1] - columns[0] + 1) / ink.shape[1]))


def _pen(ink: np.ndarray[Any, Any]) -> float:
    """The width of a long stroke that has this area and this edge."""
    padded = np.pad(ink, 1)
    edges = (padded[1:] != padded[:-1]).sum() + (padded[:, 1:] != padded[:, :-1]).sum()
    return float(2 * ink.sum() / (edges * SQUARE_CORRECTION) / max(ink.shape))
