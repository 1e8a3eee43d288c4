"""Data sets of TFDS as they lie after a download, made of random pictures: TFDS' own builders write them, without network."""

import contextlib
import io
import os
from unittest import mock

import numpy as np
import tensorflow_datasets as tfds

from tests.data.photos import photo

Rows = list[dict[str, object]]


def random_rows(dataset: str, count: int, first: int = 0) -> Rows:
    """So many different pictures, each with the features that the data set has; classes take turns."""
    features = tfds.builder(dataset).info.features
    height, width, channels = features["image"].shape
    rows = []
    for number in range(first, first + count):
        picture = photo(number, height or 20 + number % 3, width or 30, channels, cells=4)
        row = {name: _plain(feature, picture) for name, feature in features.items()}
        rows.append({**row, "image": picture, "label": number % features["label"].num_classes})
    return rows


def _plain(feature: object, picture: np.ndarray) -> object:
    """Something that the feature accepts."""
    if isinstance(feature, tfds.features.Text):
        return "words"
    if isinstance(feature, tfds.features.BBoxFeature):
        return tfds.features.BBox(0.0, 0.0, 1.0, 1.0)
    return picture[..., :1] if isinstance(feature, tfds.features.Image) else 0


def prepare(folder: os.PathLike, dataset: str, splits: dict[str, Rows], form: str = "array_record") -> None:
    """Writes a data set below the folder, as `TFDS_DATA_DIR` has it."""
    builder = tfds.builder(dataset, data_dir=folder, file_format=form)
    generators = {name: iter(list(enumerate(rows))) for name, rows in splits.items()}
    silence = io.StringIO()
    written = mock.patch.object(builder, "_split_generators", return_value=generators)
    with written, contextlib.redirect_stderr(silence), contextlib.redirect_stdout(silence):
        builder.download_and_prepare(file_format=form)
