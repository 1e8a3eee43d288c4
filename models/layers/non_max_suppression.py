"""Of boxes that overlap, the best."""

from typing import Any

import keras
import numpy as np

from models.gather import rows_at

ROUNDS = 8  # box after box that one suppresses the next: longer chains than this are not seen
# What sides are multiplied by, so that any excess of an overlap becomes more than 1, if it is more than a billionth of the
# picture. Constants of a file in half precision end at 65,504, and hold a power of two exactly.
FINE = 2.0**15


@keras.saving.register_keras_serializable("convoy")
class NonMaxSuppression(keras.layers.Layer):  # type: ignore[misc]
    """Boxes with the class and the score of each, of each class without those that overlap a better one; best first.

    Every shape is fixed and there is no loop, so that it is part of a file for any runtime. The best quarter of the
    candidates are compared with each other, then with all others; last, of those that are left the best, half as many as
    there are candidates, with each other. Within such a block a box suppresses worse ones unless it is suppressed itself,
    which is decided in rounds: each settles one more link of a chain of boxes where each suppresses the next. So the answer
    is that of the loop over all boxes, unless a chain within a block is longer than 8, whose far end may stay, or the first
    block leaves more than that half, of which the worst go. Classes are kept apart by one copy of the picture for each, side
    by side, so many that a hundred classes leave the edges of boxes a precision of 1/130,000 of a side.

    Args:
        candidates: how many pairs of box and class are looked at, those with the best scores.
        most: how many boxes are given.
        score: what a score has to be above.
        overlap: intersection over union above which the worse of two boxes of a class goes.
    Shapes: boxes [B, P, 4], scores [B, P, classes] -> {"boxes": [B, N, 4], "classes": [B, N], "scores": [B, N], "count":
        [B]}, all float32; N is the least of `most`, the number of pairs, and both blocks together. Behind `count` lies 0.
    Boxes: ymin, xmin, ymax, xmax as fractions of the picture; in any unit, if there is one class.
    """

    def __init__(
        self, candidates: int = 512, most: int = 200, score: float = 0.005, overlap: float = 0.45, **settings: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **settings})
        self.candidates, self.most, self.score, self.overlap = candidates, most, score, overlap
        self.blocks = max(128, candidates // 4), max(256, candidates // 2)

    def call(self, boxes: Any, scores: Any) -> dict[str, Any]:
        ops = keras.ops
        places, classes = scores.shape[1:]
        if classes > 1 and places > self.candidates:
            # The best pairs belong to the places whose best class is best; sorting places is cheaper than sorting pairs.
            places = self.candidates
            _, place = ops.top_k(ops.max(scores, axis=2), places)
            boxes, scores = rows_at(boxes, place), rows_at(scores, place)
        score, pair = ops.top_k(ops.reshape(scores, (-1, places * classes)), min(self.candidates, places * classes))
        pair = ops.cast(pair, "float32")
        row = ops.floor((pair + 0.5) / classes)  # of whole numbers converters make thrice the steps
        label = ops.expand_dims(pair - row * classes, 2)
        found = ops.concatenate([rows_at(boxes, ops.cast(row, "int32")), label], axis=2)
        score = score * ops.cast(score > self.score, "float32")
        found, score = self._unsuppressed(found, score)
        # In the order they have: by score, and of equals the earlier.
        score, order = ops.top_k(score, min(self.most, score.shape[1]))
        real = ops.cast(score > 0, "float32")
        found = rows_at(found, order) * ops.expand_dims(real, 2)
        return {"boxes": found[:, :, :4], "classes": found[:, :, 4], "scores": score, "count": ops.sum(real, axis=1)}

    def _unsuppressed(self, found: Any, score: Any) -> tuple[Any, Any]:
        """Up to two blocks of candidates, with a score of 0 where a better one takes them out.

        Args:
            found: sides and class, the best first.
            score: of each; 0: it is none.
        Shapes: [B, K, 5], [B, K] -> the same, of up to two blocks.
        """
        ops = keras.ops
        best, others = self.blocks
        first, rest, scores = found[:, :best], found[:, best:], score[:, best:]
        kept = self._kept(first, score[:, :best])
        if found.shape[1] <= best:
            return first, kept
        scores = scores * ops.relu(1.0 - ops.matmul(_marked(kept), self._suppressing(first, rest)))[:, 0]
        if rest.shape[1] > others:
            scores, order = ops.top_k(scores, others)
            rest = rows_at(rest, order)
        found = ops.concatenate([first, rest], axis=1)
        return found, ops.concatenate([kept, self._kept(rest, scores)], axis=1)

    def _kept(self, found: Any, score: Any) -> Any:
        """The scores of a block, 0 where a better one of it takes a box out. Shapes: [B, K, 5], [B, K] -> [B, K]."""
        ops = keras.ops
        better = np.triu(np.ones((found.shape[1],) * 2, np.float32), 1)
        within = self._suppressing(found, found) * better
        keep = valid = _marked(score)
        for _ in range(ROUNDS):
            keep = ops.relu(valid - ops.matmul(keep, within))
        return score * keep[:, 0]

    def _suppressing(self, one: Any, other: Any) -> Any:
        """Above 1 where the box of a row and that of a column are of one class and share too much, else 0.

        Shapes: [B, K, 5], [B, L, 5] -> [B, K, L].
        """
        ops = keras.ops
        # common > overlap * (area + area - common), with all factors taken into vectors: each step here is over K x L pairs.
        # Comparisons of them are many times slower in LiteRT than sums. Of the two sides one may stay negative, if the other
        # is not: what is common is then no more than 0.
        ymin, xmin, ymax, xmax, area = self._scaled(one)
        top, left, bottom, right, space = (ops.reshape(each, (-1, 1, each.shape[1])) for each in self._scaled(other))
        height = ops.minimum(ymax, bottom) - ops.maximum(ymin, top)
        width = ops.minimum(xmax, right) - ops.maximum(xmin, left)
        return ops.relu(ops.relu(height) * width - (area + space))

    def _scaled(self, found: Any) -> list[Any]:
        """Sides, classes laid side by side, and area. Shapes: [B, K, 5] -> five of [B, K, 1]."""
        ops = keras.ops
        ymin, xmin, ymax, xmax, label = ops.split(found, 5, axis=2)
        area = self.overlap * FINE * ops.relu(ymax - ymin) * (FINE * ops.relu(xmax - xmin))
        longer = (1 + self.overlap) * FINE
        return [longer * ymin, FINE * (xmin + label), longer * ymax, FINE * (xmax + label), area]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "candidates": self.candidates,
            "most": self.most,
            "score": self.score,
            "overlap": self.overlap,
        }


def _marked(score: Any) -> Any:
    """1 where a score is above 0, as a matrix of one row. Shapes: [B, K] -> [B, 1, K]."""
    return keras.ops.cast(keras.ops.expand_dims(score, 1) > 0, "float32")
