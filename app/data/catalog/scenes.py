"""Scenes composed of the real handwritten digits that ship with scikit-learn: boxes and masks without a download."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageDraw

from app.data.catalog import digits
from app.data.spec import SPLITS, Array, DataSpec, Pictures, Source, SplitName
from app.errors import UserError
from models.spec import Objective

SCENES: dict[SplitName, int] = {"train": 3000, "val": 300, "test": 300}
SEED = 0  # the scenes are fixed: figures of different runs and seeds are of the same pictures
SIDE, LEAST_SIDE = 128, 64  # pixels of the canvas: the usual one, and the smallest on which digits find room
LEAST_HEIGHT = 20  # pixels of a digit: below it, an eight by eight digit is not told from clutter
TEMPLATE = 96  # pixels of the height at which a digit is kept, above any that is drawn on usual canvases
INK = 0.35  # of a digit's brightest: what a box is tight around, and a mask has
OVERLAP = 0.08  # of the smaller box: the most that two share
TRIES = 40  # places looked at before a digit is drawn smaller
PROBES = 8  # scenes a split whose pixels are part of the fingerprint


@dataclass(frozen=True)
class Piece:
    """A digit of a scene: which template, and where and how high and wide it is drawn, in pixels.

    Args:
        box: ymin, xmin, ymax, xmax of its ink on the canvas.
    """

    digit: int
    top: int
    left: int
    height: int
    width: int
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Digits:
    """The digits of a split: templates float32 [h, w] in 0..1, cut to their ink, and their classes."""

    templates: list[Array]
    labels: Array


def load(split_seed: int, objective: Objective = "detection") -> Source:  # noqa: ARG001 - fixed scenes
    """Scenes of 128x128 pixels with 2 to 5 digits of 22 to 52 pixels among strokes, dots and noise.

    Args:
        objective: segmentation gives the ink of "0" to "9" over "background"; all others the boxes.
    Source: the digits are those of Alpaydin, Kaynak: Optical recognition of handwritten digits. UCI, 1998. No digit stands in
        two splits: they are those of the data set `digits`.
    """
    return compose(SIDE, SIDE, objective=objective)


def compose(height: int, width: int, *, objective: Objective) -> Source:
    """The scenes drawn for another canvas: more and larger digits on a larger one, none below 20 pixels.

    Raises:
        UserError: the canvas has no room for two digits.
    """
    if min(height, width) < LEAST_SIDE:
        raise UserError(f"scenes cannot be {width}x{height}; they need {LEAST_SIDE} pixels a side: --image-size {LEAST_SIDE}")
    source = digits.load(SEED)
    drawn = {split: _templates(source.splits[split]) for split in SPLITS}
    layouts = {
        split: [_arrange(drawn[split], (SEED, number, index), height, width) for index in range(SCENES[split])]
        for number, split in enumerate(SPLITS)
    }
    most = max(len(pieces) for scenes in layouts.values() for pieces in scenes)
    objective = "segmentation" if objective == "segmentation" else "detection"
    splits: dict[SplitName, Pictures] = {}
    digest = hashlib.sha256(json.dumps([source.fingerprint, objective, height, width]).encode())
    for number, split in enumerate(SPLITS):
        read = partial(_paint, drawn[split], layouts[split], (SEED, number), height, width)
        mask = partial(_mask, drawn[split], layouts[split], height, width)
        boxes = _boxes(layouts[split], drawn[split].labels, most, height, width)
        digest.update(boxes.tobytes())
        for index in range(PROBES):
            digest.update(read(index).tobytes() + mask(index).tobytes())
        labels = boxes if objective == "detection" else np.zeros(len(boxes), np.int64)
        names = [f"{split} scene {index}" for index in range(len(boxes))]
        splits[split] = Pictures(read, labels, names, mask if objective == "segmentation" else None)
    return Source(
        name="scenes",
        classes=source.classes if objective == "detection" else ("background", *source.classes),
        splits=splits,
        channels=1,
        size=(height, width),
        fingerprint=digest.hexdigest()[:16],
        objective=objective,
        compose=partial(compose, objective=objective),
    )


def _templates(pictures: Pictures) -> Digits:
    """Each digit enlarged smoothly and cut to its ink, so that a height asked for is the height of the ink."""
    templates = []
    for index in range(len(pictures)):
        small = np.asarray(pictures.read(index))[..., 0]
        padded = Image.fromarray(np.pad(small, 1)).resize((TEMPLATE, TEMPLATE), Image.Resampling.BICUBIC)
        large = np.asarray(padded, np.float32) / 255
        large /= large.max()
        top, left, bottom, right = _around(large >= INK)
        templates.append(large[top:bottom, left:right])
    return Digits(templates, pictures.labels)


def _around(there: Array) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of what is true, the latter two exclusive."""
    rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _arrange(drawn: Digits, key: tuple[int, int, int], height: int, width: int) -> tuple[Piece, ...]:
    """The digits of a scene from the back to the front, decided by the key: (seed, split, index)."""
    rng = np.random.default_rng(key)
    side, span = min(height, width), float(np.sqrt(height * width))
    smallest, largest = LEAST_HEIGHT - 2 + side / 32, 28 + side * 3 / 16  # 20 to 40 at 64 pixels, 22 to 52 at 128
    most = round(1 + span / 32)  # 3 at 64 pixels, 5 at 128
    pieces: list[Piece] = []
    for _ in range(rng.integers(2, most + 1)):
        digit = int(rng.integers(len(drawn.templates)))
        high, aspect = rng.uniform(smallest, largest), rng.uniform(0.85, 1.25)
        for size in np.linspace(high, smallest, 3):
            if piece := _place(drawn.templates[digit], digit, round(size), aspect, pieces, rng, height, width):
                pieces.append(piece)
                break
    return tuple(pieces)


