"""A benchmark as a picture: how good against how long, a bubble a file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from app import style
from app.bench.figures import Benchmark, Row
from app.bench.labels import Box, Bubble, arrange
from app.errors import UserError

WIDTH, HEIGHT = 6.4, 4.4  # inches
LARGEST, SMALLEST = 700.0, 30.0  # areas of bubbles, in square points
LEAST_SPAN = 0.005  # of the metric, between the best and the worst as they are drawn: smaller differences are chance


def check_name(file: Path) -> None:
    """Refuses a name for something else than a PNG.

    Raises:
        UserError: says what is wanted.
    """
    if file.suffix.lower() != ".png":
        raise UserError(f"--plot {file}: the plot is written as PNG; give a name that ends in .png")


def draw(found: Benchmark, file: Path) -> None:
    """Writes the PNG: the release's metric against the median latency on the fewest threads, areas by the files' sizes.

    Raises:
        UserError: nothing was measured.
    """
    rows = [row for row in found.rows if row.timings]
    if not rows:
        raise UserError(f"--plot {file}: no file could be measured, so there is nothing to draw")
    runtimes = list(dict.fromkeys(row.runtime for row in rows))
    with style.picture(file, HEIGHT, WIDTH) as figure:
        axes = figure.subplots()
        largest = max(row.bytes for row in rows)
        areas = [max(SMALLEST, LARGEST * row.bytes / largest) for row in rows]
        colours = [style.COLOURS[runtimes.index(row.runtime)] for row in rows]
        for row, area, colour in zip(rows, areas, colours, strict=True):
            axes.scatter(*_place(row), s=area, color=colour, alpha=0.4, linewidths=0)
            axes.scatter(*_place(row), s=6, color=colour, linewidths=0, zorder=3)
        for runtime in runtimes:
            axes.scatter([], [], s=60, color=style.COLOURS[runtimes.index(runtime)], alpha=0.6, label=runtime)
        figure.legend(loc="outside upper left", ncols=len(runtimes), handletextpad=0.3, columnspacing=1.2)
        count = rows[0].timings[0].threads
        threads = "one thread" if count == 1 else f"{count} threads"
        axes.set_title(f"{found.release}, version {found.version}; areas by the size of the file")
        axes.set_xlabel(f"median latency of a picture in ms, {threads}")
        axes.set_ylabel(f"{found.metric} in %")
        _scale(axes, rows)
        figure.draw_without_rendering()  # where things stand is known from here on
        figure.set_layout_engine("none")
        _label(axes, rows, areas, colours)


def label(row: Row) -> str:
    """What a file is called in the plot: what tells it from the others of its runtime, and its size."""
    kind = Path(row.path).stem.partition("-")[2] or row.precision
    size = row.bytes / 2**10
    return f"{kind}, {size:,.0f} KiB" if size < 1000 else f"{kind}, {size / 2**10:,.1f} MiB"


def _place(row: Row) -> tuple[float, float]:
    return row.timings[0].median_ms, 100 * row.metric


def _scale(axes: Any, rows: Sequence[Row]) -> None:
    """Room around the bubbles for their labels; latencies on a logarithmic axis with plain numbers."""
    across, up = zip(*map(_place, rows), strict=True)
    factor = max((max(across) / min(across)) ** 0.2, 1.25)
    axes.set_xscale("log")
    axes.set_xlim(min(across) / factor, max(across) * factor)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    middle, half = (max(up) + min(up)) / 2, max(max(up) - min(up), 100 * LEAST_SPAN)
    axes.set_ylim(middle - half, middle + half)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: "" if value > 100 else f"{value:g}"))


def _label(axes: Any, rows: Sequence[Row], areas: Sequence[float], colours: Sequence[str]) -> None:
    """Writes above and below the bubbles what they are, with a line to each."""
    point = axes.figure.dpi / 72  # in pixels
    texts = [axes.text(*_place(row), label(row), fontsize=8, ha="left", va="bottom") for row in rows]
    extents = [text.get_window_extent() for text in texts]
    middles = axes.transData.transform([_place(row) for row in rows]) / point
    bubbles = [
        Bubble(float(x), float(y), math.sqrt(area / math.pi), one.width / point, one.height / point)
        for (x, y), area, one in zip(middles, areas, extents, strict=True)
    ]
    bounds = Box(*map(float, axes.bbox.extents / point))
    to_data = axes.transData.inverted()
    for bubble, place, text, colour in zip(bubbles, arrange(bubbles, bounds), texts, colours, strict=True):
        text.set_position(to_data.transform((place.label.left * point, place.label.bottom * point)))
        ends = to_data.transform([(bubble.x * point, end * point) for end in (place.line.bottom, place.line.top)])
        axes.plot(ends[:, 0], ends[:, 1], color=colour, linewidth=0.8)
