"""Answers drawn on their pictures, a PNG each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.answers import AnyAnswer, Boxes, Mask
from app.draw import draw_boxes, draw_mask, enlarged, legible, with_legend
from app.errors import UserError
from app.images import load_picture, upright_size
from app.predict.ask import Row
from app.predict.written import NOTHING, tell
from app.runs import make_writable

ENDING = "-answer"  # of the files' names: none of a person's own pictures is called so


def draw_rows(rows: Iterable[Row], folder: Path) -> Iterator[Row]:
    """The rows as they come, each drawn into a folder as `NAME-answer.png`; one that has no answer is not.

    Pictures of one name are numbered: `NAME-answer-2.png`.

    Raises:
        UserError: the folder cannot be written; at once.
    """
    try:
        make_writable(folder)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return _drawn(rows, folder)


def _drawn(rows: Iterable[Row], folder: Path) -> Iterator[Row]:
    taken: set[str] = set()
    for path, answer in rows:
        if not isinstance(answer, str):
            name = Path(path).stem + ENDING
            number = 1
            while (one := f"{name}-{number}" if number > 1 else name).lower() in taken:  # some disks know no capitals
                number += 1
            taken.add(one.lower())
            try:
                Image.fromarray(draw_answer(path, answer)).save(folder / f"{one}.png")
            except OSError as error:
                raise _unwritable(folder, error) from None
        yield path, answer


def draw_answer(path: str, answer: AnyAnswer) -> np.ndarray[Any, Any]:
    """The picture in a file at its own size, with the answer on it, or below it.

    Shapes: uint8 [H, W, 3].
    """
    picture = load_picture(path, (*upright_size(path), 3))
    if isinstance(answer, Boxes):
        return draw_boxes(picture, answer.boxes) if answer.boxes else with_legend(enlarged(picture), [(NOTHING, None)])
    if isinstance(answer, Mask):
        labels = [(f"{legible(one.label, f'class {one.number}')}: {one.share:.1%}", one.number) for one in answer.shares]
        return with_legend(draw_mask(picture, answer.pixels, answer.classes), labels)
    words = [tell(answer)] if answer.none_of_these else [f"{one.label}: {one.probability:.1%}" for one in answer.labels]
    return with_legend(enlarged(picture), [(word, None) for word in words])


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(f"--draw {folder} cannot be written ({error.strerror or error}); give a folder that can")
