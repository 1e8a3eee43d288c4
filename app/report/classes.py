"""What reports of every kind have about classes: which is taken for which, and a row each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from app.draw import colour
from app.metrics.segmentation import BACKGROUND
from app.report import markup
from app.report.confusion import COUNTED, NAMED, confused_pairs, draw_confusion
from app.report.material import Material
from app.report.words import NOT_RECORDED, count, percent
from app.style import writable

SHOWN = 25  # rows of the table of classes before the rest is folded
Column = tuple[str, str, Callable[[Any], str]]  # its header, the key of its figure, and how that is written


def confusion_section(run: Material, counts: Any, classes: Sequence[str], counted: str, note: str = "") -> str:
    """The matrix of classes, or that there is none.

    Args:
        counts: truth by answer.
        counted: what they are of, as in `pictures`.
    """
    heading, file = "What is taken for what", run.file("confusion.png")
    if counts is None:
        return markup.section(heading, markup.paragraph(f"The confusion of classes was {NOT_RECORDED}."))
    counts = np.asarray(counts)
    draw_confusion(counts, classes, file, in_shares=counted == "pixels")
    pairs = confused_pairs(counts, classes)
    worst = f"most often, {pairs[0].truth} was taken for {pairs[0].taken_for}" if pairs else "there are no mistakes"
    alternative = f"Confusion of {len(classes)} classes, truth by answer, coloured by the share of the row: {worst}."
    parts = [markup.image(file, alternative)]
    if note:
        parts.append(markup.paragraph(note, "quiet"))
    if numbered(classes):
        note = "A class that the picture cannot name stands there by its number, which Class by class has before the name."
        parts.append(markup.paragraph(note, "quiet"))
    if len(classes) > COUNTED and pairs:
        rows = [(pair.truth, pair.taken_for, count(pair.pictures), percent(pair.share)) for pair in pairs]
        parts.append(markup.table(("is", "was taken for", counted, "of its class"), rows, (2, 3), "The most confused pairs"))
    return markup.section(heading, *parts)


def class_section(run: Material, columns: Sequence[Column], caption: str) -> str:
    """A row a class, the one with the lowest figure of the first column first."""
    measured: dict[str, dict[str, Any]] = run.test.get("classes") or {}
    if not measured:
        return ""
    names = {name: f"{number} \u00b7 " for number, name in enumerate(run.run.classes)} if numbered(run.run.classes) else {}
    first = columns[0][1]
    # Of a class that was not asked for, there is no figure; it comes last.
    order = sorted(measured.items(), key=lambda item: (item[1].get(first, 0.0) is None, item[1].get(first, 0.0) or 0.0))
    rows = [(names.get(name, "") + name, *(write(row.get(key)) for _, key, write in columns)) for name, row in order]
    headers, right = ("class", *(header for header, _, _ in columns)), range(1, len(columns) + 1)
    parts = [markup.table(headers, rows[:SHOWN], right, caption)]
    if rest := rows[SHOWN:]:
        parts.append(markup.more(f"the other {len(rest)} classes", markup.table(headers, rest, right)))
    return markup.section("Class by class", *parts, wide=True)


def points(share: float | None) -> str:
    """A share in percent without the sign, for a column; a dash where there is none to give."""
    return "\u2013" if share is None else percent(share).removesuffix(" %")


def numbered(classes: Sequence[str]) -> bool:
    """Whether plots have numbers of classes in place of names."""
    return len(classes) > NAMED or not all(map(writable, classes))


def colours(classes: Sequence[str]) -> str:
    """The colours that the classes have on pictures; the background is left as it is."""
    return markup.legend((name, colour(number)) for number, name in enumerate(classes) if name != BACKGROUND)
