"""What all plots share: size, colours, type, and names that the font can write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font

FONT = "DejaVu Sans"  # ships with matplotlib, so that a plot looks the same everywhere
WIDTH = 4.8  # inches: at this width 10 points can still be read on a phone, and the plot fills half a desktop page
DOTS_PER_INCH = 200

# Okabe and Ito's colours for every kind of colour vision; grey in place of yellow, which is too pale for a line on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
VALIDATION, TRAINING, RATE = COLOURS[0], COLOURS[1], "#555555"

STYLE = {
    "font.family": FONT,
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "figure.facecolor": "white",  # a white card: readable on a dark page as well
    "text.parse_math": False,  # a class may be called "$x$"
    "text.usetex": False,
}


@contextmanager
def picture(file: Path, height: float, width: float = WIDTH, *, fitted: bool = False) -> Iterator[Any]:
    """A figure in the shared style, written to the PNG when the block ends; `fitted` to what is drawn. Sizes in inches."""
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        figure.savefig(file, dpi=DOTS_PER_INCH, bbox_inches="tight" if fitted else None, pad_inches=0.06)


def class_labels(classes: Sequence[str], longest: int = 18) -> list[str]:
    """The names of classes as a plot can write them: shortened, or `class 3` where the font lacks a character."""
    return [drawable(name, f"class\N{NO-BREAK SPACE}{index}", longest) for index, name in enumerate(classes)]


def drawable(text: str, otherwise: str, longest: int = 60) -> str:
    """The text on one line, or `otherwise` if the font cannot write it."""
    line = " ".join(text.split())
    if not writable(line):
        return otherwise
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def writable(text: str) -> bool:
    """Whether the font has every character."""
    return bool(text.split()) and all(_font().get_char_index(ord(character)) for character in " ".join(text.split()))


@cache
def _font() -> Any:
    return FT2Font(findfont(FONT))
