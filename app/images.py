"""File or bytes -> array: the one way in which a picture becomes a network's input, in training and in use."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

PIXEL_CAP = 100_000_000  # a picture with more is taken for a decompression bomb
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


class UnreadablePicture(ValueError):
    """Why a picture cannot be used, in a few words."""


def load_picture(source: str | Path | bytes, shape: tuple[int, int, int]) -> np.ndarray[Any, Any]:
    """A picture of any usual kind as a network takes it: turned upright, on white where it is transparent, stretched.

    Shapes: uint8 [H, W, C], C 1 (grey) or 3 (RGB).
    Raises:
        UnreadablePicture: empty, truncated, not a picture, or too large.
    """
    height, width, channels = shape
    with _open(source) as image:
        try:
            if image.width * image.height > PIXEL_CAP:
                raise UnreadablePicture(f"{image.width}x{image.height} pixels are more than {PIXEL_CAP // 10**6} million")
            # A JPEG may be decoded at 1/2, 1/4 or 1/8; twice the wanted size loses nothing that the resize keeps.
            image.draft(None, (2 * width, 2 * height))
            upright = ImageOps.exif_transpose(image)
            plain = eight_bit(upright, channels)
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
            raise UnreadablePicture(_reason(error)) from None
    return resize(plain, height, width)


def resize(picture: Image.Image | np.ndarray[Any, Any], height: int, width: int) -> np.ndarray[Any, Any]:
    """A grey or RGB picture stretched by bilinear interpolation, with antialiasing where it shrinks.

    Shapes: uint8 [H, W, C]; an array may come as [H, W] too.
    """
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    array = np.asarray(picture, np.uint8)
    return array[..., None] if array.ndim == 2 else array


def with_channels(pictures: np.ndarray[Any, Any], channels: int) -> np.ndarray[Any, Any]:
    """Grey pictures as RGB, RGB ones as grey (ITU-R 601, as Pillow does), or as they are.

    Shapes: uint8 [..., C] -> uint8 [..., channels].
    """
    if pictures.shape[-1] == channels:
        return pictures
    if channels == 3:
        return np.repeat(pictures, 3, axis=-1)
    weighted = pictures.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((weighted + 0x8000) >> 16).astype(np.uint8)[..., None]


def eight_bit(image: Image.Image, channels: int) -> Image.Image:
    """Any mode of Pillow's as 8 bits, grey or RGB; transparency lies on white, 16 bits keep their upper 8.

    Raises:
        UnreadablePicture: a mode that holds no picture.
    """
    mode = "L" if channels == 1 else "RGB"
    if image.mode in ("I;16", "I;16L", "I;16B", "I", "F"):
        values = np.asarray(image, np.float32)
        sixteen = image.mode.startswith("I;16") or values.max(initial=0) > 255
        return Image.fromarray((values / (257 if sixteen else 1)).clip(0, 255).astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, image).convert(mode)
    return image.convert(mode)


def _open(source: str | Path | bytes) -> Image.Image:
    if isinstance(source, bytes):
        source_file: Any = io.BytesIO(source)
        empty = not source
    else:
        source_file = source
        empty = Path(source).exists() and Path(source).stat().st_size == 0
    if empty:
        raise UnreadablePicture("the file is empty")
    try:
        return Image.open(source_file)
    except FileNotFoundError:
        raise UnreadablePicture("there is no such file") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadablePicture(_reason(error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnreadablePicture):
        return str(error)
    text = str(error)
    if "cannot identify" in text:
        return "not a picture"
    if "truncated" in text or "not enough image data" in text or isinstance(error, EOFError):
        return "the file is truncated"
    return text.splitlines()[0] if text else type(error).__name__
