"""The places of a picture that are worth a look."""

from collections.abc import Sequence
from typing import Any

import keras

from models.boxes import moved
from models.layers.non_max_suppression import NonMaxSuppression


@keras.saving.register_keras_serializable("convoy")
class RegionProposals(keras.layers.Layer):  # type: ignore[misc]
    """A fixed number of boxes that are likely to hold an object of any class, the likeliest first.

    Anchors are moved by their offsets, cut at the picture's edges, and lose those that overlap a likelier one. No gradient
    goes through. Where fewer than `most` stay, the others are empty boxes of zeros.

    Args:
        size: height and width of the picture.
        candidates: how many of the likeliest are looked at.
        most: how many are given.
        overlap: intersection over union above which the less likely of two goes.
    Shapes: anchors [1, A, 4], logits of objectness and offsets whose numbers are A and 4 A for each picture, in the order of
        anchors -> [B, R, 4]; R is `most`, or A if that is less.
    Boxes: ymin, xmin, ymax, xmax in pixels.
    Source: Ren et al. 2015, section 3.3.
    """

    def __init__(
        self, size: Sequence[int], candidates: int = 2000, most: int = 300, overlap: float = 0.7, **settings: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **settings})
        self.size, self.candidates, self.most, self.overlap = list(size), candidates, most, overlap
        self.suppression = NonMaxSuppression(candidates, most, 0.0, overlap, name="suppression")

    def build(self, shapes: Sequence[tuple[int | None, ...]]) -> None:  # noqa: ARG002 - as Keras calls it
        self.suppression.built = True  # it has no weights

    def call(self, inputs: Sequence[Any]) -> Any:
        ops = keras.ops
        anchors, objectness, offsets = inputs
        count = anchors.shape[1]
        scores = ops.sigmoid(ops.reshape(objectness, (-1, count, 1)))
        boxes = moved(anchors, ops.reshape(offsets, (-1, count, 4)), self.size)
        return ops.stop_gradient(self.suppression(boxes, scores)["boxes"])

    def compute_output_shape(self, shapes: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return (shapes[1][0], min(self.most, self.candidates, shapes[0][1] or 0), 4)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.size,
            "candidates": self.candidates,
            "most": self.most,
            "overlap": self.overlap,
        }
