"""Plain-text tables for a terminal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

NUMBER = re.compile(r"[-+]?\d[\d,.]*(e[-+]?\d+)?( ?(%|[A-Za-z]{1,3}))?( of \d+)?")
GAP = "  "


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Headers, a rule and a line a row; columns of numbers (`12`, `1,200`, `98.6 %`, `8 of 20`) are set to the right.

    Cells without a digit (`not yet`) do not keep a column from being one of numbers. None is an empty cell.
    """
    cells = [[_text(cell) for cell in row] for row in rows]
    columns = [list(column) for column in zip(*cells, strict=True)] or [[] for _ in headers]
    widths = [max(map(_width, [header, *column])) for header, column in zip(headers, columns, strict=True)]
    right = [_is_numeric(column) for column in columns]

    def line(values: Sequence[str]) -> str:
        return GAP.join(_pad(*cell) for cell in zip(values, widths, right, strict=True)).rstrip()

    return "\n".join([line(headers), GAP.join("-" * width for width in widths), *map(line, cells)])


def short(number: int) -> str:
    """`416,520` as `0.42 M`, `15,470,264,320` as `15.47 G`; what is below 100,000 in full."""
    for least, size, unit in ((10**9, 10**9, "G"), (10**5, 10**6, "M")):
        if number >= least:
            return f"{number / size:.{2 if number < 100 * size else 0}f} {unit}"
    return f"{number:,}"


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return " ".join((f"{cell:g}" if isinstance(cell, float) else str(cell)).split())


def _is_numeric(column: Sequence[str]) -> bool:
    telling = [cell for cell in column if re.search(r"\d", cell)]
    return bool(telling) and all(NUMBER.fullmatch(cell) for cell in telling)


def _width(text: str) -> int:
    """Columns of a terminal: Chinese characters take two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _pad(text: str, width: int, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space
