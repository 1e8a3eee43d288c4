"""Arithmetic of boxes that layers share: offsets from one box to another, and which true box each one has found.

Boxes are ymin, xmin, ymax, xmax in pixels, unless it is said otherwise.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from models.lazy import keras

# What offsets of regions are divided by, so that they are about as large as logits. Girshick 2015, the published settings.
DEVIATIONS = (0.1, 0.1, 0.2, 0.2)
WIDEST = 4.0  # the logarithm of how many times its anchor a box can be as long: a bound that no exponential overflows


def offsets(boxes: Any, anchors: Any, deviations: Sequence[float] | None = None) -> Any:
    """What has to be done to anchors to make them these boxes: centre in sides of the anchor, logarithm of the sides' ratio.

    Shapes: [B, N, 4], [B, N, 4] or [1, N, 4] -> [B, N, 4]: y, x, height, width.
    Source: Ren et al. 2015, equation 2.
    """
    return keras.utils.bounding_boxes.encode_box_to_deltas(anchors, boxes, "yxyx", "yxyx", variance=deviations)


def moved(anchors: Any, by: Any, size: Sequence[int], deviations: Sequence[float] | None = None) -> Any:
    """The boxes that offsets make of anchors, cut at the edges of the picture.

    Shapes: [B, N, 4] or [1, N, 4], [B, N, 4] -> [B, N, 4].
    """
    ops = keras.ops
    if deviations is not None:
        by = by * ops.convert_to_tensor(deviations, "float32")
    by = ops.concatenate([by[:, :, :2], ops.clip(by[:, :, 2:], -WIDEST, WIDEST)], axis=-1)
    boxes = keras.utils.bounding_boxes.decode_deltas_to_boxes(anchors, by, "yxyx", "yxyx")
    return ops.clip(boxes, 0.0, ops.convert_to_tensor([*size, *size], "float32"))


def smooth_l1(error: Any, knee: float = 1.0) -> Any:
    """The square near 0 and the absolute value beyond the knee, summed over the last axis.

    Source: Girshick 2015, equation 3; with another knee as in the published settings.
    """
    ops = keras.ops
    absolute = ops.abs(error)
    return ops.sum(ops.where(absolute < knee, 0.5 * ops.square(error) / knee, absolute - 0.5 * knee), axis=-1)


class Found(NamedTuple):
    """For each box the true one that it overlaps most.

    Args:
        overlap: their intersection over union.
        box, label: the true box, and its class.
        nearest: whether no other box overlaps some true one more.
        ignored: the largest share of the box itself that lies in one that is neither learnt nor counted.
    """

    overlap: Any
    box: Any
    label: Any
    nearest: Any
    ignored: Any


def found(boxes: Any, truth: Any, size: Sequence[int]) -> Found:
    """Which true box each of the given ones overlaps most.

    Args:
        truth: ymin, xmin, ymax, xmax as fractions of the picture, class (below 0: no box), and 1 where it is ignored.
        size: height and width of the picture in pixels.
    Shapes: [B, N, 4] or [1, N, 4], [B, M, 6] -> each [B, N], `box` [B, N, 4].
    """
    ops = keras.ops
    true, label = pixels(truth, size), truth[:, :, 4]
    shared = keras.utils.bounding_boxes.compute_iou(boxes, true, "yxyx")
    there, ignored = (ops.cast(mask, "float32")[:, None, :] for mask in learnt_and_ignored(truth))
    learnt = shared * there
    overlap = ops.max(learnt, axis=2)
    which = ops.one_hot(ops.argmax(learnt, axis=2), ops.shape(truth)[1], dtype="float32")
    best = ops.max(learnt, axis=1, keepdims=True)
    nearest = ops.any(ops.logical_and(best > 0, learnt >= best), axis=2)
    rows = ops.matmul(which, ops.concatenate([true, label[:, :, None]], axis=-1))
    # How much of the box itself: a crowd may be many times its size, and what lies in it is as unknown as all of it.
    low, high = ops.maximum(boxes[:, :, None, :2], true[:, None, :, :2]), ops.minimum(boxes[:, :, None, 2:], true[:, None, :, 2:])
    inside = ops.prod(ops.maximum(high - low, 0.0), axis=-1)
    area = ops.maximum(ops.prod(boxes[:, :, 2:] - boxes[:, :, :2], axis=-1), 1e-6)
    hidden = ops.max(inside / area[:, :, None] * ignored, axis=2)
    return Found(overlap, rows[:, :, :4], rows[:, :, 4], nearest, hidden)


def learnt_and_ignored(truth: Any) -> tuple[Any, Any]:
    """Which rows of the annotations are boxes to be found, and which are neither learnt nor counted. Shapes: bool [B, M]."""
    real, ignored = truth[:, :, 4] >= 0, truth[:, :, 5] > 0
    return keras.ops.logical_and(real, keras.ops.logical_not(ignored)), keras.ops.logical_and(real, ignored)


def pixels(truth: Any, size: Sequence[int]) -> Any:
    """The boxes of annotations [B, M, 6] in pixels [B, M, 4]."""
    return truth[:, :, :4] * keras.ops.convert_to_tensor([*size, *size], "float32")


def drawn(among: Any, noise: Any, count: Any, most: int) -> Any:
    """That many of the marked ones of each picture, those with the highest noise; all, if there are fewer.

    Args:
        among: bool [B, N].
        noise: above 0, [B, N].
        count: how many, a number for each picture [B].
        most: an upper bound of `count`.
    Shapes: bool [B, N].
    """
    ops = keras.ops
    marked = ops.where(among, noise, ops.zeros_like(noise))
    best, _ = ops.top_k(marked, min(most, among.shape[1] or most))
    rank = ops.cast(ops.arange(best.shape[1]), "float32")
    last = ops.cast(rank[None] == ops.cast(count, "float32")[:, None] - 1, "float32")
    threshold = ops.sum(best * last, axis=1, keepdims=True)
    enough = ops.cast(count, "float32")[:, None] > 0
    return ops.logical_and(ops.logical_and(marked > 0, marked >= threshold), enough)
