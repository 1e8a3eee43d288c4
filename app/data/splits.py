"""Drawing held-out pictures from a set: stratified, and decided by a seed alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from app.data.spec import VOID, Array, Pictures, SplitName

HELD_OUT: Mapping[SplitName, float] = {"val": 0.1, "test": 0.15}  # shares of what is given as train, where there is no such split
VALIDATION_CAP = 5000  # pictures; more would take from the training without making the choice of weights surer


def stratified(labels: Array, count: int, seed: int) -> tuple[Array, Array]:
    """Indices of the rest and of `count` pictures, drawn so that every class keeps its share.

    Each class gives one at least if it has two, and keeps one at least: with many tiny classes the count differs.
    Shapes: int [N] -> int [N - count], int [count], both sorted.
    """
    rng = np.random.default_rng((seed, len(labels), 7))
    names, sizes = np.unique(labels, return_counts=True)
    exact = sizes * (count / max(1, len(labels)))
    quotas = np.floor(exact).astype(int)
    quotas[np.argsort(quotas - exact, kind="stable")[: count - quotas.sum()]] += 1  # the largest remainders
    quotas = np.clip(quotas, np.minimum(1, sizes - 1), sizes - 1)
    for index in np.argsort(-sizes, kind="stable"):  # what tiny classes gave too little or too much, the largest make up for
        quotas[index] = np.clip(quotas[index] + count - quotas.sum(), min(1, sizes[index] - 1), sizes[index] - 1)
    drawn = [rng.permutation(np.flatnonzero(labels == name))[:quota] for name, quota in zip(names, quotas, strict=True)]
    held = np.sort(np.concatenate(drawn)) if drawn else np.array([], np.int64)
    return np.setdiff1d(np.arange(len(labels)), held), held


def strata(labels: Array) -> Array:
    """A class for each picture to draw it by: its own; of its boxes or pixels, the one that fewest pictures have; -1: none.

    Shapes: int [N], boxes [N, M, 6] or masks uint8 [N, H, W] -> int [N].
    """
    if labels.ndim == 1:
        return labels
    there = presence(labels)
    rarity = np.where(there, there.sum(axis=0), len(labels) + 1)
    rarest: Array = np.where(there.any(axis=1), rarity.argmin(axis=1), -1) if there.size else np.full(len(labels), -1)
    return rarest


def presence(labels: Array) -> Array:
    """Which classes each picture has; ignored boxes and void pixels count for none.

    Shapes: int [N], boxes [N, M, 6] or masks uint8 [N, H, W] -> bool [N, classes].
    """
    if labels.ndim == 1:
        same: Array = labels[:, None] == np.arange(labels.max(initial=-1) + 1)
        return same
    if labels.dtype == np.uint8:
        counts = pixels_of_classes(labels)
        seen: Array = counts[:, : 1 + np.flatnonzero(counts.any(axis=0)).max(initial=-1)] > 0
        return seen
    classes = np.where(labels[..., 5] > 0, -1, labels[..., 4])
    there: Array = (classes[..., None] == np.arange(int(classes.max(initial=-1)) + 1)).any(axis=1)
    return there


def pixels_of_classes(masks: Array) -> Array:
    """How many pixels of each class each picture has; void ones are of none. Shapes: uint8 [N, H, W] -> int [N, 255]."""
    return np.stack([np.bincount(mask.ravel(), minlength=VOID + 1)[:VOID] for mask in masks])


def complete(splits: Mapping[SplitName, Pictures], seed: int) -> dict[SplitName, Pictures]:
    """The splits with those that are missing drawn from train: first test, then val (at most 5,000 pictures)."""
    found = dict(splits)
    total = len(found["train"])
    for name in ("test", "val"):
        if name not in found:
            count = round(HELD_OUT[name] * total)
            rest, held = stratified(strata(found["train"].labels), min(count, VALIDATION_CAP) if name == "val" else count, seed)
            found[name], found["train"] = found["train"].take(held), found["train"].take(rest)
    return found
