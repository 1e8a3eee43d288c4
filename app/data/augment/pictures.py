"""Operations on pictures of one class each, and those on colours, which suit boxes and masks as well.

An operation takes pictures float32 [B, H, W, C] in 0..255, soft targets float32 [B, classes] and a generator, and
gives new pictures and targets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.data.augment import geometry
from app.data.spec import Array

COLOUR_PICTURES, COLOUR_SIDE = 1000, 32  # how many, and of about how many pixels, the axes of colours are found from
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601


def shift(
    images: Array, targets: Array, rng: np.random.Generator, *, share: float = 0.0625, mode: str = "edge"
) -> tuple[Array, Array]:
    """Moves by up to `share` of the side, whole pixels; what comes in repeats the edge (or is black: `constant`).

    Source: padding and random cropping, He et al. 2015, section 4.2 (there 4 of 32 pixels).
    """
    batch, height, width, _ = images.shape
    down, across = max(1, round(share * height)), max(1, round(share * width))
    padded = np.pad(images, ((0, 0), (down, down), (across, across), (0, 0)), mode=mode)  # type: ignore[call-overload]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    chosen = windows[np.arange(batch), rng.integers(0, 2 * down + 1, batch), rng.integers(0, 2 * across + 1, batch)]
    return np.ascontiguousarray(chosen.transpose(0, 2, 3, 1)), targets


def flip(images: Array, targets: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Mirrors half of the pictures, left to right."""
    return geometry.mirror(images, rng.random(len(images)) < 0.5, axis=2), targets


def affine(
    images: Array,
    targets: Array,
    rng: np.random.Generator,
    *,
    degrees: float = 12.0,
    scale: float = 0.12,
    shear: float = 0.15,
    share: float = 0.07,
) -> tuple[Array, Array]:
    """Turns, scales each axis, shears and moves, by bilinear interpolation; what comes in is black.

    Args:
        degrees, scale, shear: the most in either direction.
        share: the most it moves, of the side.
    """
    batch, height, width, _ = images.shape
    angle = np.deg2rad(rng.uniform(-degrees, degrees, batch))
    stretch = 1 + rng.uniform(-scale, scale, (2, batch))
    slant = rng.uniform(-shear, shear, batch)
    moved = rng.uniform(-share, share, (batch, 2)) * [height, width]
    cos, sin = np.cos(angle), np.sin(angle)
    # Where each pixel of the result comes from: rotation after shear, each axis scaled, around the centre.
    back = np.array([[cos, sin + slant * cos], [-sin, cos - slant * sin]], np.float32) / stretch[:, None].astype(np.float32)
    return geometry.place(images, back.transpose(2, 0, 1), moved), targets


def zoom(
    images: Array,
    targets: Array,
    rng: np.random.Generator,
    *,
    smallest: float,
    largest: float,
    side: int | None = None,
) -> tuple[Array, Array]:
    """Enlarges each picture so that its side is `smallest` to `largest` times the network's, and cuts a window out, anywhere.

    Args:
        side: of the window; none: the pictures' own. Pictures stored at `largest` times that lose nothing.
    Shapes: [B, H, W, C] -> [B, side, side, C].
    Source: Simonyan and Zisserman 2014, section 3.1 (224 pixels of 256 to 512); Krizhevsky et al. 2012, section 4.1 (of 256).
    """
    batch, height, width, channels = images.shape
    factor = rng.uniform(smallest, largest, (batch, 1))
    corner = rng.random((batch, 2, 1))

    def places(axis: int, stored: int, pixels: int) -> Array:
        window = stored / factor  # in pixels of what is stored
        first = corner[:, axis] * (stored - window) - 0.5
        found: Array = (first + window * (np.arange(pixels) + 0.5) / pixels).clip(0, stored - 1).astype(np.float32)
        return found

    rows, columns = places(0, height, side or height), places(1, width, side or width)
    return geometry.stretch(images, rows, columns, np.zeros((batch, channels), np.float32)), targets


