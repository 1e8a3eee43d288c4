"""What a report says of a network that finds things in a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from app.answers import Box, Boxes
from app.answers import detection as answers
from app.draw import draw_boxes
from app.metrics.detection import UNKNOWN, confusion
from app.metrics.segmentation import BACKGROUND
from app.report import markup
from app.report.batch import batch_section, first_pictures
from app.report.classes import class_section, confusion_section, points
from app.report.curves import draw_precision
from app.report.material import Material
from app.report.samples import draw_tiles, spread
from app.report.words import NOT_RECORDED, count, decimal, percent, plural

Array = np.ndarray[Any, Any]
SCENES, TILES = 4, 9  # pictures beside their truth, and pictures of a batch
TEXT, LEAST = 1 / 24, 480  # letters' share of a tile, and pixels that a tile has room for


def facts(run: Material) -> list[tuple[str, str]]:
    """Names and values among the figures."""
    return [
        ("mAP over IoU .5 to .95", percent(run.test.get("map"))),
        ("mAP at IoU .75", percent(run.test.get("map75"))),
        ("mean F1 of the classes", decimal(run.test.get("f1"))),
        ("true boxes", count(run.test.get("boxes"))),
        ("boxes are told from a score of", decimal(_score(run))),
    ]


def _score(run: Material) -> float:
    """From which boxes are drawn: the one that the release has."""
    chosen = (run.measured.get("threshold") or {}).get("probability", run.test.get("score"))
    return UNKNOWN if chosen is None else float(chosen)


def _precision(run: Material) -> str:
    heading, file = "Precision and recall", run.file("precision.png")
    curves = run.test.get("curves")
    if not curves:
        return markup.section(heading, markup.paragraph(f"Curves of precision were {NOT_RECORDED}."))
    means = {name: (run.test.get("classes") or {}).get(name, {}).get("ap50") for name in curves}
    draw_precision(curves, means, file)
    told = "; ".join(f"{name} {percent(means[name])}" for name in list(curves)[:12])
    note = "Of the boxes told, how many are right, if so many of the true ones are to be found (IoU of .5 or more)."
    return markup.section(
        heading, markup.image(file, f"Precision by recall; the area under it: {told}."), markup.paragraph(note, "quiet")
    )


def _confusion(run: Material) -> str:
    score = run.test.get("score")
    note = "The row of the background has boxes where nothing is, its column what was not found" + (
        f"; boxes with a score of {score:g} or more." if score is not None else "."
    )
    return confusion_section(run, run.test.get("confusion"), [*run.run.classes, BACKGROUND], "boxes", note)


def _found(run: Material) -> str:
    heading = "What it finds"
    if not run.heldout:
        return markup.section(heading, markup.paragraph(f"Held-out pictures were {NOT_RECORDED}."))
    chosen = spread(len(run.heldout["images"]), SCENES)
    note = f"Held-out pictures with their true boxes, and with those that it finds (score of {_score(run):.2f} or more)."
    return markup.section(heading, markup.paragraph(note, "quiet"), _scenes(run, chosen, "found.png"))


def _worst(run: Material) -> str:
    heading, file = "The worst pictures", run.file("worst.png")
    file.unlink(missing_ok=True)  # of a report written before
    if not run.heldout:
        return ""
    wrong = np.array([_wrong(_counts(run, i)) for i in range(len(run.heldout["images"]))])
    if not wrong.any():
        return markup.section(heading, markup.paragraph(f"None: on all {len(wrong):,} held-out pictures, the boxes are right."))
    chosen = np.argsort(-wrong, kind="stable")[:SCENES]
    some = int((wrong > 0).sum())
    note = f"{some:,} of {plural(len(wrong), 'held-out picture')} {'has' if some == 1 else 'have'} a wrong or missing box."
    return markup.section(heading, markup.paragraph(note, "quiet"), _scenes(run, chosen[wrong[chosen] > 0], "worst.png"))


def _scenes(run: Material, chosen: Array, name: str) -> str:
    """Pictures with their true boxes, beside themselves with the found ones."""
    told = answers(_outputs(run, chosen), run.run.classes, None, _score(run))
    pairs, captions = [], []
    for i, answer in zip(chosen, told, strict=True):
        truth = _true_boxes(run.heldout["labels"][i], run.run.classes)
        for boxes, scores in ((truth, False), (answer, True)):
            pairs.append(draw_boxes(run.heldout["images"][i], boxes.boxes, scores=scores, least=LEAST, text=TEXT))
        captions += [f"true: {len(truth.boxes)}", _told(_counts(run, i))]
    draw_tiles(np.stack(pairs), captions, run.file(name), columns=2)
    alternative = f"Pictures with true and with found boxes: {'; '.join(captions[1::2])}."
    return markup.image(run.file(name), alternative)


def _told(counts: Array) -> str:
    """`found 3, missed 1, nothing there 2, taken for another 1`"""
    missed, beside, right = int(counts[:-1, -1].sum()), int(counts[-1, :-1].sum()), int(np.trace(counts))
    other = int(counts.sum()) - missed - beside - right
    words = (("right", right), ("missed", missed), ("where nothing is", beside), ("of another class", other))
    return ", ".join(f"{number} {what}" for what, number in words if number) or "nothing to find"


def _wrong(counts: Array) -> int:
    return int(counts.sum() - np.trace(counts))


def _counts(run: Material, picture: int) -> Array:
    chosen = np.array([picture])
    return confusion(_outputs(run, chosen), run.heldout["labels"][chosen], len(run.run.classes), _score(run))


def _outputs(run: Material, chosen: Array) -> dict[str, Array]:
    return {name: run.heldout[name][chosen] for name in ("boxes", "classes", "scores", "count")}


def _true_boxes(rows: Array, classes: list[str]) -> Boxes:
    real = rows[rows[:, 4] >= 0]
    return Boxes(
        tuple(
            Box(classes[int(row[4])] + (" (ignored)" if row[5] else ""), int(row[4]), 1.0, *map(float, row[:4])) for row in real
        )
    )


def _batch(run: Material) -> str:
    def draw(file: Path) -> None:
        rows = zip(first_pictures(run, TILES), run.batch["labels"], strict=False)
        boxes = [(image, _true_boxes(annotations, run.run.classes).boxes) for image, annotations in rows]
        drawn = [draw_boxes(image, each, scores=False, least=LEAST, text=1 / 16) for image, each in boxes]
        draw_tiles(np.stack(drawn), [""] * len(drawn), file)

    return batch_section(run, "its boxes", draw)


def _classes(run: Material) -> str:
    columns = (
        ("AP at .5", "ap50", points),
        ("AP", "ap", points),
        ("precision", "precision", points),
        ("recall", "recall", points),
        ("F1", "f1", points),
        ("boxes", "boxes", count),
    )
    return class_section(run, columns, "In percent; the class with the lowest average precision first")


PARTS = (_precision, _confusion, _found, _worst, _batch, _classes)
