"""Boxes, masks and labels on a picture. Pillow and numpy only."""

from __future__ import annotations

import colorsys
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from app.answers import Box
from app.images import resize_mask
from app.metrics.segmentation import BACKGROUND, VOID

Array = np.ndarray[Any, Any]
Colour = tuple[int, int, int]
Place = tuple[int, int, int, int]  # left, top, right, bottom, in pixels

LEAST = 480  # pixels of the longer side, to which smaller pictures are enlarged by a whole factor: text needs room
TEXT = 1 / 36  # of the longer side: height of letters
SMALLEST = 11  # pixels of letters
TURN = 0.618034  # of the circle of hues, from one class to the next: no two among many come close
SHADES = ((0.85, 0.95), (0.6, 1.0), (0.95, 0.7))  # saturation and brightness, in turn
PAINT = 0.6  # share of the colour in a painted pixel
STRIP = (255, 255, 255)
INK: Colour = (20, 20, 20)


def colour(number: int) -> Colour:
    """The colour of a class, the same in every picture."""
    saturation, brightness = SHADES[number % len(SHADES)]
    red, green, blue = colorsys.hsv_to_rgb((0.58 + number * TURN) % 1, saturation, brightness)
    return round(255 * red), round(255 * green), round(255 * blue)


def enlarged(picture: Array, least: int = LEAST) -> Array:
    """A picture in colour whose longer side has at least so many pixels, each of the old ones a square.

    Shapes: uint8 [H, W] or [H, W, 1 or 3] -> [H * k, W * k, 3].
    """
    if picture.ndim == 2:
        picture = picture[..., None]
    if picture.shape[2] == 1:
        picture = np.repeat(picture, 3, axis=2)
    factor = -(-least // max(picture.shape[:2]))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def draw_boxes(picture: Array, boxes: Sequence[Box], *, scores: bool = True, least: int = LEAST, text: float = TEXT) -> Array:
    """The picture with its boxes, each with its label, the surest on top.

    Args:
        scores: whether the labels have them.
        least, text: pixels of the longer side, and the letters' share of it.
    Shapes: uint8 [H, W, C] -> uint8 [H * k, W * k, 3].
    """
    drawn = Image.fromarray(enlarged(picture, least))
    pen, font = ImageDraw.Draw(drawn), _font(drawn.size, text)
    line = max(2, round(font.size / 7))
    order = sorted(boxes, key=lambda box: box.score)
    for box in order:
        place = _in_pixels(box, drawn.size)
        pen.rectangle(place, outline=_contrast(colour(box.number)), width=line + 2)  # so that it is seen on its own colour
        pen.rectangle(_shrunk(place, 1), outline=colour(box.number), width=line)
    taken: list[Place] = []
    tags = []
    for box in reversed(order):  # the surest has the first choice of a place for its label
        name = legible(box.label, f"class {box.number}")
        words = shortened(f"{name}: {100 * box.score:.0f} %" if scores else name, font, drawn.width - 2 * line)
        tag = _free_place(_in_pixels(box, drawn.size), _size(words, font, line), drawn.size, taken)
        taken.append(tag)
        tags.append((tag, words, colour(box.number)))
    for tag, words, ground in reversed(tags):
        pen.rectangle(tag, fill=ground)
        pen.text((tag[0] + line, tag[1] + line // 2), words, fill=_contrast(ground), font=font)
    return np.asarray(drawn)


def draw_mask(picture: Array, numbers: Array, classes: Sequence[str], *, least: int = LEAST) -> Array:
    """The picture painted with the colours of its pixels' classes, with a line around each area.

    The class called `background` is left as it is, void pixels are darkened.

    Shapes: uint8 [H, W, C], uint8 [h, w] -> uint8 [H * k, W * k, 3].
    """
    large = enlarged(picture, least)
    height, width = large.shape[:2]
    numbers = resize_mask(numbers.astype(np.uint8), height, width)
    palette = np.array([colour(number) for number in range(256)], np.float32)
    palette[VOID] = INK
    shares = np.full(256, PAINT, np.float32)
    shares[[number for number, name in enumerate(classes) if name == BACKGROUND]] = 0
    share = shares[numbers][..., None]
    painted = large * (1 - share) + palette[numbers] * share
    edge = _edges(numbers, max(1, max(height, width) // 160)) & (share[..., 0] > 0)
    painted[edge] = palette[numbers[edge]]
    return painted.round().astype(np.uint8)


def with_legend(picture: Array, labels: Sequence[tuple[str, int | None]], *, text: float = TEXT) -> Array:
    """The picture above a strip with labels, each behind the colour of its class if it has a number.

    Shapes: uint8 [H, W, 3] -> uint8 [H + strip, W, 3].
    """
    height, width = picture.shape[:2]
    font = _font((width, height), text)
    margin, line = max(3, font.size // 3), round(font.size * 1.5)
    places, x, y = [], margin, margin
    for words, number in labels:
        before = 0 if number is None else font.size + margin
        words = shortened(legible(words), font, width - 2 * margin - before)
        needed = before + round(font.getlength(words))
        if x > margin and x + needed > width - margin:
            x, y = margin, y + line
        places.append((x, y, before, words, number))
        x += needed + 2 * margin
    drawn = Image.new("RGB", (width, height + y + line if labels else height), STRIP)
    drawn.paste(Image.fromarray(picture))
    pen = ImageDraw.Draw(drawn)
    for x, y, before, words, number in places:
        top = height + y
        if number is not None:
            pen.rectangle((x, top, x + font.size, top + font.size), fill=colour(number), outline=INK)
        pen.text((x + before, top - font.size // 8), words, fill=INK, font=font)
    return np.asarray(drawn)


def legible(words: str, otherwise: str = "") -> str:
    """The words on one line as the font can write them: without accents, and `otherwise`, or ? for each letter it lacks."""
    plain = unicodedata.normalize("NFKD", " ".join(words.split()))
    letters = [letter for letter in plain if not unicodedata.combining(letter)]
    if otherwise and not (letters and all(map(_has, letters))):
        return otherwise
    return "".join(letter if _has(letter) else "?" for letter in letters)


def shortened(words: str, font: Any, width: int) -> str:
    """As much of the words as so many pixels hold."""
    if font.getlength(words) <= width:
        return words
    while words and font.getlength(words + "...") > width:
        words = words[:-1]
    return words.rstrip() + "..." if words else ""


def _font(size: tuple[int, int], text: float) -> Any:
    return _font_of(max(SMALLEST, round(text * max(size))))


@cache
def _font_of(size: int) -> Any:
    return ImageFont.load_default(size)


@cache
def _missing() -> bytes:
    return bytes(_font_of(SMALLEST).getmask("\uffff"))


@cache
def _has(letter: str) -> bool:
    """Whether the font has a letter: one that it lacks looks like any other that it lacks."""
    return letter == " " or bytes(_font_of(SMALLEST).getmask(letter)) != _missing()


def _contrast(ground: Colour) -> Colour:
    """Black or white, whichever is read better."""
    red, green, blue = ground
    return (0, 0, 0) if 299 * red + 587 * green + 114 * blue > 128_000 else (255, 255, 255)


def _size(words: str, font: Any, line: int) -> tuple[int, int]:
    return round(font.getlength(words)) + 2 * line, round(1.25 * font.size) + line


def _in_pixels(box: Box, size: tuple[int, int]) -> Place:
    """Inside the picture, and never of no area, which Pillow would refuse."""
    width, height = size
    left, top = (min(max(round(share * end), 0), end - 1) for share, end in ((box.xmin, width), (box.ymin, height)))
    right, bottom = (min(max(round(share * end) - 1, 0), end - 1) for share, end in ((box.xmax, width), (box.ymax, height)))
    return left, top, max(left, right), max(top, bottom)


def _shrunk(place: Place, by: int) -> Place:
    left, top, right, bottom = place
    return left + by, top + by, max(left + by, right - by), max(top + by, bottom - by)


def _free_place(box: Place, size: tuple[int, int], picture: tuple[int, int], taken: Sequence[Place]) -> Place:
    """Where a label of a box goes: above it, below it or inside, wherever no other label is; always inside the picture."""
    (left, top, right, bottom), (wide, high) = box, size
    places = []
    for x in (left, right - wide + 1):
        for y in (top - high, bottom + 1, top, bottom - high + 1):
            x_inside, y_inside = max(0, min(x, picture[0] - wide)), max(0, min(y, picture[1] - high))
            places.append((x_inside, y_inside, x_inside + wide - 1, y_inside + high - 1))
    return min(places, key=lambda place: sum(_shared(place, other) for other in taken))


def _shared(first: Place, second: Place) -> int:
    width = min(first[2], second[2]) - max(first[0], second[0]) + 1
    height = min(first[3], second[3]) - max(first[1], second[1]) + 1
    return max(0, width) * max(0, height)


def _edges(numbers: Array, width: int) -> Array:
    """Pixels beside one of another class."""
    edge = np.zeros(numbers.shape, bool)
    for step in range(1, width + 1):
        across, down = numbers[:, step:] != numbers[:, :-step], numbers[step:] != numbers[:-step]
        edge[:, step:] |= across
        edge[:, :-step] |= across
        edge[step:] |= down
        edge[:-step] |= down
    return edge
