"""Of boxes that overlap, the best."""

from typing import Any

import keras

ROUNDS = 12  # box after box that one suppresses the next: longer chains than this are not seen


@keras.saving.register_keras_serializable("convoy")
class NonMaxSuppression(keras.layers.Layer):  # type: ignore[misc]
    """Boxes with the class and the score of each, of each class without those that overlap a better one; best first.

    Every shape is fixed and there is no loop, so that it is part of a file for any runtime. A box suppresses worse ones
    unless it is suppressed itself: that is decided in rounds, of which each settles one more link of a chain of boxes where
    each suppresses the next. So the answer is that of the loop over all boxes where no chain is longer than 12, and
    where one is, boxes at its far end may stay that the loop takes out.

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
        valid = ops.cast(score > self.score, "float32")
        suppresses = self._suppresses(box, label)
        keep = valid
        for _ in range(ROUNDS):
            suppressed = ops.squeeze(ops.matmul(ops.expand_dims(keep, 1), suppresses), 1)
            keep = valid * ops.cast(suppressed < 0.5, "float32")
        # Those kept in front, in the order they have: by score, and of equals the earlier.
        score, order = ops.top_k(keep * score, min(self.most, pairs))
        chosen = _gather(ops.concatenate([box, ops.expand_dims(label, -1)], axis=-1), order)
        real = ops.cast(score > 0, "float32")
        chosen = chosen * ops.expand_dims(real, -1)
        return {"boxes": chosen[:, :, :4], "classes": chosen[:, :, 4], "scores": score, "count": ops.sum(real, axis=-1)}

    def _suppresses(self, box: Any, label: Any) -> Any:
        """1 where the box of a row takes out that of a column: float32 [B, K, K]."""
        ops = keras.ops
        ymin, xmin, ymax, xmax = (box[:, :, side] for side in range(4))
        # common > overlap * (area + area - common), with all factors taken into vectors: each step here is over K x K pairs.
        # Of the two sides one may stay negative, if the other is not: what is common is then no more than 0.
        area = self.overlap * ops.maximum(ymax - ymin, 0.0) * ops.maximum(xmax - xmin, 0.0)
        top, bottom = (1 + self.overlap) * ymin, (1 + self.overlap) * ymax
        height = ops.minimum(_column(bottom), _row(bottom)) - ops.maximum(_column(top), _row(top))
        width = ops.minimum(_column(xmax), _row(xmax)) - ops.maximum(_column(xmin), _row(xmin))
        common = ops.maximum(height, 0.0) * width
        number = ops.arange(box.shape[1])  # a triangle from two ranges: as a constant it would be a large part of the file
        better = ops.expand_dims(number, 1) < ops.expand_dims(number, 0)
        same = ops.equal(_column(label), _row(label))
        return ops.cast((common > _column(area) + _row(area)) & same & better, "float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "candidates": self.candidates,
            "most": self.most,
            "score": self.score,
            "overlap": self.overlap,
        }


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
