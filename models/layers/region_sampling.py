"""What the second stage of a two-stage detector learns from: a sample of regions."""

from collections.abc import Sequence
from typing import Any

import keras

from models.boxes import drawn, found, learnt_and_ignored, pixels

FIXED = 0  # the seed of what is drawn outside of training, so that losses of different epochs are of the same regions


@keras.saving.register_keras_serializable("convoy")
class RegionSampling(keras.layers.Layer):  # type: ignore[misc]
    """A fixed number of regions, of which a share at most holds an object, and what there is to find in each.

    They are drawn from the proposals and from the true boxes themselves, so that there is an object to learn from even
    where no proposal has found one. No gradient goes through.

    Args:
        size: height and width of the picture.
        classes: how many there are; their number stands for the background.
        samples: how many are drawn; not more than there are proposals.
        share: the most of them that hold an object.
        overlap: intersection over union with a true box from which a region holds it; below it is background.
        seed: of what is drawn in training; its state is saved with that of the training.
    Shapes: proposals [B, R, 4], true boxes [B, M, 6] -> regions [B, N, 4], classes [B, N] (below 0 where a region is not
        to be learnt from), and the true box of each [B, N, 4].
    Boxes: ymin, xmin, ymax, xmax in pixels.
    Source: Girshick 2015 (Fast R-CNN), section 2.3; Ren et al. 2015, section 3.2. Backgrounds need not overlap a box here.
    """

    def __init__(
        self,
        size: Sequence[int],
        classes: int,
        samples: int = 128,
        share: float = 0.25,
        overlap: float = 0.5,
        seed: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **settings})
        self.size, self.classes, self.samples, self.share = list(size), classes, samples, share
        self.overlap, self.seed = overlap, seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Sequence[Any], training: bool = False) -> tuple[Any, Any, Any]:
        ops = keras.ops
        proposals, truth = inputs
        learnt, _ = learnt_and_ignored(truth)
        own = pixels(truth, self.size) * ops.cast(learnt, "float32")[:, :, None]
        regions = ops.concatenate([proposals, own], axis=1)
        matched = found(regions, truth, self.size)
        usable = ops.logical_and(regions[:, :, 2] > regions[:, :, 0], regions[:, :, 3] > regions[:, :, 1])
        holds = ops.logical_and(usable, matched.overlap >= self.overlap)
        empty = ops.logical_and(usable, ops.maximum(matched.overlap, matched.ignored) < self.overlap)
        noise = keras.random.uniform(
            ops.shape(matched.overlap), minval=1e-6, maxval=1.0, seed=self.generator if training else FIXED
        )
        most = round(self.samples * self.share)
        holds = ops.cast(drawn(holds, noise, most * ops.ones_like(noise[:, 0]), most), "float32")
        empty = ops.cast(empty, "float32")
        # Objects before the background, both before what is not to be used; which of them, noise decides.
        _, which = ops.top_k(4 * holds + 2 * empty + noise, self.samples)
        label = holds * matched.label + empty * self.classes - (1 - holds) * (1 - empty)
        table = ops.concatenate([regions, label[:, :, None], matched.box], axis=-1)
        rows = ops.stop_gradient(ops.take_along_axis(table, which[:, :, None], axis=1))
        return rows[:, :, :4], rows[:, :, 4], rows[:, :, 5:]

    def compute_output_shape(self, shapes: Sequence[tuple[int | None, ...]]) -> tuple[tuple[int | None, ...], ...]:
        first = (shapes[0][0], self.samples)
        return (*first, 4), first, (*first, 4)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.size,
            "classes": self.classes,
            "samples": self.samples,
            "share": self.share,
            "overlap": self.overlap,
            "seed": self.seed,
        }
