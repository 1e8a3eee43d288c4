"""A network as a picture: a box for each layer's output, and below it what the layer costs and sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from app import style
from app.errors import UserError
from app.explain.inspect import Inspection, LayerRow, by
from app.tables import short

FORMATS = (".png", ".svg", ".pdf")
DOTS_PER_INCH = 160
STYLE = {
    **style.STYLE,
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.grid.axis": "y",
    "svg.hashsalt": "convoy",  # the same file for the same network
}

# What a box is, by words in the name of its class, the first that fits; colours of Okabe and Ito.
KINDS = (
    ("picture", ("InputLayer",), "#BBBBBB"),
    ("transposed convolution", ("Transpose", "UpSampling", "Unpool"), "#56B4E9"),
    ("depthwise convolution", ("Depthwise", "Separable"), "#009E73"),
    ("convolution", ("Conv",), "#0072B2"),
    ("pooling", ("Pool", "Subsampling"), "#D55E00"),
    ("concatenation", ("Concatenate",), "#F0E442"),
    ("recurrent", ("RNN", "LSTM", "GRU", "Bidirectional"), "#CC79A7"),
)
DENSE = ("dense", "#E69F00")  # every other that multiplies
LABELLED = 26  # boxes that leave room for a name below each
SLOT, NARROW = 0.56, 0.14  # inches from one box to the next with and without names, at least
SMALLEST, WIDEST = 7.0, 14.0  # inches of the picture's width
LETTER = 0.075  # inches
TALLEST, SLANT = 1.9, 0.19  # inches of the largest map's height; how far back a box goes, up and aside, as a share of its width
FLOOR = -TALLEST * (1 + SLANT) / 2 - 0.1  # inches below the middle: where labels begin
BAR = 0.7  # of the way from one box to the next
SLANTED = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
UNITS = ((1e9, " G"), (1e6, " M"), (1e3, " k"))


@dataclass(frozen=True)
class Box:
    """A layer that is drawn, with the costs of those that follow it without changing sizes."""

    row: LayerRow
    kind: str
    colour: str
    parameters: int
    macs: int


def check_name(file: Path) -> None:
    """Refuses a name whose ending says no format that can be written.

    Raises:
        UserError: with the endings that can.
    """
    if file.suffix.lower() not in FORMATS:
        raise UserError(f"--plot {file}: the network can be drawn as {', '.join(FORMATS)}; give a name that ends so")


def draw(inspection: Inspection, file: Path) -> None:
    """Writes the picture of a network as PNG, SVG or PDF, by the file's name."""
    check_name(file)
    boxes = boxes_of(inspection.layers)
    named = len(boxes) <= LABELLED
    width = min(max(SMALLEST, (SLOT if named else NARROW) * len(boxes) + 1.4), WIDEST)
    slot = (width - 1.0) / (len(boxes) + 0.6)
    with rc_context(STYLE):
        figure = Figure(figsize=(width, 7.4 if named else 7.0), layout="constrained")
        picture, *panels = figure.subplots(4, 1, sharex=True, height_ratios=(4.6 if named else 4, 1.3, 1.3, 1.3))
        figure.suptitle(_title(inspection), x=0.01, ha="left", fontsize=10.5, linespacing=1.4)
        _draw_boxes(picture, boxes, slot, named)
        _label_boxes(picture, boxes, slot) if named else _label_stages(picture, boxes, slot)
        _draw_costs(panels[0], "multiply-adds", [box.macs for box in boxes], boxes)
        _draw_costs(panels[1], "parameters", [box.parameters for box in boxes], boxes)
        _draw_fields(panels[2], inspection, boxes)
        figure.legend(handles=_legend(boxes), loc="outside lower left", ncols=8, fontsize=8.5, handlelength=1.1)
        settings: dict[str, Any] = {"metadata": {"Date": None}} if file.suffix.lower() == ".svg" else {}
        figure.savefig(file, dpi=DOTS_PER_INCH, **settings)


def boxes_of(layers: Sequence[LayerRow]) -> list[Box]:
    """The layers worth a box: those that multiply, pool, enlarge or concatenate, and the picture itself."""
    boxes: list[Box] = []
    for row in layers:
        kind, colour = next(
            ((name, colour) for name, words, colour in KINDS if any(word in row.kind for word in words)),
            DENSE if row.macs else ("", ""),
        )
        if kind:
            boxes.append(Box(row, kind, colour, row.parameters, row.macs))
        elif boxes:
            last = boxes[-1]
            boxes[-1] = Box(last.row, last.kind, last.colour, last.parameters + row.parameters, last.macs + row.macs)
    return boxes


def _title(inspection: Inspection) -> str:
    height, width, channels = inspection.input_shape
    sizes = f"{short(inspection.parameters)} parameters, {short(inspection.macs)} multiply-adds"
    return f"{inspection.title}\n{height}x{width}x{channels} to {inspection.classes} classes, {sizes}"


