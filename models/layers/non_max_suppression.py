"""Of boxes that overlap, the best."""

from typing import Any

import keras

ROUNDS = 12  # box after box that one suppresses the next: longer chains than this are not seen
BLOCK = 256  # boxes that are compared with all worse ones at once


@keras.saving.register_keras_serializable("convoy")
class NonMaxSuppression(keras.layers.Layer):  # type: ignore[misc]
    """Boxes with the class and the score of each, of each class without those that overlap a better one; best first.

    Every shape is fixed and there is no loop, so that it is part of a file for any runtime. A box suppresses worse ones
    unless it is suppressed itself: that is decided for 256 at a time, in rounds, of which each settles one more link of a
    chain of boxes where each suppresses the next. So the answer is that of the loop over all boxes where no chain within a
    block is longer than 12, and where one is, boxes at its far end may stay that the loop takes out.

    Args:
        candidates: how many pairs of box and class are looked at, those with the best scores.
        most: how many boxes are given.
        score: what a score has to be above.
        overlap: intersection over union above which the worse of two boxes of a class goes.
    Shapes: boxes [B, P, 4], scores [B, P, classes] -> {"boxes": [B, N, 4], "classes": [B, N], "scores": [B, N], "count":
        [B]}, all float32; N is `most`, or the number of pairs if there are fewer. What lies behind `count` is 0.
    Boxes: ymin, xmin, ymax, xmax in any unit.
    """

    def __init__(
        self, candidates: int = 768, most: int = 200, score: float = 0.005, overlap: float = 0.45, **settings: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **settings})
        self.candidates, self.most, self.score, self.overlap = candidates, most, score, overlap

    def call(self, boxes: Any, scores: Any) -> dict[str, Any]:
        ops = keras.ops
        places, classes = scores.shape[1:]
        # The best pairs belong to the places whose best class is best; sorting places is cheaper than sorting pairs.
        kept = min(self.candidates, places)
        _, place = ops.top_k(ops.max(scores, axis=-1), kept)
        pairs = min(self.candidates, kept * classes)
        score, pair = ops.top_k(ops.reshape(_gather(scores, place), (-1, kept * classes)), pairs)
        row = ops.floor_divide(pair, classes)
        label = ops.cast(pair - row * classes, "float32")
        box = _gather(_gather(boxes, place), row)
        keep = self._kept(box, label, ops.cast(score > self.score, "float32"))
        # Those kept in front, in the order they have: by score, and of equals the earlier.
        score, order = ops.top_k(keep * score, min(self.most, pairs))
        chosen = _gather(ops.concatenate([box, ops.expand_dims(label, -1)], axis=-1), order)
        real = ops.cast(score > 0, "float32")
        chosen = chosen * ops.expand_dims(real, -1)
        return {"boxes": chosen[:, :, :4], "classes": chosen[:, :, 4], "scores": score, "count": ops.sum(real, axis=-1)}

    def _kept(self, box: Any, label: Any, valid: Any) -> Any:
        """1 for boxes that no better one takes out, unless it is taken out itself. Shapes: [B, K, 4], [B, K], [B, K] -> [B, K].

        Block after block: all pairs at once would be more numbers than a processor's cache holds.
        """
        ops = keras.ops
        kept = []
        for start in range(0, box.shape[1], BLOCK):
            block = slice(start, min(start + BLOCK, box.shape[1]))
            own, number = (box[:, block], label[:, block]), ops.arange(block.stop - start)
            better = ops.expand_dims(number, 1) < ops.expand_dims(number, 0)
            within = ops.cast(self._overlap(own, own) & better, "float32")
            open_ = keep = valid[:, : block.stop - start]
            for _ in range(ROUNDS):
                keep = open_ * _spared(keep, within)
            kept.append(keep)
            if block.stop < box.shape[1]:
                later = box[:, block.stop :], label[:, block.stop :]
                beyond = ops.cast(self._overlap(own, later), "float32")
                valid = valid[:, block.stop - start :] * _spared(keep, beyond)
        return ops.concatenate(kept, axis=1) if len(kept) > 1 else kept[0]

    def _overlap(self, one: tuple[Any, Any], other: tuple[Any, Any]) -> Any:
        """Whether the box of a row and that of a column are of one class and share too much: bool [B, K, L]."""
        ops = keras.ops
        # common > overlap * (area + area - common), with all factors taken into vectors: each step here is over K x L pairs.
        # Of the two sides one may stay negative, if the other is not: what is common is then no more than 0.
        ymin, xmin, ymax, xmax = (one[0][:, :, side] for side in range(4))
        top, left, bottom, right = (other[0][:, :, side] for side in range(4))
        area = self.overlap * ops.maximum(ymax - ymin, 0.0) * ops.maximum(xmax - xmin, 0.0)
        others = self.overlap * ops.maximum(bottom - top, 0.0) * ops.maximum(right - left, 0.0)
        ymin, ymax, top, bottom = ((1 + self.overlap) * side for side in (ymin, ymax, top, bottom))
        height = ops.minimum(_column(ymax), _row(bottom)) - ops.maximum(_column(ymin), _row(top))
        width = ops.minimum(_column(xmax), _row(right)) - ops.maximum(_column(xmin), _row(left))
        same = ops.equal(_column(one[1]), _row(other[1]))
        return (ops.maximum(height, 0.0) * width > _column(area) + _row(others)) & same

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "candidates": self.candidates,
            "most": self.most,
            "score": self.score,
            "overlap": self.overlap,
        }


def _spared(keep: Any, suppresses: Any) -> Any:
    """1 for the columns that no kept row takes out. Shapes: [B, K], [B, K, L] -> [B, L]."""
    ops = keras.ops
    suppressed = ops.squeeze(ops.matmul(ops.expand_dims(keep, 1), suppresses), 1)
    return ops.cast(suppressed < 0.5, "float32")


def _column(values: Any) -> Any:
    return keras.ops.expand_dims(values, 2)


def _row(values: Any) -> Any:
    return keras.ops.expand_dims(values, 1)


def _gather(rows: Any, indices: Any) -> Any:
    """Rows of each picture by their numbers. Shapes: [B, P, D], int [B, K] -> [B, K, D]."""
    ops = keras.ops
    places, size = rows.shape[1:]
    first = ops.expand_dims(ops.arange(ops.shape(rows)[0], dtype="int32") * places, 1)
    return ops.take(ops.reshape(rows, (-1, size)), ops.cast(indices, "int32") + first, axis=0)