def pca_colour(
    images: Array, targets: Array, rng: np.random.Generator, *, axes: Array | None = None, deviation: float = 0.1
) -> tuple[Array, Array]:
    """Adds to all pixels of a picture a random amount along the axes in which the training pictures' colours vary.

    Args:
        axes: [C, C], see `colour_axes`; none: those of the batch.
        deviation: of the amounts, in eigenvalues of the colours' covariance (of values in 0..1).
    Source: Krizhevsky, Sutskever, Hinton 2012, section 4.1.
    """
    axes = colour_axes(images) if axes is None else axes
    amounts = rng.normal(0, deviation, (len(images), axes.shape[1])).astype(np.float32)
    return (images + (amounts @ axes.T)[:, None, None]).clip(0, 255), targets


def colour_axes(images: Array) -> Array:
    """The principal axes of the pictures' colours as columns, each as long as its eigenvalue, in pixel values.

    Shapes: [N, H, W, C] -> float32 [C, C].
    """
    apart = max(1, images.shape[1] // COLOUR_SIDE)  # pixels: neighbours have the same colour, and all would fill gigabytes
    some = images[:: -(-len(images) // COLOUR_PICTURES), ::apart, ::apart]
    sample = some.reshape(-1, images.shape[-1]) / np.float32(255)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(sample, rowvar=False)))
    axes: Array = (255 * vectors * values).astype(np.float32)
    return axes


def colour(
    images: Array,
    targets: Array,
    rng: np.random.Generator,
    *,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.2,
) -> tuple[Array, Array]:
    """Changes brightness, contrast and (of RGB pictures) saturation, each by up to the given share."""

    def factor(most: float) -> Array:
        return rng.uniform(1 - most, 1 + most, (len(images), 1, 1, 1)).astype(np.float32)

    bright, steep, vivid = factor(brightness), factor(contrast), factor(saturation)
    images = images * bright
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    images = mean + (images - mean) * steep
    if images.shape[3] == 3:
        grey = (images @ LUMINANCE)[..., None]
        images = grey + (images - grey) * vivid
    return images.clip(0, 255), targets


def cutout(images: Array, targets: Array, rng: np.random.Generator, *, share: float = 0.25) -> tuple[Array, Array]:
    """Covers a square of `share` of the side, anywhere, with the picture's mean.

    Source: DeVries and Taylor 2017.
    """
    inside = _squares(images.shape, np.full(len(images), share), rng)
    return np.where(inside, images.mean(axis=(1, 2), keepdims=True), images), targets


def mixup(images: Array, targets: Array, rng: np.random.Generator, *, alpha: float = 0.2) -> tuple[Array, Array]:
    """Blends every picture and its target with those of another one of the batch.

    Source: Zhang et al. 2018.
    """
    share = rng.beta(alpha, alpha, len(images)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    other = rng.permutation(len(images))
    here = share[:, None, None, None]
    return images * here + images[other] * (1 - here), _blended(targets, other, share)


def cutmix(images: Array, targets: Array, rng: np.random.Generator, *, alpha: float = 1.0) -> tuple[Array, Array]:
    """Puts a square of another picture of the batch into every picture; targets are mixed by area.

    Source: Yun et al. 2019.
    """
    inside = _squares(images.shape, np.sqrt(1 - rng.beta(alpha, alpha, len(images))), rng)
    other = rng.permutation(len(images))
    share = 1 - inside.mean(axis=(1, 2, 3), dtype=np.float32)
    return np.where(inside, images[other], images), _blended(targets, other, share)


def _squares(shape: Sequence[int], share: Array, rng: np.random.Generator) -> Array:
    """Where a box of `share` of each side lies, its centre anywhere. Shapes: [B, H, W, C], [B] -> bool [B, H, W, 1]."""
    batch, height, width, _ = shape

    def within(pixels: int) -> Array:
        centre = rng.uniform(0, pixels, (batch, 1))
        apart: Array = np.abs(np.arange(pixels) + 0.5 - centre) <= share[:, None] * pixels / 2
        return apart

    return (within(height)[:, :, None] & within(width)[:, None, :])[..., None]


def _blended(targets: Array, other: Array, share: Array) -> Array:
    mixed: Array = targets * share[:, None] + targets[other] * (1 - share[:, None])
    return mixed.astype(np.float32)