def _draw_boxes(axes: Any, boxes: Sequence[Box], slot: float, roomy: bool) -> None:
    """Boxes in a row; one unit across is a slot, one unit up is an inch, so that a slanted depth looks like one."""
    side = max(math.sqrt(max(_height(box.row), _width(box.row))) for box in boxes)
    channels = max(_channels(box.row) for box in boxes)
    for place, box in enumerate(boxes):
        share = math.log2(1 + _channels(box.row)) / math.log2(1 + channels)
        thick = (0.05 + 0.25 * share) / slot if roomy else 0.78
        if len(box.row.output_shape) == 1:  # a vector has no height: its length is
            tall, deep, thick = 0.25 + 1.1 * share, 0.0, thick * 0.4
        else:
            tall = TALLEST * math.sqrt(_height(box.row)) / side
            deep = SLANT * TALLEST * math.sqrt(_width(box.row)) / side
        left, right, over, up = place - thick / 2, place + thick / 2, deep / slot, deep
        edge: dict[str, Any] = {"edgecolor": "#222222" if roomy else "white", "linewidth": 0.6 if roomy else 0.25}
        base = -tall / 2 - up / 2
        top = [(left, base + tall), (right, base + tall), (right + over, base + tall + up), (left + over, base + tall + up)]
        aside = [(right, base), (right, base + tall), (right + over, base + tall + up), (right + over, base + up)]
        axes.add_patch(Polygon(aside, facecolor=_shade(box.colour, 0.72), **edge))
        axes.add_patch(Polygon(top, facecolor=_shade(box.colour, 1.35), **edge))
        axes.add_patch(Rectangle((left, base), thick, tall, facecolor=box.colour, **edge))
    axes.set_xlim(-0.8, len(boxes) - 0.2)
    axes.set_axis_off()


def _label_boxes(axes: Any, boxes: Sequence[Box], slot: float) -> None:
    """Name and size below each box."""
    labels = [(box.row.name, by(box.row.output_shape)) for box in boxes]
    slanted = LETTER * max(len(line) for label in labels for line in label) > slot
    turn = SLANTED if slanted else {"ha": "center"}
    for place, label in enumerate(labels):
        axes.text(place, FLOOR, "\n".join(label), va="top", fontsize=8, linespacing=1.3, **turn)
    axes.set_ylim(FLOOR - (0.95 if slanted else 0.45), -FLOOR)


def _label_stages(axes: Any, boxes: Sequence[Box], slot: float) -> None:
    """A bracket under neighbours of the same height and width, with their size, number and channels."""
    starts = [i for i, box in enumerate(boxes) if not i or _area(box.row) != _area(boxes[i - 1].row)]
    for start, end in zip(starts, [*starts[1:], len(boxes)], strict=True):
        stage = [box.row for box in boxes[start:end]]
        if len(stage) < 3 or not _area(stage[0]):
            continue
        axes.plot([start - 0.4, end - 0.6], [FLOOR, FLOOR], color="#555555", linewidth=1, solid_capstyle="butt")
        few, many = min(map(_channels, stage)), max(map(_channels, stage))
        lines = [by(_area(stage[0])), f"{len(stage)} layers", f"{few} to {many} maps" if few < many else f"{many} maps"]
        lines = [line for line in lines if LETTER * len(line) < slot * len(stage) or line == lines[0]]
        middle = (start + end - 1) / 2
        axes.text(middle, FLOOR - 0.06, "\n".join(lines), va="top", ha="center", fontsize=8, linespacing=1.3)
    axes.set_ylim(FLOOR - 0.6, -FLOOR)


def _draw_costs(axes: Any, title: str, values: Sequence[int], boxes: Sequence[Box]) -> None:
    axes.bar(range(len(boxes)), values, width=BAR, color=[box.colour for box in boxes])
    axes.set_title(title)
    size, unit = next(((size, unit) for size, unit in UNITS if max(values) >= size), (1, ""))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / size:g}{unit if value else ''}"))
    axes.set_xticks([])


def _draw_fields(axes: Any, inspection: Inspection, boxes: Sequence[Box]) -> None:
    """Receptive fields up to the first layer that sees everything, and the picture's size to compare."""
    side = max(inspection.input_shape[:2])
    fields = [max(box.row.receptive_field) for box in boxes]
    colours = [_shade(box.colour, 1.35) if box.row.sees_all else box.colour for box in boxes]
    axes.bar(range(len(boxes)), fields, width=BAR, color=colours)
    axes.axhline(side, color="#222222", linewidth=0.9, linestyle=":")
    axes.annotate(f"picture: {side}", (-0.7, side), (0, 2), textcoords="offset points", fontsize=7.5)
    axes.set_ylim(top=1.25 * max(side, *fields))
    axes.set_title("receptive field in pixels (pale: the whole picture)")
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.set_xticks([])


def _legend(boxes: Sequence[Box]) -> list[Patch]:
    return [Patch(facecolor=colour, label=kind) for kind, colour in dict.fromkeys((box.kind, box.colour) for box in boxes)]


def _shade(colour: str, times: float) -> str:
    """Darker below 1, mixed with white above."""
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    mixed = [part * times if times <= 1 else 255 - (255 - part) / times**2 for part in parts]
    return "#" + "".join(f"{round(part):02X}" for part in mixed)


def _area(row: LayerRow) -> tuple[int, ...]:
    return row.output_shape[:-1]


def _height(row: LayerRow) -> int:
    return row.output_shape[0] if len(row.output_shape) > 1 else 1


def _width(row: LayerRow) -> int:
    return row.output_shape[1] if len(row.output_shape) > 2 else 1


def _channels(row: LayerRow) -> int:
    return row.output_shape[-1]
