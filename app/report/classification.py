"""What a report says of a network that tells what a picture shows."""

from __future__ import annotations

from pathlib import Path

from app.metrics.classification import confusion
from app.report import markup
from app.report.batch import batch_section
from app.report.classes import class_section, confusion_section, points
from app.report.material import Material
from app.report.samples import draw_batch, draw_mistakes, find_mistakes
from app.report.words import NOT_RECORDED, count, decimal, percent, plural


def facts(run: Material) -> list[tuple[str, str]]:
    """Names and values among the figures."""
    pairs = [
        ("test loss", decimal(run.test.get("loss"))),
        ("calibration error", percent(run.test.get("calibration_error"))),
        ("mean F1 of the classes", decimal(run.test.get("macro_f1"))),
    ]
    if len(run.run.classes) > 5:  # top-5 of five classes is always 100 %
        pairs.append(("among the top 5", percent(run.test.get("top5"), run.test.get("pictures"))))
    return pairs


def _confusion(run: Material) -> str:
    counts = run.test.get("confusion")
    if counts is None and run.heldout:
        counts = confusion(run.heldout["probabilities"], run.heldout["labels"], len(run.run.classes))
    return confusion_section(run, counts, run.run.classes, "pictures")


def _mistakes(run: Material) -> str:
    heading, classes, file = "The surest mistakes", run.run.classes, run.file("mistakes.png")
    file.unlink(missing_ok=True)  # of a report written before
    if not run.heldout:
        return markup.section(heading, markup.paragraph(f"Held-out pictures were {NOT_RECORDED}."))
    pictures = len(run.heldout["labels"])
    mistakes = find_mistakes(run.heldout["images"], run.heldout["labels"], run.heldout["probabilities"])
    if not mistakes.total:
        return markup.section(heading, markup.paragraph(f"None: all {pictures:,} held-out pictures were told right."))
    draw_mistakes(mistakes, classes, file)
    shown = len(mistakes.truths)
    which = f", the {shown} surest of them here" if shown < mistakes.total else ""
    note = (
        f"{plural(mistakes.total, 'mistake')} on {plural(pictures, 'held-out picture')}{which}, with the network's probability."
    )
    alternative = f"Mistakes: {'; '.join(' '.join(caption.split()) for caption in mistakes.captions(classes))}."
    return markup.section(heading, markup.paragraph(note, "quiet"), markup.image(file, alternative))


def _batch(run: Material) -> str:
    def draw(file: Path) -> None:
        smoothing = run.settings.get("label_smoothing") or 0.0
        draw_batch(run.batch["images"], run.batch["labels"], run.run.classes, smoothing, file)

    return batch_section(run, "", draw)


def _classes(run: Material) -> str:
    columns = (
        ("F1", "f1", points),
        ("precision", "precision", points),
        ("recall", "recall", points),
        ("pictures", "pictures", count),
    )
    return class_section(run, columns, "In percent; the class with the lowest F1 first")


PARTS = (_confusion, _mistakes, _batch, _classes)
