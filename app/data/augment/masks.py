"""Operations on pictures with masks: every pixel keeps its class, and what comes in from outside is void.

An operation takes pictures float32 [B, H, W, C] in 0..255, masks uint8 [B, H, W] of class numbers and a generator, and
gives new pictures and masks.
"""

from __future__ import annotations

import numpy as np

from app.data.augment import geometry
from app.data.spec import VOID, Array


def flip(images: Array, masks: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Mirrors half of the pictures, left to right."""
    chosen = rng.random(len(images)) < 0.5
    return geometry.mirror(images, chosen, 2), geometry.mirror(masks, chosen, 2)


def flip_vertical(images: Array, masks: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Turns half of the pictures upside down, as a mirror does: for what has no up, as under a microscope."""
    chosen = rng.random(len(images)) < 0.5
    return geometry.mirror(images, chosen, 1), geometry.mirror(masks, chosen, 1)


def affine(
    images: Array,
    masks: Array,
    rng: np.random.Generator,
    *,
    scale: tuple[float, float] = (0.7, 1.4),
    share: float = 0.05,
    degrees: float = 10.0,
) -> tuple[Array, Array]:
    """Scales, moves and turns: pictures by bilinear interpolation, masks by the nearest pixel.

    What comes in has the picture's mean colour, and is void.

    Args:
        scale, share, degrees: see `geometry.draw_placement`.
    """
    batch, height, width, _ = images.shape
    back, shown = geometry.draw_placement(rng, batch, height, width, scale=scale, share=share, degrees=degrees)
    return geometry.place(images, back, shown, geometry.mean_colour(images)), _placed(masks, back, shown)


def _placed(masks: Array, back: Array, shown: Array) -> Array:
    """The masks placed as `geometry.place` does pictures. Shapes: uint8 [B, H, W] -> the same."""
    batch, height, width = masks.shape
    framed = np.pad(masks, ((0, 0), (1, 1), (1, 1)), constant_values=VOID)

    def nearest(found: Array, side: int) -> Array:
        numbers: Array = (found.clip(-1, side) + 1.5).astype(np.int32)  # of framed pixels
        return numbers

    if geometry.is_straight(back):
        found = geometry.straight_places(back, shown, height, width)
        rows, columns = nearest(found[0], height), nearest(found[1], width)
        return np.stack([framed[i].take(rows[i], axis=0).take(columns[i], axis=1) for i in range(batch)])
    result = np.empty_like(masks)
    pixels = framed.reshape(batch, -1)
    for part in geometry.chunks(batch, height * width):
        places = geometry.places(back[part], shown[part], height, width)
        flat = nearest(places[:, 0], height) * (width + 2) + nearest(places[:, 1], width)
        result[part] = np.take_along_axis(pixels[part], flat, axis=1).reshape(-1, height, width)
    return result
