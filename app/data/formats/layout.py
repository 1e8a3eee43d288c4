"""Which format a person's folder of annotated pictures has, told by what is there and what is wanted of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.data.files import find_below, split_folders
from app.data.formats import coco, masks, voc, yolo
from app.data.spec import Source
from app.errors import UserError
from models.spec import Objective

MOST_TOLD = 8  # entries of a folder that a message names


@dataclass(frozen=True)
class Format:
    """A way in which annotations are written.

    Args:
        fits: whether a folder looks like it, cheaply.
        expected: what such a folder looks like, for a message.
    """

    fits: Callable[[Path], bool]
    load: Callable[[Path, int], Source]
    expected: str


FORMATS: dict[Objective, tuple[Format, ...]] = {
    "detection": (
        Format(coco.fits, partial(coco.load, objective="detection"), coco.LAYOUT),
        Format(voc.fits, voc.load, voc.LAYOUT),
        Format(yolo.fits, yolo.load, yolo.LAYOUT),
    ),
    "segmentation": (
        Format(masks.fits, masks.load, masks.LAYOUT),
        Format(coco.fits, partial(coco.load, objective="segmentation"), coco.LAYOUT),
    ),
}
PAIRS = (("images", "masks"), ("images", "labels"), ("images", "annotations"), ("jpegimages", "annotations"))


def load(folder: Path, split_seed: int, objective: Objective) -> Source:
    """The pictures of a folder with their boxes or masks.

    Raises:
        UserError: it has none of the formats known for that, or not enough to train on.
    """
    for form in FORMATS[objective]:
        if form.fits(folder):
            return form.load(folder, split_seed)
    others = [name for name, forms in FORMATS.items() if name != objective and any(form.fits(folder) for form in forms)]
    hint = f", which is for {others[0]}" if others else ""
    accepted = "; ".join(form.expected for form in FORMATS[objective])
    raise UserError(f"{folder} has {_entries(folder)}{hint}; for {objective} there has to be {accepted}")


def check_is_of_classes(folder: Path) -> None:
    """Refuses to take a folder of pictures and one of their annotations for two classes.

    Raises:
        UserError: it holds both.
    """
    pairs = [pair for pair in PAIRS for top in (folder, *split_folders(folder)) if all(find_below(top, name) for name in pair)]
    kinds = [name for name, forms in FORMATS.items() if any(form.fits(folder) for form in forms)] if pairs else []
    if kinds:
        needs = f"choose a network for {' or '.join(kinds)} (python -m app models lists them)"
        raise UserError(f"{folder} has {' and '.join(pairs[0])}, not a folder for each class; {needs}")


def _entries(folder: Path) -> str:
    names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in sorted(folder.iterdir())]
    more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
    return (", ".join(names[:MOST_TOLD]) or "nothing in it") + more
