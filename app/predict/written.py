"""Answers as text, JSON and CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TextIO

from app.answers import LABELS, Answer, AnyAnswer, Box, Boxes, Mask
from app.predict.ask import Row

NOTHING = "nothing found"


def write_text(rows: Iterable[Row], file: TextIO) -> None:
    """A line a picture for people: the path, and the labels with their percentages, or the reason."""
    for path, answer in rows:
        file.write(f"{path}: {answer if isinstance(answer, str) else tell(answer)}\n")


def tell(answer: AnyAnswer) -> str:
    """An answer in one line."""
    if isinstance(answer, Boxes):
        return "  ".join(map(_place, answer.boxes)) or NOTHING
    if isinstance(answer, Mask):
        return "  ".join(f"{one.label} {one.share:.1%}" for one in answer.shares)
    labels = "  ".join(f"{one.label} {one.probability:.1%}" for one in answer.labels)
    return f"none of these (nearest: {labels})" if answer.none_of_these else labels


def _place(box: Box) -> str:
    across, down = f"x {100 * box.xmin:.0f}-{100 * box.xmax:.0f}", f"y {100 * box.ymin:.0f}-{100 * box.ymax:.0f}"
    return f"{box.label} {box.score:.1%} ({across}, {down})"


def write_json(rows: Iterable[Row], file: TextIO) -> None:
    """An object a line: the path, with labels, boxes, a mask or an error."""
    for path, answer in rows:
        values = {"error": answer} if isinstance(answer, str) else answer.to_json()
        file.write(json.dumps({"path": path, **values}, ensure_ascii=False) + "\n")


def write_csv(rows: Iterable[Row], file: TextIO, objective: str, top: int | None) -> None:
    """A table: a line a picture with its labels, a line a box, or a line a class of a mask; and why there is none.

    Open the file with newline="".

    Args:
        objective: whose answers they are.
        top: how many labels an answer was asked for.
    """
    table, writer = TABLES[objective], csv.writer(file)
    columns = table.columns(top or LABELS)
    writer.writerow(["path", *columns, "error"])
    for path, answer in rows:
        if isinstance(answer, str):
            writer.writerow([path, *[""] * len(columns), answer])
            continue
        writer.writerows([path, *line, ""] for line in table.lines(answer, len(columns)))


@dataclass(frozen=True)
class Table:
    """How the answers to a kind of question stand in a table.

    Args:
        columns: how many labels to the names of columns, without path and error.
        lines: an answer and how many columns there are to the cells of its lines.
    """

    columns: Callable[[int], list[str]]
    lines: Callable[[Any, int], list[list[Any]]]


def _label_columns(top: int) -> list[str]:
    """label, probability, label2, probability2, ..., none_of_these."""
    numbers = ["", *map(str, range(2, top + 1))]
    return [f"{column}{number}" for number in numbers for column in ("label", "probability")] + ["none_of_these"]


def _label_lines(answer: Answer, columns: int) -> list[list[Any]]:
    cells: list[Any] = [cell for label in answer.labels for cell in (label.label, label.probability)]
    return [[*cells, *[""] * (columns - 1 - len(cells)), str(answer.none_of_these).lower()]]


def _box_lines(answer: Boxes, columns: int) -> list[list[Any]]:
    """A picture without a box has a line too."""
    lines = [[one.label, one.score, one.ymin, one.xmin, one.ymax, one.xmax] for one in answer.boxes]
    return lines or [[""] * columns]


TABLES = {
    "classification": Table(_label_columns, _label_lines),
    "detection": Table(lambda _: ["label", "score", "ymin", "xmin", "ymax", "xmax"], _box_lines),
    "segmentation": Table(lambda _: ["label", "share"], lambda answer, _: [[one.label, one.share] for one in answer.shares]),
}
