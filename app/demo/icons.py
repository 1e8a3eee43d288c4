"""The sign of the page on a home screen: the bars of an answer, the first in colour."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

GROUND, FIRST, OTHERS = "#000000", "#56B4E9", "#FFFFFF"
LENGTHS = (0.5, 0.32, 0.18)  # of the side: within the circle that a phone may cut out
THICKNESS, GAP = 0.11, 0.07
SIZES = (180, 192, 512)  # Apple's, and the two that browsers ask for
FINER = 4  # times larger when drawn, for smooth edges


def icon_path(size: int) -> str:
    """Where the icon of that size lies in the site."""
    return f"icons/{size}.png"


def write_icons(site: Path) -> None:
    """Draws the icons into a site."""
    (site / "icons").mkdir(parents=True, exist_ok=True)
    for size in SIZES:
        _draw(size * FINER).resize((size, size), Image.Resampling.LANCZOS).save(site / icon_path(size), optimize=True)


def _draw(side: int) -> Image.Image:
    image = Image.new("RGB", (side, side), GROUND)
    pen = ImageDraw.Draw(image)
    top = (1 - len(LENGTHS) * THICKNESS - (len(LENGTHS) - 1) * GAP) / 2
    left = (1 - LENGTHS[0]) / 2
    for row, length in enumerate(LENGTHS):
        start = top + row * (THICKNESS + GAP)
        box = tuple(round(side * edge) for edge in (left, start, left + length, start + THICKNESS))
        pen.rounded_rectangle(box, radius=side * THICKNESS / 5, fill=OTHERS if row else FIRST)
    return image
