"""What a network gets wrong, as a card tells it. A row for each objective."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from app.export.markdown import plain, table
from app.release import Release

WORST, CONFUSED = 10, 2  # classes in the table of weaknesses, and classes that each is taken for
NAMED = 3  # classes that are named in words


def weaknesses(release: Release) -> Iterator[str]:
    """The classes that it is worst at and what they are taken for, and what its figures mean."""
    return TOLD[release.objective](release)


def _classification(release: Release) -> Iterator[str]:
    """The classes that are missed most and what for, and how far its probabilities can be believed."""
    figures, confusion = release.run["figures"], release.run["figures"]["confusion"]
    seen = [place for place in range(len(release.classes)) if sum(confusion[place])]
    worst = sorted(seen, key=lambda place: confusion[place][place] / sum(confusion[place]))[:WORST]
    missed = [_missed(release, confusion[place], place) for place in worst if confusion[place][place] < sum(confusion[place])]
    yield f"Missed most often: {'; '.join(missed[:NAMED])}." if missed else "It missed none of the held-out pictures."
    rows = []
    for place in worst:
        figure = figures["classes"][release.classes[place]]
        taken = [f"{plain(release.classes[other])} ({count:,})" for other, count in mistakes(confusion[place], place)]
        shares = (f"{figure[key]:.3f}" for key in ("recall", "precision", "f1"))
        rows.append((plain(release.classes[place]), ", ".join(taken) or "-", f"{figure['pictures']:,}", *shares))
    yield table(("class", "most often taken for", "pictures", "recall", "precision", "F1"), rows, left=2)
    which = f"The {len(rows)} classes with the lowest recall. " if len(rows) < len(seen) else ""
    unseen = len(release.classes) - len(seen)
    unknown = f" Classes without held-out pictures, of which nothing is known: {unseen:,}." if unseen else ""
    yield (
        f"{which}*Recall*: share of a class's pictures that it found. *Precision*: share of its answers of that class that were "
        f"right. These are Keras's answers to the held-out pictures; a few pictures of a class say little.{unknown}"
    )
    yield (
        f"Expected calibration error {figures['calibration_error']:.4f}: so far, on average, are its probabilities from how "
        "often it is right (15 equal bins; Guo et al. 2017)."
    )


def _missed(release: Release, row: Sequence[int], place: int) -> str:
    taken = ", ".join(f"{count:,} taken for **{plain(release.classes[other])}**" for other, count in mistakes(row, place))
    return f"**{plain(release.classes[place])}** ({sum(row) - row[place]:,} of {sum(row):,} pictures; {taken})"


def mistakes(row: Sequence[int], place: int) -> list[tuple[int, int]]:
    """The classes that a class was taken for most often, and how often, from its row of the confusion matrix."""
    others = [(other, count) for other, count in enumerate(row) if other != place and count]
    return sorted(others, key=lambda pair: -pair[1])[:CONFUSED]


def _detection(release: Release) -> Iterator[str]:
    """The classes with the lowest average precision."""
    figures = release.run["figures"]
    seen = [place for place, name in enumerate(release.classes) if figures["classes"][name]["boxes"]]
    worst = sorted(seen, key=lambda place: figures["classes"][release.classes[place]]["ap50"])[:WORST]
    rows = []
    for place in worst:
        figure, row = figures["classes"][release.classes[place]], figures["confusion"][place]
        shares = (f"{figure[key]:.3f}" for key in ("ap50", "ap", "recall", "precision"))
        rows.append((plain(release.classes[place]), _taken(release, row, place, "not found"), f"{figure['boxes']:,}", *shares))
    background = figures["confusion"][-1]
    yield (
        f"Of {figures['boxes']:,} boxes it found {sum(sum(row[:-1]) for row in figures['confusion'][:-1]):,}, "
        f"{sum(background[:-1]):,} of its own are on the background (score {figures['score']:.3f} or more)."
    )
    yield table(("class", "most often taken for", "boxes", "AP50", "AP", "recall", "precision"), rows, left=2)
    yield (
        f"{_which(rows, seen, 'average precision')}*AP50*: average precision, where a box is right that shares half of its area "
        "with the truth (IoU .5). *AP*: the mean over IoU .5 to .95, as COCO has it. *Recall* and *precision*: at that score. "
        f"These are Keras's answers to the held-out pictures; a few boxes of a class say little.{_unseen(release, len(seen))}"
    )
    sizes = [
        f"{size} {figures[f'map_{size}']:.3f}" for size in ("small", "medium", "large") if figures[f"map_{size}"] is not None
    ]
    if sizes:
        yield (
            f"AP by the size of the objects: {', '.join(sizes)}. Small is below 0.25 % of the picture's area, large above 2.25 %."
        )


def _segmentation(release: Release) -> Iterator[str]:
    """The classes with the lowest intersection over union."""
    figures = release.run["figures"]
    seen = [place for place, name in enumerate(release.classes) if figures["classes"][name]["pixels"]]
    worst = sorted(seen, key=lambda place: figures["classes"][release.classes[place]]["iou"])[:WORST]
    rows = []
    for place in worst:
        figure, row = figures["classes"][release.classes[place]], figures["confusion"][place]
        shares = (f"{figure[key]:.3f}" for key in ("iou", "recall", "precision"))
        rows.append((plain(release.classes[place]), _taken(release, row, place), f"{figure['pixels']:,}", *shares))
    yield (
        f"Of all pixels {100 * figures['accuracy']:.1f} % are right. Mean IoU {figures['miou']:.3f}; without the background "
        f"{figures['foreground_miou']:.3f}."
    )
    yield table(("class", "most often taken for", "pixels", "IoU", "recall", "precision"), rows, left=2)
    yield (
        f"{_which(rows, seen, 'IoU')}*IoU*: the pixels that are of the class and were taken for it, as a share of those that are "
        f"or were. These are Keras's answers to the held-out pictures.{_unseen(release, len(seen))}"
    )


def _taken(release: Release, row: Sequence[int], place: int, last: str = "") -> str:
    """What a class was taken for, of a row of the confusion matrix whose last column may have a name of its own."""
    names = [*map(plain, release.classes), last]
    return ", ".join(f"{names[other]} ({count:,})" for other, count in mistakes(row, place)) or "-"


def _which(rows: Sequence[object], seen: Sequence[int], figure: str) -> str:
    return f"The {len(rows)} classes with the lowest {figure}. " if len(rows) < len(seen) else ""


def _unseen(release: Release, seen: int) -> str:
    unseen = len(release.classes) - seen
    return f" Classes without held-out pictures, of which nothing is known: {unseen:,}." if unseen else ""


TOLD: dict[str, Callable[[Release], Iterator[str]]] = {
    "classification": _classification,
    "detection": _detection,
    "segmentation": _segmentation,
}
