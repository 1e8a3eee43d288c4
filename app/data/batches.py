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
from app.data.augment.boxes import PADDING, longest
from app.data.augment.policies import find_policy, fitted
from app.data.spec import VOID, Array, Dataset, Split
from app.data.splits import pixels_of_classes
from app.data.targets import Encode
from app.data.targets.one_hot import one_hot


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Pictures float32 [B, H, W, C] in 0..255, targets, and weights if classes are weighted or pixels are void.

    Args:
        training: shuffled and augmented; else in order, as they are. `epoch` has to be set before each pass.
        encode: annotations to the network's targets, or to more inputs of it where it gives a dictionary; none: as they are.
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
        encode: Encode | None = None,
        heads: Sequence[str] = (),
        enlarged: Split | None = None,
        workers: int = 1,
    ) -> None:
        super().__init__(workers=workers, max_queue_size=4)
        self.split, self.config, self.encode, self.training, self.heads = split, config, encode, training, tuple(heads)
        self.classes = len(dataset.classes)
        self.enlarged = split if enlarged is None else enlarged
        whole = find_policy(config.augment, config.spec.objective)
        policy = whole if training else ()
        self.policy = fitted(policy, self.split.images, self.split.images.shape[1])
        self.joined = bool(whole)  # a picture may then hold the boxes of four
        self.epoch = 0
        self._order: tuple[int, Array] = (-1, np.arange(len(split)))

    def __len__(self) -> int:
        return -(-len(self.split) // self.config.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        images, annotations = self.annotated(index)
        targets = self.encode(annotations) if self.encode else annotations
        if isinstance(targets, dict):
            # As many boxes in every batch of the training, or the graph would be made anew.
            most = self.split.labels.shape[1]
            rows = longest(most) if self.joined else most
            return ({"image": images, **{name: _filled(boxes, rows) for name, boxes in targets.items()}},)
        weights = self._weights(annotations)
        parts = (targets,) if weights is None else (targets, weights)
        return images, *(dict.fromkeys(self.heads, part) if self.heads else part for part in parts)

    def annotated(self, index: int) -> tuple[Array, Array]:
        """The pictures of a batch, augmented, with what is known of them.

        Shapes: [B, H, W, C]; classes as probabilities [B, classes], boxes [B, M, 6] or masks [B, H, W].
        """
        epoch = self.epoch
        size = self.config.batch_size
        chosen = self.order(epoch)[index * size : (index + 1) * size]
        augmented = self.training and epoch < self.augmented_epochs
        images = (self.enlarged if augmented else self.split).images[chosen].astype(np.float32)
        smoothing = self.config.label_smoothing if self.training else 0.0
        labels = self.split.labels[chosen]
        annotations = one_hot(labels, self.classes, smoothing) if labels.ndim == 1 else labels
        if augmented:
            # From 1: numpy takes (seed, epoch, 0) for (seed, epoch), which is what decides the order.
            rng = np.random.default_rng((self.config.seed, epoch, 1 + index))
            for operation in self.policy:
                images, annotations = operation(images, annotations, rng)
        return images, annotations

    def _weights(self, annotations: Array) -> Array | None:
        """How much each picture or pixel weighs in the loss, if not all the same. Shapes: as the loss has them."""
        by_class = self.class_weights if self.training else None
        if annotations.ndim == 2:
            return None if by_class is None else annotations @ by_class
        if annotations.dtype != np.uint8:
            return None
        weights = np.zeros(VOID + 1, np.float32)
        weights[: self.classes] = 1.0 if by_class is None else by_class
        return weights[annotations]

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
        """How much each class weighs in the loss: with `balanced`, all classes the same in sum; the mean picture 1.

        Pixels of a class weigh as the median class is more frequent than theirs in the pictures that have it, at most 10:
        a class of a few pixels would drown the others.

        Source: Eigen and Fergus 2015, section 6.3.2, for pixels.
        """
        if self.config.class_weights == "none":
            return None
        if self.split.labels.ndim == 3:
            counts = pixels_of_classes(self.split.labels)[:, : self.classes]
            frequency = counts.sum(axis=0) / (counts.sum(axis=1)[:, None] * (counts > 0)).sum(axis=0).clip(1)
            rarity: Array = (np.median(frequency[frequency > 0]) / frequency.clip(1e-9)).clip(0, 10).astype(np.float32)
            return rarity
        counts = np.bincount(self.split.labels, minlength=self.classes)
        weights: Array = (len(self.split) / (self.classes * counts.clip(1))).astype(np.float32)
        return weights


def _filled(boxes: Array, rows: int) -> Array:
    """Annotations with padding up to so many rows. Shapes: [B, M, 6] -> [B, rows, 6]."""
    padding = np.tile(PADDING, (len(boxes), rows - boxes.shape[1], 1)).astype(np.float32)
    return np.concatenate([boxes, padding], axis=1)


def first_batch(batches: Batches) -> dict[str, Any]:
    """The first pictures of the training as the network sees them, at most 64."""
    images, labels = batches.annotated(0)
    return {"images": images[:64].round().astype(np.uint8), "labels": labels[:64]}
