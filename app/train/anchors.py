"""Anchors measured on the boxes that are trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from app.config import TrainConfig
from app.data.spec import Dataset

MEASURED = "kmeans"  # the value of a network's option `anchors` that asks for it


def with_anchors(config: TrainConfig, dataset: Dataset, say: Callable[[str], None]) -> TrainConfig:
    """The settings with sizes in place of the wish for measured ones; the same for the same data, so that runs can be resumed.

    Source: Redmon and Farhadi 2017, section 2: k-means with the share that two boxes have in common as their nearness.
    """
    if config.options.get("anchors") != MEASURED:
        return config
    from app.data.targets.anchors import find_anchors

    height, width, _ = dataset.shape
    anchors = find_anchors(dataset.train.labels, height, width)
    say(f"anchors of {dataset.name}, width x height in pixels: {anchors.replace(',', ' ')}")
    return replace(config, options={**config.options, "anchors": anchors})
