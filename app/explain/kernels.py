"""The classic kernels, and what each makes of a picture: the filters that people designed before networks learned theirs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, ImageOps

from app import style
from app.errors import UserError
from app.explain.convolution import correlate2d
from app.images import FORMATS, UnreadablePicture, load_picture, with_channels

Array = np.ndarray[Any, Any]
Rows = tuple[tuple[int, ...], ...]

SIDE = 200  # pixels of the longer side: few enough that what a kernel of 3x3 does can be seen
SMALLEST = 24  # of the shorter one, however long a picture is
COLUMNS = 4
CELL = 2.75  # inches of a picture's width
TALLEST = 2  # widths of a picture's height; a taller one is drawn narrower
STRIP = 0.95  # inches below a picture, for the kernel and what it does
GAP = 0.1  # inches around a picture
DOTS_PER_INCH = 160
BRIGHTEST = 99  # per cent of the values that a scale shows; few edges are far stronger than the rest
POSITIVE, NEGATIVE = style.COLOURS[:2]
STYLE = {**style.STYLE, "font.size": 9}


@dataclass(frozen=True)
class Kernel:
    """A matrix of whole numbers over one divisor, and what it does to a picture in a few words."""

    name: str
    effect: str
    rows: Rows
    divisor: int = 1

    @property
    def weights(self) -> Array:
        """Shapes: [rows, columns, 1, 1], for one channel."""
        return np.array(self.rows, float)[:, :, None, None] / self.divisor

    @property
    def finds_changes(self) -> bool:
        """Whether an even surface gives 0, so that what remains is a change and may be negative."""
        return sum(map(sum, self.rows)) == 0


KERNELS = (
    Kernel("mean", "a blur: the average\nof nine pixels", ((1, 1, 1), (1, 1, 1), (1, 1, 1)), 9),
    Kernel("Gaussian", "a softer blur: near\npixels count more", ((1, 2, 1), (2, 4, 2), (1, 2, 1)), 16),
    Kernel("sharpen", "the picture and its\ndifference from a blur", ((0, -1, 0), (-1, 5, -1), (0, -1, 0))),
    Kernel("edge (Laplacian)", "what differs from\nits neighbours", ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1))),
    Kernel("Sobel x", "upright edges; white:\nlighter to the right", ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))),
    Kernel("Sobel y", "level edges; white:\nlighter downwards", ((-1, -2, -1), (0, 0, 0), (1, 2, 1))),
    Kernel("emboss", "a relief, lit from\nthe upper left", ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))),
)


def draw_kernels(picture: str | None, file: str | Path) -> None:
    """Writes a PNG of the picture and of what each kernel makes of it.

    Args:
        picture: None: a photograph that comes with scikit-learn.
    Raises:
        UserError: the picture cannot be read, or the file's name does not end in .png.
    """
    file = Path(file)
    if file.suffix.lower() != ".png":
        raise UserError(f"{file}: the kernels are drawn as PNG; give a name that ends in .png")
    original = read(picture or shipped())
    file.parent.mkdir(parents=True, exist_ok=True)
    height, width = original.shape[:2]
    rows = -(-(1 + len(KERNELS)) // COLUMNS)
    with rc_context(STYLE):
        tall = CELL * min(height / width, TALLEST)
        figure = Figure(figsize=(COLUMNS * CELL, rows * (tall + STRIP)))
        for place in range(1 + len(KERNELS)):
            _draw_cell(figure, place, rows, tall, original, KERNELS[place - 1] if place else None)
        figure.savefig(file, dpi=DOTS_PER_INCH)


def read(picture: str | Path) -> Array:
    """The picture with its longer side at `SIDE` pixels. Shapes: uint8 [H, W, 3].

    Raises:
        UserError: it cannot be read.
    """
    try:
        load_picture(picture, (1, 1, 3))  # all that may be wrong with it is told here
        with Image.open(picture, formats=FORMATS) as image:
            width, height = ImageOps.exif_transpose(image).size
        shrink = SIDE / max(width, height)
        return load_picture(picture, (max(SMALLEST, round(height * shrink)), max(SMALLEST, round(width * shrink)), 3))
    except UnreadablePicture as error:
        raise UserError(f"{picture}: {error}; give a picture as {', '.join(FORMATS)}") from None


def shipped() -> Path:
    """The photograph of a pagoda that comes with scikit-learn: straight edges, curves and leaves."""
    import sklearn.datasets

    return Path(sklearn.datasets.__file__).parent / "images" / "china.jpg"


def filtered(picture: Array, kernel: Kernel) -> Array:
    """What a kernel makes of a picture: of each of its colours, or of its grey if the kernel finds changes.

    Shapes: uint8 [H, W, 3] -> float [H - rows + 1, W - columns + 1, 3 or 1]; no padding, whose edge would be found too.
    """
    plain = with_channels(picture, 1 if kernel.finds_changes else 3).astype(float)
    one_colour_each = plain.transpose(2, 0, 1)[..., None]
    colours: Array = correlate2d(one_colour_each, kernel.weights)[..., 0]
    return colours.transpose(1, 2, 0)


def shades(values: Array, kernel: Kernel) -> Array:
    """Values as they can be shown: cut to 0..255, or 0 as middle grey and the strongest changes as black and white.

    Shapes: float [H, W, 3 or 1] -> uint8 [H, W, 3 or 1].
    """
    if kernel.finds_changes:
        strongest = np.percentile(abs(values), BRIGHTEST) or 1
        values = 127.5 + 127.5 * values / strongest
    return values.clip(0, 255).round().astype(np.uint8)


def _draw_cell(figure: Any, place: int, rows: int, tall: float, original: Array, kernel: Kernel | None) -> None:
    """A picture and the strip below it: the kernel on the left, its name and effect on the right."""
    across, down = figure.get_size_inches()
    left = place % COLUMNS * CELL
    bottom = (rows - 1 - place // COLUMNS) * (tall + STRIP)

    def axes(x: float, y: float, width: float, height: float) -> Any:
        inside = figure.add_axes(((left + x) / across, (bottom + y) / down, width / across, height / down))
        inside.set_axis_off()
        return inside

    shown = original if kernel is None else shades(filtered(original, kernel), kernel)
    axes(GAP / 2, STRIP - GAP / 2, CELL - GAP, tall - GAP / 2).imshow(shown.squeeze(), cmap="gray", vmin=0, vmax=255)
    words = axes(0.1 if kernel is None else STRIP, 0, CELL, STRIP - GAP)
    name, effect, note = _told(original, kernel)
    words.text(0, 0.9, name, weight="bold", va="top", transform=words.transAxes)
    words.text(0, 0.68, effect, va="top", fontsize=8, linespacing=1.3, transform=words.transAxes)
    words.text(0, 0.26, note, va="top", fontsize=7.5, color="#666666", transform=words.transAxes)
    if kernel:
        _draw_matrix(axes(0.1, 0.12, STRIP - 0.25, STRIP - 0.25), kernel)


def _told(original: Array, kernel: Kernel | None) -> tuple[str, str, str]:
    """Name, effect, and what has to be known to read the numbers or the shades."""
    if kernel is None:
        height, width = original.shape[:2]
        return "original", "Each of the others is its cross-correlation\nwith the kernel below it.", f"{width}x{height} pixels"
    note = "grey is 0, black is negative" if kernel.finds_changes else ""
    return kernel.name, kernel.effect, f"all divided by {kernel.divisor}" if kernel.divisor > 1 else note


def _draw_matrix(axes: Any, kernel: Kernel) -> None:
    """The numbers of a kernel on squares that are the more coloured, the more they weigh."""
    heaviest = max(abs(value) for row in kernel.rows for value in row)
    for i, row in enumerate(kernel.rows):
        for j, value in enumerate(row):
            colour = POSITIVE if value > 0 else NEGATIVE
            axes.add_patch(
                Rectangle((j, i), 1, 1, facecolor=(colour, 0.45 * abs(value) / heaviest), edgecolor="#888888", linewidth=0.6)
            )
            axes.text(j + 0.5, i + 0.5, str(value).replace("-", "\N{MINUS SIGN}"), ha="center", va="center", fontsize=8)
    axes.set(xlim=(-0.05, len(kernel.rows[0]) + 0.05), ylim=(len(kernel.rows) + 0.05, -0.05), aspect="equal")
