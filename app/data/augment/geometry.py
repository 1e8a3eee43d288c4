"""Where the pixels of a changed picture come from, and what is found there; the same for pictures, boxes and masks.

A placement is two arrays: a pixel of the result, as rows and columns from the centre, shows the place `back` [B, 2, 2]
times that plus `shown` [B, 2] of the picture, from its centre too.
"""

from __future__ import annotations

import numpy as np

from app.data.spec import Array

CHUNK = 2**15  # pixels interpolated at once: what fits into the processor's cache is five times as fast


def draw_placement(
    rng: np.random.Generator, batch: int, height: int, width: int, *, scale: tuple[float, float], share: float, degrees: float
) -> tuple[Array, Array]:
    """A placement for each picture: turned, scaled by a factor, and anywhere.

    Args:
        scale: the least and the largest factor; halves are as likely as doubles.
        share: how far, of the side, it moves beyond what the scale leaves free: a small picture lies anywhere on the result,
            of a large one any part is seen.
        degrees: the most in either direction.
    """
    factor = np.exp(rng.uniform(np.log(scale[0]), np.log(scale[1]), batch))
    angle = np.deg2rad(rng.uniform(-degrees, degrees, batch))
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / factor
    free = np.abs(1 - 1 / factor) / 2 + share
    shown = rng.uniform(-1, 1, (batch, 2)) * free[:, None] * (height, width)
    return back.transpose(2, 0, 1), shown


def mirror(values: Array, chosen: Array, axis: int) -> Array:
    """Pictures or masks, the chosen ones mirrored along an axis. Shapes: [B, ...], bool [B] -> [B, ...]."""
    result = values.copy()
    result[chosen] = np.flip(values[chosen], axis)
    return result


def is_straight(back: Array) -> bool:
    """Whether nothing is turned or sheared: rows come from rows then, columns from columns, which is much quicker."""
    return not (back[:, 0, 1].any() or back[:, 1, 0].any())


def straight_places(back: Array, shown: Array, height: int, width: int) -> tuple[Array, Array]:
    """The row that each row comes from and the column of each column, as pixel numbers. Shapes: [B, H], [B, W]."""

    def along(axis: int, side: int) -> Array:
        centre = (side - 1) / 2
        found: Array = (np.arange(side) - centre) * back[:, axis, axis, None] + (centre + shown[:, axis, None])
        return found.astype(np.float32)

    return along(0, height), along(1, width)


def places(back: Array, shown: Array, height: int, width: int) -> Array:
    """The row and column that each pixel comes from, as pixel numbers. Shapes: [B, 2, H * W]."""
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    grid = np.stack(np.meshgrid(np.arange(height) - centre[0], np.arange(width) - centre[1], indexing="ij"))
    found: Array = back.astype(np.float32) @ grid.reshape(2, -1).astype(np.float32)
    found += (centre + shown).astype(np.float32)[:, :, None]
    return found


def place(images: Array, back: Array, shown: Array, fill: Array | None = None) -> Array:
    """The pictures placed, by bilinear interpolation.

    Args:
        fill: what comes in from outside, [B, C]; none: black.
    Shapes: float32 [B, H, W, C] -> the same.
    """
    batch, height, width, channels = images.shape
    fill = np.zeros((batch, channels), np.float32) if fill is None else fill
    if is_straight(back):
        return stretch(images, *straight_places(back, shown, height, width), fill)
    result = np.empty(images.shape, np.float32)
    for part in chunks(batch, height * width):
        found = places(back[part], shown[part], height, width)
        result[part] = _sampled(images[part], found, fill[part]).reshape(-1, height, width, channels)
    return result


def mean_colour(images: Array) -> Array:
    """What comes in around a picture that is to have no visible edge. Shapes: [B, H, W, C] -> [B, C]."""
    batch, height, width, channels = images.shape  # rows first, and then the rest: numpy is slow at both at once
    mean: Array = images.reshape(batch, height, -1).mean(axis=1).reshape(batch, width, channels).mean(axis=1)
    return mean


def chunks(batch: int, pixels: int) -> list[slice]:
    """The batch in parts of about CHUNK pixels, at least one picture."""
    size = max(1, CHUNK // pixels)
    return [slice(start, start + size) for start in range(0, batch, size)]


def stretch(images: Array, rows: Array, columns: Array, fill: Array) -> Array:
    """Bilinear values at fractional rows and columns. Shapes: [B, H, W, C], [B, R], [B, S], [B, C] -> [B, R, S, C]."""
    batch, height, width, channels = images.shape
    result = np.empty((batch, rows.shape[1], columns.shape[1], channels), np.float32)
    (top, down), (left, across) = _next_to(rows, height), _next_to(columns, width)
    for i in range(batch):  # one by one: a picture stays in the cache between the two directions
        padded = _framed(images[i : i + 1], fill[i : i + 1])[0]
        lines = _between(padded, top[i], down[i, :, None, None], axis=0)
        result[i] = _between(lines, left[i], across[i, :, None], axis=1)
    return result


def _next_to(found: Array, side: int) -> tuple[Array, Array]:
    """The number, in a framed picture, of the pixel before each place, and how far behind it the place is, 0..1."""
    found = np.clip(found + 1, 0, side + 1)
    before = np.floor(found)
    return before.astype(np.int32), found - before


def _framed(images: Array, fill: Array) -> Array:
    """Pictures with a frame of what comes in from outside: one pixel before, two behind, so that the last has a next one."""
    batch, height, width, channels = images.shape
    framed = np.empty((batch, height + 3, width + 3, channels), np.float32)
    framed[:, (0, -2, -1)] = fill[:, None, None]
    framed[:, :, (0, -2, -1)] = fill[:, None, None]
    framed[:, 1:-2, 1:-2] = images
    return framed


def _between(values: Array, before: Array, share: Array, axis: int) -> Array:
    """The values at those numbers and their next ones along an axis, mixed."""
    mixed, following = values.take(before, axis), values.take(before + 1, axis)
    following -= mixed
    following *= share
    mixed += following
    return mixed


def _sampled(images: Array, found: Array, fill: Array) -> Array:
    """Bilinear values at fractional rows and columns. Shapes: [B, H, W, C], [B, 2, P], [B, C] -> [B, P, C].

    Works in place on flat indices: it is the most expensive step of a batch.
    """
    batch, height, width, channels = images.shape
    framed = _framed(images, fill)
    pixels = framed.reshape(-1) if channels == 1 else framed.reshape(-1, channels)
    (top, down), (left, across) = _next_to(found[:, 0], height), _next_to(found[:, 1], width)
    if channels > 1:
        down, across = down[..., None], across[..., None]
    corner = top * (width + 3) + left + np.arange(batch, dtype=np.int32)[:, None] * ((height + 3) * (width + 3))
    upper = _between(pixels, corner, across, axis=0)
    corner += width + 3
    lower = _between(pixels, corner, across, axis=0)
    lower -= upper
    lower *= down
    upper += lower
    return upper
