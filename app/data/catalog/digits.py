"""The real handwritten digits that ship with scikit-learn: no download, a second to load."""

from __future__ import annotations

import hashlib

from app.data.spec import DataSpec, Pictures, Source
from app.data.splits import stratified
from models.spec import Objective

TEST_PICTURES, VALIDATION_PICTURES = 360, 180
SPLIT = 0  # the split is fixed: figures of different runs and seeds are of the same pictures


def load(split_seed: int, objective: Objective = "classification") -> Source:  # noqa: ARG001 - fixed split
    """1,797 digits of 43 people, 8x8 pixels, in a fixed stratified split.

    Source: Alpaydin, Kaynak: Optical recognition of handwritten digits. UCI Machine Learning Repository, 1998.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = (bunch.images * (255 / 16)).round().astype("uint8")[..., None]
    labels = bunch.target.astype("int64")
    everything = Pictures(lambda i: images[i], labels, [f"digit {i}" for i in range(len(labels))])
    rest, test = stratified(labels, TEST_PICTURES, SPLIT)
    train, val = stratified(labels[rest], VALIDATION_PICTURES, SPLIT)
    return Source(
        name="digits",
        classes=tuple(str(digit) for digit in range(10)),
        splits={"train": everything.take(rest[train]), "val": everything.take(rest[val]), "test": everything.take(test)},
        channels=1,
        size=(8, 8),
        fingerprint=hashlib.sha256(images.tobytes() + labels.tobytes() + rest[train].tobytes()).hexdigest()[:16],
    )


DATASETS = [
    DataSpec(
        name="digits",
        title="Handwritten digits of scikit-learn",
        classes=10,
        pictures="1,797",
        size="8x8 grey",
        download="none",
        source="UCI, CC BY 4.0",
        open=load,
        verified=True,
    )
]
