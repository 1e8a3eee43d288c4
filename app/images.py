"""File or bytes -> array: the one way in which a picture becomes a network's input, in training and in use."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

PIXEL_CAP = 100_000_000  # a picture with more is taken for a decompression bomb
Image.MAX_IMAGE_PIXELS = None  # Pillow's own cap, which none above it could pass; `load_picture` looks at the header itself
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")  # Pillow's other readers stay closed to what strangers send
GREY = (19595, 38470, 7471)  # red, green and blue in grey, of 65536: ITU-R 601 as Pillow has it
LYING = (5, 6, 7, 8)  # orientations that exchange height and width
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


class UnreadablePicture(ValueError):
    """Why a picture cannot be used, in a few words."""


class TooManyPixels(UnreadablePicture):
    """A picture larger than is decoded."""

    def __init__(self, pixels: int) -> None:
        super().__init__(f"more than {pixels / 10**6:g} million pixels")


def load_picture(source: str | Path | bytes, shape: tuple[int, int, int], pixels: int = PIXEL_CAP) -> np.ndarray[Any, Any]:
    """A picture of any usual kind as a network takes it: turned upright, on white where it is transparent, stretched.

    Shapes: uint8 [H, W, C], C 1 (grey) or 3 (RGB).
    Args:
        pixels: that the picture may have; it is refused by its header, before it is decoded.
    Raises:
        UnreadablePicture: empty, truncated, not a picture, or too large.
    """
    height, width, channels = shape
    try:
        with _open(source) as image:
            if image.width * image.height > pixels:
                raise TooManyPixels(pixels)
            # A JPEG may be decoded at 1/2, 1/4 or 1/8; twice the wanted size loses nothing that the resize keeps.
            # Both sides as long as the longer one, because the picture may lie on its side.
            image.draft(None, (2 * max(width, height),) * 2)
            plain = eight_bit(ImageOps.exif_transpose(image), channels)
    except UnreadablePicture:
        raise
    except Exception as error:  # Pillow's readers raise nearly anything on damaged bytes
        raise UnreadablePicture(_reason(error)) from None
    return resize(plain, height, width)


def count_pixels(source: str | Path | bytes) -> int:
    """How many pixels a picture has, by its header; 0 if it is none."""
    try:
        with _open(source) as image:
            return image.width * image.height
    except Exception:  # see `load_picture`, which says what is wrong with it
        return 0


def upright_size(source: str | Path | bytes) -> tuple[int, int]:
    """Height and width of a picture that `load_picture` can read, turned upright."""
    with _open(source) as image:
        lies = image.getexif().get(ExifTags.Base.Orientation, 1) in LYING
        return (image.width, image.height) if lies else (image.height, image.width)


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


def resize_mask(mask: np.ndarray[Any, Any], height: int, width: int) -> np.ndarray[Any, Any]:
    """Class numbers stretched as `resize` does their picture, each pixel that of the nearest: classes have no mean.

    Shapes: uint8 [h, w] -> uint8 [H, W].
    """
    if mask.shape == (height, width):
        return mask
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def with_channels(pictures: np.ndarray[Any, Any], channels: int) -> np.ndarray[Any, Any]:
    """Grey pictures as RGB, RGB ones as grey (ITU-R 601, as Pillow does), or as they are.

    Shapes: uint8 [..., C] -> uint8 [..., channels].
    """
    if pictures.shape[-1] == channels:
        return pictures
    if channels == 3:
        return np.repeat(pictures, 3, axis=-1)
    weighted = pictures.astype(np.uint32) @ np.array(GREY, np.uint32)
    return ((weighted + 0x8000) >> 16).astype(np.uint8)[..., None]


def eight_bit(image: Image.Image, channels: int) -> Image.Image:
    """Any mode of Pillow's as 8 bits, grey or RGB; transparency lies on white, white of 16 bits stays white.

    Raises:
        UnreadablePicture: pixels whose black and white are not known.
    """
    mode = "L" if channels == 1 else "RGB"
    if image.mode in ("I", "F"):
        raise UnreadablePicture("pixels of 32 bits, whose black and white are not known; save it with 8 or 16")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image, np.float32) / 257).round().astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, image).convert(mode)
    return image.convert(mode)


def _open(source: str | Path | bytes) -> Image.Image:
    empty = not source if isinstance(source, bytes) else Path(source).stat().st_size == 0
    if empty:
        raise UnreadablePicture("the file is empty")
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)


def _reason(error: Exception) -> str:
    text = str(error)
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    if "truncated" in text.lower() or "not enough image data" in text or isinstance(error, EOFError):
        return "the file is truncated"
    return text.splitlines()[0] if text else type(error).__name__
