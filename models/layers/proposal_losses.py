"""What the first stage of a two-stage detector learns from: a sample of its anchors."""

from collections.abc import Sequence
from typing import Any

import keras

from models.boxes import drawn, found, offsets, smooth_l1

FIXED = 0  # the seed of what is drawn outside of training, so that losses of different epochs are of the same anchors
KNEE = 1 / 9  # pixels count more than in the paper's equation: the published settings


@keras.saving.register_keras_serializable("convoy")
class ProposalLosses(keras.layers.Layer):  # type: ignore[misc]
    """Adds to the network's losses whether anchors hold an object, and how far they are from it, for a sample of them.

    An anchor that overlaps a true box enough, or more than all others do, is positive; one that overlaps none is negative;
    what lies between, or on an ignored box, is not learnt. Half of the sample is positive, or fewer if there are not enough.
    Anchors that cross the picture's edge take part: small pictures cannot spare them, as the paper's can.

    Args:
        size: height and width of the picture.
        samples: anchors drawn from each picture.
        share: the most of them that are positive.
        positive, negative: intersection over union from which an anchor is positive, and below which it is negative.
        seed: of what is drawn in training; its state is saved with that of the training.
    Shapes: anchors [1, A, 4], objectness and offsets of A and 4 A numbers a picture, true boxes [B, M, 6] -> [B, 2]: the loss of
        objectness, and that of offsets.
    Source: Ren et al. 2015, section 3.1.2 and 3.1.3.
    """

    def __init__(
        self,
        size: Sequence[int],
        samples: int = 256,
        share: float = 0.5,
        positive: float = 0.7,
        negative: float = 0.3,
        seed: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **settings})
        self.size, self.samples, self.share = list(size), samples, share
        self.positive, self.negative, self.seed = positive, negative, seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Sequence[Any], training: bool = False) -> Any:
        ops = keras.ops
        anchors, objectness, moves, truth = inputs
        count = anchors.shape[1]
        logits, moves = ops.reshape(objectness, (-1, count)), ops.reshape(moves, (-1, count, 4))
        positive, negative, boxes = self.chosen(anchors, truth, training)
        used = ops.cast(ops.logical_or(positive, negative), "float32")
        positive = ops.cast(positive, "float32")
        number = ops.maximum(ops.sum(used, axis=1), 1.0)
        by_anchor = ops.softplus(logits) - positive * logits
        error = smooth_l1(moves - ops.stop_gradient(offsets(boxes, anchors)), KNEE)
        each = ops.stack([ops.sum(used * by_anchor, axis=1) / number, ops.sum(positive * error, axis=1) / number], axis=-1)
        self.add_loss(ops.mean(each[:, 0]))
        self.add_loss(ops.mean(each[:, 1]))
        return each

    def chosen(self, anchors: Any, truth: Any, training: bool = False) -> tuple[Any, Any, Any]:
        """Which anchors are learnt from, and the box that each positive one is to find.

        Shapes: [1, A, 4], [B, M, 6] -> bool [B, A] of positive ones, bool [B, A] of negative ones, [B, A, 4].
        """
        ops = keras.ops
        matched = found(anchors, truth, self.size)
        positive = ops.logical_or(matched.overlap >= self.positive, matched.nearest)
        empty = ops.logical_and(matched.overlap < self.negative, matched.ignored < self.negative)
        negative = ops.logical_and(empty, ops.logical_not(positive))
        noise = keras.random.uniform(
            ops.shape(matched.overlap), minval=1e-6, maxval=1.0, seed=self.generator if training else FIXED
        )
        most = round(self.samples * self.share)
        positive = drawn(positive, noise, most * ops.ones_like(noise[:, 0]), most)
        room = self.samples - ops.sum(ops.cast(positive, "float32"), axis=1)
        return positive, drawn(negative, noise, room, self.samples), matched.box

    def compute_output_shape(self, shapes: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return (shapes[3][0], 2)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.size,
            "samples": self.samples,
            "share": self.share,
            "positive": self.positive,
            "negative": self.negative,
            "seed": self.seed,
        }
