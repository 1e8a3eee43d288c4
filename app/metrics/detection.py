"""How good boxes are: COCO's average precision by pycocotools, and what is found, missed and confused at one score."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Outputs = dict[str, Array]

MATCH = 0.5  # IoU from which a box is one of a truth's
STEPS = np.round(np.arange(0.5, 1.0, 0.05), 2)  # IoUs over which `map` is the mean
SIDE = 640  # COCO's small (below 32 x 32 pixels) and large (above 96 x 96) are meant for pictures of about this side
SMALL, LARGE = 32**2, 96**2  # so boxes are measured as if every picture had this side
ANY = float("inf")
SIZES = ("all", "small", "medium", "large")
MOST = 100  # boxes of a class in a picture that count, the surest, as COCO has it
SCORES = np.arange(1000) / 1000  # among which the best one is looked for
HIGHEST = 0.99  # of chosen scores: a file of integers knows steps of 1/256
UNKNOWN = 0.25  # the score of choice where no box was right
SAME, SURE = 0.9, 0.25  # IoU of boxes that two networks agree on; score from which they have to


@dataclass(frozen=True)
class Found:
    """What became of the boxes of one class.

    Args:
        scores, right: of the boxes at IoU .5, those on ignored truths left out; right: they have a truth to themselves.
        truths: how many there are, ignored ones left out.
        precision: at 101 recalls, [IoUs, 101, sizes]; -1 where there is no truth.
    """

    scores: Array
    right: Array
    truths: int
    precision: Array

    def counts(self) -> tuple[Array, Array]:
        """How many boxes, and how many right ones, have at least each score of SCORES."""
        boxes, right = (np.sort(scores) for scores in (self.scores, self.scores[self.right]))
        return len(boxes) - np.searchsorted(boxes, SCORES), len(right) - np.searchsorted(right, SCORES)

    def mean_precision(self, iou: float | None = None, size: str = "all") -> float | None:
        """The average precision at an IoU, or over all of them; none without a truth."""
        chosen = self.precision[..., SIZES.index(size)]
        values = chosen if iou is None else chosen[np.flatnonzero(np.isclose(STEPS, iou))]
        return None if (values < 0).all() else float(values[values >= 0].mean())


def measure(outputs: Outputs, labels: Array, classes: Sequence[str], score: float | None = None) -> dict[str, Any]:
    """Average precision, and precision, recall, F1 and confusion of boxes with at least a score.

    Args:
        score: chosen on other pictures; none: the one with the best mean F1 of these, which flatters.
    A class without a truth has no average precision, and no part in the means. `curves` has the precision of each other
    class at the recalls 0, .01, ... 1, at IoU .5. `confusion` is truth by answer, the last of each being the background.

    Shapes: boxes [N, P, 4], classes, scores [N, P], count [N]; labels [N, M, 6].
    Boxes: ymin, xmin, ymax, xmax, fractions of the picture. Small are those below 0.25 % of its area, large above 2.25 %.
    Source: COCO's evaluation (Lin et al. 2014), 100 boxes of a class a picture; ignored truths are its crowds.
    """
    found = [_find(outputs, labels, number) for number in range(len(classes))]
    told = _best_score(found)[0] if score is None else score
    step = int(np.searchsorted(SCORES, told - 1e-9))
    rows, shares = {}, []
    for name, one in zip(classes, found, strict=True):
        boxes, right = (int(count[step]) for count in one.counts())
        f1 = 2 * right / (boxes + one.truths) if boxes + one.truths else 0.0
        shares += [f1] if one.truths else []
        rows[name] = {
            "ap50": _rounded(one.mean_precision(MATCH)),
            "ap": _rounded(one.mean_precision()),
            "precision": _rounded(right / boxes if boxes else 0.0),
            "recall": _rounded(right / one.truths if one.truths else 0.0),
            "f1": _rounded(f1),
            "boxes": one.truths,
        }
    return {
        "map50": _mean([one.mean_precision(MATCH) for one in found]) or 0.0,
        "map": _mean([one.mean_precision() for one in found]) or 0.0,
        "map75": _mean([one.mean_precision(0.75) for one in found]),
        **{f"map_{size}": _mean([one.mean_precision(size=size) for one in found]) for size in SIZES[1:]},
        "score": told,
        "f1": _mean(shares) or 0.0,
        "pictures": len(labels),
        "boxes": sum(one.truths for one in found),
        "classes": rows,
        "confusion": confusion(outputs, labels, len(classes), told).tolist(),
        "curves": {
            name: [round(float(value), 4) for value in one.precision[0, :, 0]]
            for name, one in zip(classes, found, strict=True)
            if one.truths
        },
    }


def threshold(outputs: Outputs, labels: Array) -> dict[str, Any]:
    """The score below which a box is not told: with the best mean F1 of the classes, in the middle of those that have it.

    Gives it as `probability`, the mean F1 as `f1`, and `pictures`. They have to be ones that the network was not trained on.

    Shapes: as in `measure`.
    """
    present = np.unique(labels[..., 4][labels[..., 4] >= 0]).astype(int)
    best, f1 = _best_score([_find(outputs, labels, number, STEPS[:1]) for number in present])
    return {"probability": best, "f1": _rounded(f1), "pictures": len(labels)}


def confusion(outputs: Outputs, labels: Array, classes: int, score: float) -> Array:
    """How often class i (row) was taken for class j (column) by boxes of at least a score; the last is the background.

    A truth goes with the box that overlaps it most, one of its own class before any other. What has no partner was taken for
    the background, or was none; what lies on an ignored truth is not counted.

    Shapes: as in `measure` -> int [classes + 1, classes + 1].
    """
    counts = np.zeros((classes + 1, classes + 1), np.int64)
    for boxes, kinds, scores, truths in _pictures(outputs, labels):
        boxes, kinds = boxes[scores >= score], kinds[scores >= score]
        real, ignored = truths[truths[:, 5] == 0], truths[truths[:, 5] > 0]
        overlap = overlaps(real[:, :4], boxes)
        own = real[:, 4].astype(int)
        pairs = _partners(np.where(overlap >= MATCH, overlap + (own[:, None] == kinds), 0.0))
        taken = np.full(len(own), classes)
        of = np.full(len(kinds), classes)
        for i, j in pairs:
            taken[i], of[j] = kinds[j], own[i]
        np.add.at(counts, (own, taken), 1)
        beside = overlaps(boxes, ignored[:, :4], of_first=True).max(axis=1, initial=0.0) < MATCH
        np.add.at(counts, (of[(of == classes) & beside], kinds[(of == classes) & beside]), 1)
    return counts


def agreement(ours: Outputs, theirs: Outputs) -> float:
    """Share of the boxes of two sets of outputs that have a partner in the other: the same class, IoU above .9, one to one.

    Asked of boxes with a score of .25 or more; the partner may be less sure. 1 if there are none.

    Shapes: as in `measure`.
    """
    with_partner = asked = 0
    for first, second in zip(_answers(ours), _answers(theirs), strict=True):
        same = first[1][:, None] == second[1]
        overlap = overlaps(first[0], second[0])
        pairs = _partners(np.where(same & (overlap > SAME), overlap, 0.0))
        for side, (_, _, scores) in enumerate((first, second)):
            asked += int((scores >= SURE).sum())
            with_partner += sum(scores[pair[side]] >= SURE for pair in pairs)
    return round(float(with_partner / asked), 6) if asked else 1.0


def overlaps(first: Array, second: Array, *, of_first: bool = False) -> Array:
    """Intersection over union of every box with every other; `of_first`: over the first's area alone.

    Shapes: [..., A, 4], [..., B, 4] -> [..., A, B].
    """
    upper = np.maximum(first[..., :, None, :2], second[..., None, :, :2])
    lower = np.minimum(first[..., :, None, 2:], second[..., None, :, 2:])
    shared = (lower - upper).clip(0).prod(axis=-1)
    areas, others = ((boxes[..., 2:] - boxes[..., :2]).clip(0).prod(axis=-1) for boxes in (first, second))
    whole = areas[..., :, None] + (0 if of_first else others[..., None, :] - shared)
    ratio: Array = np.divide(shared, whole, out=np.zeros(shared.shape), where=whole > 0)
    return ratio


def _partners(worth: Array) -> list[tuple[int, int]]:
    """Rows and columns that go together, the best pair first; a worth of 0 is no pair."""
    rows, columns = np.nonzero(worth)
    free_rows, free_columns, pairs = set(rows.tolist()), set(columns.tolist()), []
    for place in np.argsort(-worth[rows, columns], kind="stable"):
        row, column = int(rows[place]), int(columns[place])
        if row in free_rows and column in free_columns:
            free_rows.remove(row)
            free_columns.remove(column)
            pairs.append((row, column))
    return pairs


def _answers(outputs: Outputs) -> Iterator[tuple[Array, Array, Array]]:
    """Boxes, classes and scores of every picture, without the padding."""
    for boxes, kinds, scores, count in zip(*(outputs[name] for name in ("boxes", "classes", "scores", "count")), strict=True):
        end = int(count)
        yield boxes[:end].astype(np.float64), kinds[:end].astype(int), scores[:end].astype(np.float64)


def _pictures(outputs: Outputs, labels: Array) -> Iterator[tuple[Array, Array, Array, Array]]:
    """Boxes, classes, scores and truths of every picture, without the padding."""
    for answer, truths in zip(_answers(outputs), labels, strict=True):
        yield *answer, truths[truths[:, 4] >= 0].astype(np.float64)


def _find(outputs: Outputs, labels: Array, number: int, steps: Array = STEPS) -> Found:
    """What became of the boxes of a class. A class at a time, because COCO's evaluation takes a dictionary a box."""
    from pycocotools.coco import COCO  # type: ignore[import-untyped]
    from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]

    truths, answers, images = [], [], []
    for image, (boxes, kinds, scores, real) in enumerate(_pictures(outputs, labels)):
        mine = real[real[:, 4] == number]
        own = np.flatnonzero(kinds == number)
        if len(mine) or len(own):
            images.append(image)
        truths += [_entry(image, row[:4]) | {"iscrowd": int(row[5] > 0)} for row in mine]
        answers += [_entry(image, boxes[j]) | {"score": float(scores[j])} for j in own]
    for number_of_one, entry in enumerate((*truths, *answers), 1):  # from 1: COCO takes a partner 0 for none
        entry["id"] = number_of_one
    real_truths = sum(not truth["iscrowd"] for truth in truths)
    with redirect_stdout(io.StringIO()):
        sides = [COCO(), COCO()]
        for side, annotations in zip(sides, (truths, answers), strict=True):
            side.dataset = {"images": [{"id": image} for image in images], "annotations": annotations, "categories": [{"id": 1}]}
            side.createIndex()
        evaluation = COCOeval(*sides, "bbox")
        evaluation.params.iouThrs, evaluation.params.maxDets = steps, [MOST]
        evaluation.params.areaRng = [(0, ANY), (0, SMALL), (SMALL, LARGE), (LARGE, ANY)]
        evaluation.params.areaRngLbl = list(SIZES)
        evaluation.evaluate()
        evaluation.accumulate()
    pictures = [one for one in evaluation.evalImgs[: len(images)] if one]  # the first sizes: all
    counted = [~one["dtIgnore"][0].astype(bool) for one in pictures]
    scores_of = [np.asarray(one["dtScores"])[keep] for one, keep in zip(pictures, counted, strict=True)]
    right_of = [one["dtMatches"][0][keep] > 0 for one, keep in zip(pictures, counted, strict=True)]
    return Found(
        np.concatenate([np.zeros(0), *scores_of]),
        np.concatenate([np.zeros(0, bool), *right_of]),
        real_truths,
        evaluation.eval["precision"][:, :, 0, :, 0],
    )


def _entry(image: int, box: Array) -> dict[str, Any]:
    top, left, bottom, right = (SIDE * box).tolist()
    width, height = max(0.0, right - left), max(0.0, bottom - top)
    return {"image_id": image, "category_id": 1, "bbox": [left, top, width, height], "area": width * height}


def _best_score(found: Sequence[Found]) -> tuple[float, float]:
    """The score with the highest mean F1 of the classes that have truths, and that F1; .25 where nothing was right at any."""
    means = np.zeros(len(SCORES))
    present = [one for one in found if one.truths]
    for one in present:
        boxes, right = one.counts()
        means += 2 * right / (boxes + one.truths) / len(present)
    best = np.flatnonzero(means >= means.max() - 1e-9)
    chosen = min(HIGHEST, float(SCORES[best[len(best) // 2]])) if means.max() > 0 else UNKNOWN
    return chosen, float(means.max())


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _rounded(float(np.mean(known))) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)
