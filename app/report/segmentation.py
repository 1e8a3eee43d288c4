"""What a report says of a network that tells what every pixel belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from app.draw import draw_mask, enlarged
from app.metrics.segmentation import likeliest, measure
from app.report import markup
from app.report.batch import batch_section, first_pictures
from app.report.classes import class_section, colours, confusion_section, points
from app.report.material import Material
from app.report.samples import draw_tiles, spread
from app.report.words import NOT_RECORDED, count, percent, plural

Array = np.ndarray[Any, Any]
SCENES, TILES = 4, 9  # pictures beside their truth, and pictures of a batch
LEAST = 320  # pixels that a tile has room for


def facts(run: Material) -> list[tuple[str, str]]:
    """Names and values among the figures."""
    return [
        ("mean IoU without background", percent(run.test.get("foreground_miou"))),
        ("right pixels", percent(run.test.get("accuracy"))),
        ("right pixels, mean of the classes", percent(run.test.get("class_accuracy"))),
    ]


def _confusion(run: Material) -> str:
    note = "Shares of the pixels of each row; void ones are not counted."
    return confusion_section(run, run.test.get("confusion"), run.run.classes, "pixels", note)


def _seen(run: Material) -> str:
    heading = "What it sees"
    if not run.heldout:
        return markup.section(heading, markup.paragraph(f"Held-out pictures were {NOT_RECORDED}."))
    note = "Held-out pictures, what is true of them, and what the network tells, with its mean IoU. Void pixels are darkened."
    parts = (markup.paragraph(note, "quiet"), _scenes(run, spread(len(run.heldout["images"]), SCENES), "seen.png"))
    return markup.section(heading, *parts, colours(run.run.classes))


def _worst(run: Material) -> str:
    if not run.heldout:
        return ""
    shares = np.array([_miou(run, i) for i in range(len(run.heldout["images"]))])
    chosen = np.argsort(shares, kind="stable")[:SCENES]
    note = f"Those of {plural(len(shares), 'held-out picture')} with the lowest mean IoU."
    parts = (markup.paragraph(note, "quiet"), _scenes(run, chosen, "worst.png"), colours(run.run.classes))
    return markup.section("The worst pictures", *parts)


def _scenes(run: Material, chosen: Array, name: str) -> str:
    """Pictures, with what is true and with what was told."""
    tiles, captions = [], []
    for i in chosen:
        image, truth = run.heldout["images"][i], run.heldout["labels"][i]
        tiles.append(enlarged(image, LEAST))
        tiles += [draw_mask(image, numbers, run.run.classes, least=LEAST) for numbers in (truth, _masks(run)[i])]
        captions += ["picture", "true", f"told: {percent(_miou(run, i))}"]
    draw_tiles(np.stack(tiles), captions, run.file(name))
    return markup.image(run.file(name), f"Pictures with true and with told masks: {'; '.join(captions[2::3])}.")


def _masks(run: Material) -> Array:
    masks: Array = run.heldout["masks"]
    return masks if masks.ndim == 3 else likeliest({"masks": masks})["masks"]


def _miou(run: Material, picture: int) -> float:
    chosen = slice(picture, picture + 1)
    return float(measure({"masks": _masks(run)[chosen]}, run.heldout["labels"][chosen], run.run.classes)["miou"])


def _batch(run: Material) -> str:
    def draw(file: Path) -> None:
        pairs = zip(first_pictures(run, TILES), run.batch["labels"], strict=False)
        drawn = [draw_mask(image, numbers, run.run.classes, least=LEAST) for image, numbers in pairs]
        draw_tiles(np.stack(drawn), [""] * len(drawn), file)

    return batch_section(run, "its masks", draw)


def _classes(run: Material) -> str:
    columns = (
        ("IoU", "iou", points),
        ("precision", "precision", points),
        ("recall", "recall", points),
        ("pixels", "pixels", count),
    )
    return class_section(run, columns, "In percent; the class with the lowest IoU first")


PARTS = (_confusion, _seen, _worst, _batch, _classes)
