"""The batches of a training: random access, and decided by (seed, epoch, batch) alone.

So any Keras backend can read them in any number of threads, and a resumed training sees what an uninterrupted one saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import keras
import numpy as np

from app.config import TrainConfig
from app.data.augment import find_policy, fitted
from app.data.spec import Array, Dataset, Split
from app.data.targets import ENCODERS


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Pictures float32 [B, H, W, C] in 0..255, targets, and weights [B] if classes are weighted.

    Args:
        training: shuffled and augmented; else in order, as they are. `epoch` has to be set before each pass.
        heads: the outputs of a network that has several, each of which gets the targets.
        enlarged: the same pictures in more pixels, for an augmentation that cuts windows out of them.
    """

    def __init__(
        self,
        split: Split,
        dataset: Dataset,
        config: TrainConfig,
        *,
        training: bool,
        heads: Sequence[str] = (),
        enlarged: Split | None = None,
        workers: int = 1,
    ) -> None:
        super().__init__(workers=workers, max_queue_size=4)
        self.split, self.config, self.training, self.heads = split, config, training, tuple(heads)
        self.classes = len(dataset.classes)
        self.enlarged = split if enlarged is None else enlarged
        policy = find_policy(config.augment) if training else ()
        self.policy = fitted(policy, self.split.images, self.split.images.shape[1])
        self.epoch = 0
        self._order: tuple[int, Array] = (-1, np.arange(len(split)))

    def __len__(self) -> int:
        return -(-len(self.split) // self.config.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        epoch = self.epoch
        size = self.config.batch_size
        chosen = self.order(epoch)[index * size : (index + 1) * size]
        augmented = self.training and epoch < self.augmented_epochs
        images = (self.enlarged if augmented else self.split).images[chosen].astype(np.float32)
        smoothing = self.config.label_smoothing if self.training else 0.0
        targets = ENCODERS[self.config.spec.targets](self.split.labels[chosen], self.classes, smoothing)
        if augmented:
            # From 1: numpy takes (seed, epoch, 0) for (seed, epoch), which is what decides the order.
            rng = np.random.default_rng((self.config.seed, epoch, 1 + index))
            for operation in self.policy:
                images, targets = operation(images, targets, rng)
        weights = () if self.class_weights is None or not self.training else (targets @ self.class_weights,)
        return images, *(dict.fromkeys(self.heads, part) if self.heads else part for part in (targets, *weights))

    def order(self, epoch: int) -> Array:
        """The indices of an epoch in their order."""
        if not self.training:
            return np.arange(len(self.split))
        known, order = self._order
        if known != epoch:
            order = np.random.default_rng((self.config.seed, epoch)).permutation(len(self.split))
            self._order = (epoch, order)
        return order

    @property
    def augmented_epochs(self) -> int:
        """How many epochs are augmented; those after them see the pictures as they are."""
        return self.config.epochs - round(self.config.clean_epochs * self.config.epochs)

    @cached_property
    def class_weights(self) -> Array | None:
        """How much each class weighs in the loss: with `balanced`, all classes the same in sum; the mean picture 1."""
        if self.config.class_weights == "none":
            return None
        counts = np.bincount(self.split.labels, minlength=self.classes)
        weights: Array = (len(self.split) / (self.classes * counts.clip(1))).astype(np.float32)
        return weights


def first_batch(batches: Batches) -> dict[str, Any]:
    """The first pictures of the training as the network sees them, at most 64."""
    images, targets = batches[0][:2]
    labels = next(iter(targets.values())) if batches.heads else targets
    return {"images": images[:64].round().astype(np.uint8), "labels": labels[:64]}