def _place(
    template: Array,
    digit: int,
    high: int,
    aspect: float,
    others: list[Piece],
    rng: np.random.Generator,
    height: int,
    width: int,
) -> Piece | None:
    """The digit at a random place where it hardly overlaps the others, or nothing if none was found."""
    wide = max(4, min(round(high * aspect * template.shape[1] / template.shape[0]), width - 2))
    ymin, xmin, ymax, xmax = _around(_resized(template, high, wide) >= INK)
    for top, left in zip(
        rng.integers(0, height - high + 1, TRIES).tolist(), rng.integers(0, width - wide + 1, TRIES).tolist(), strict=True
    ):
        box = (top + ymin, left + xmin, top + ymax, left + xmax)
        if all(_shared(box, other.box) <= OVERLAP for other in others):
            return Piece(digit, top, left, high, wide, box)
    return None


def _shared(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The share of the smaller of two boxes that both cover."""
    high, wide = (max(0, min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis])) for axis in (0, 1))
    return high * wide / min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))


def _resized(template: Array, height: int, width: int) -> Array:
    return np.asarray(Image.fromarray(template).resize((width, height), Image.Resampling.BILINEAR), np.float32)


def _boxes(scenes: list[tuple[Piece, ...]], labels: Array, most: int, height: int, width: int) -> Array:
    """Shapes: float32 [N, M, 6], fractions of the canvas, class, ignored."""
    boxes = np.zeros((len(scenes), most, 6), np.float32)
    boxes[..., 4] = -1
    for row, pieces in zip(boxes, scenes, strict=True):
        for place, piece in enumerate(pieces):
            row[place, :4] = np.array(piece.box) / (height, width, height, width)
            row[place, 4] = labels[piece.digit]
    return boxes


def _paint(drawn: Digits, scenes: list[tuple[Piece, ...]], key: tuple[int, int], height: int, width: int, index: int) -> Array:
    """The pixels of a scene. Shapes: uint8 [H, W, 1]."""
    rng = np.random.default_rng((*key, index, 1))
    canvas = _ground(rng, height, width)
    for piece in scenes[index]:
        ink = _resized(drawn.templates[piece.digit], piece.height, piece.width)
        part = canvas[piece.top : piece.top + piece.height, piece.left : piece.left + piece.width]
        part += ink * (rng.uniform(150, 255) - part)
    canvas += np.asarray(rng.normal(0, rng.uniform(3, 12), canvas.shape), np.float32)
    return canvas.round().clip(0, 255).astype(np.uint8)[..., None]


def _ground(rng: np.random.Generator, height: int, width: int) -> Array:
    """What the digits lie on: a slope and soft patches of grey, thin strokes and dots. Shapes: float32 [H, W]."""
    corners = rng.uniform(10, 110, (2, 2)).astype(np.float32)
    patches = rng.normal(0, 10, (6, 6)).astype(np.float32)
    slope, soft = (
        np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.float32)
        for coarse in (corners, patches)
    )
    ground: Array = slope + soft
    share = height * width / SIDE**2
    drawing = Image.new("L", (2 * width, 2 * height))  # at twice the size: Pillow draws without antialiasing
    pen = ImageDraw.Draw(drawing)
    for _ in range(rng.poisson(1 + 7 * share)):
        start = rng.uniform(0, (2 * width, 2 * height))
        end = start + rng.uniform(-1, 1, 2) * min(height, width)
        pen.line((*start, *end), fill=int(rng.integers(40, 200)), width=int(rng.integers(1, 5)))
    for _ in range(rng.poisson(2 + 10 * share)):
        x, y = rng.uniform(0, (2 * width, 2 * height))
        radius = rng.uniform(1, 5)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=int(rng.integers(40, 220)))
    clutter = np.asarray(drawing.reduce(2), np.float32) / 255
    ground += clutter * (230 - ground)
    return ground


def _mask(drawn: Digits, scenes: list[tuple[Piece, ...]], height: int, width: int, index: int) -> Array:
    """The class of every pixel, 0 for what is no digit's ink. Shapes: uint8 [H, W]."""
    mask = np.zeros((height, width), np.uint8)
    for piece in scenes[index]:
        ink = _resized(drawn.templates[piece.digit], piece.height, piece.width) >= INK
        part = mask[piece.top : piece.top + piece.height, piece.left : piece.left + piece.width]
        part[ink] = 1 + drawn.labels[piece.digit]
    return mask


DATASETS = [
    DataSpec(
        name="scenes",
        title="Scenes of scikit-learn's handwritten digits",
        classes=10,
        pictures="3,000 + 300",
        size="128x128 grey",
        download="none",
        source="composed here; digits: UCI, CC BY 4.0",
        open=load,
        verified=True,
        objectives=("detection", "segmentation"),
    )
]
