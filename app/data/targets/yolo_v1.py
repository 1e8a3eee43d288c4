"""Boxes as what each cell of the first YOLO's grid is to answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from app.data.spec import Array

OBJECT, NOTHING, IGNORED = 1, 0, -1


def encoder(network: Any, classes: int) -> Callable[[Array], Array]:
    """Targets for each cell of a network that ends in `GridPredictions`.

    A box belongs to the cell that its centre lies in. A cell answers for one object: of several the largest. Cells whose centre
    lies in an ignored box are told nothing, unless they have an object of their own.

    Shapes: [B, M, 6] -> float32 [B, cells, 7 + classes]: centre x and y within the cell, square roots of width and height as
        fractions of the picture; 1 for an object, 0 for none and -1 for ignored; columns and rows of the grid; 1 for the class.
    Source: Redmon et al. 2016, sections 2 and 2.2.
    """
    layer = network.get_layer("predictions")
    grid = np.array([layer.columns, layer.rows])
    cells = layer.rows * layer.columns
    place = np.arange(cells)
    middle = (np.stack([place % layer.columns, place // layer.columns], axis=-1) + 0.5) / grid

    def encode(boxes: Array) -> Array:
        targets = np.zeros((len(boxes), cells, 7 + classes), np.float32)
        targets[:, :, 4], targets[:, :, 5:7] = NOTHING, grid
        real = (boxes[:, :, 4] >= 0) & (boxes[:, :, 2] > boxes[:, :, 0]) & (boxes[:, :, 3] > boxes[:, :, 1])
        for picture, row in np.argwhere(real & (boxes[:, :, 5] > 0)):
            ymin, xmin, ymax, xmax = boxes[picture, row, :4]
            inside = (middle >= (xmin, ymin)).all(axis=1) & (middle <= (xmax, ymax)).all(axis=1)
            targets[picture, inside, 4] = IGNORED
        picture, row = np.nonzero(real & (boxes[:, :, 5] == 0))
        ymin, xmin, ymax, xmax, label = boxes[picture, row, :5].T
        sides = np.stack([xmax - xmin, ymax - ymin], axis=-1)
        centres = np.stack([xmax + xmin, ymax + ymin], axis=-1) / 2 * grid
        cell = np.clip(np.floor(centres).astype(int), 0, grid - 1)
        order = np.argsort(-sides.prod(axis=1), kind="stable")
        at = (picture * cells + cell[:, 1] * layer.columns + cell[:, 0])[order]
        taken, first = np.unique(at, return_index=True)
        chosen = order[first]
        of, at = np.divmod(taken, cells)
        targets[of, at, :4] = np.column_stack([centres[chosen] - cell[chosen], np.sqrt(sides[chosen])])
        targets[of, at, 4] = OBJECT
        targets[of, at, 7 + label[chosen].astype(int)] = 1
        return targets

    return encode
