"""Pictures in a numpy file: `x_train, y_train` with `x_val, y_val, x_test, y_test` if there are any, and `classes`."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from app.data.spec import SPLITS, Array, Pictures, Source, SplitName
from app.data.splits import complete
from app.errors import UserError

EXPECTED = "expected x_train uint8 [N, H, W] or [N, H, W, 1 or 3] with y_train int [N], and perhaps x_val, x_test, classes"


def load(file: Path, split_seed: int) -> Source:
    """The pictures of a .npz file; splits that it lacks are drawn from train, stratified.

    Raises:
        UserError: the arrays are not there or do not fit each other.
    """
    try:
        with np.load(file, allow_pickle=False) as opened:
            arrays = {name: opened[name] for name in opened.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{file} cannot be read as .npz ({str(error).splitlines()[0]}); {EXPECTED}") from None
    found: dict[SplitName, Pictures] = {}
    for split in SPLITS:
        if f"x_{split}" in arrays:
            found[split] = _pictures(arrays, split, file)
    if "train" not in found:
        raise UserError(f"{file} has {', '.join(arrays) or 'no arrays'}; {EXPECTED}")
    count = 1 + max(int(pictures.labels.max()) for pictures in found.values())
    classes = tuple(str(name) for name in arrays["classes"]) if "classes" in arrays else tuple(map(str, range(count)))
    if len(classes) < max(2, count):
        raise UserError(f"{file} has labels up to {count - 1} but {len(classes)} classes; {EXPECTED}")
    images = arrays["x_train"]
    for split in found:
        if arrays[f"x_{split}"].shape[1:] != images.shape[1:]:
            raise UserError(f"{file}: x_{split} has pictures {arrays[f'x_{split}'].shape[1:]}, x_train {images.shape[1:]}")
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return Source(
        name=file.stem,
        classes=classes,
        splits=complete(found, split_seed),
        channels=3 if images.ndim == 4 and images.shape[3] == 3 else 1,
        size=(images.shape[1], images.shape[2]),
        fingerprint=hashlib.sha256(digest.digest() + str(split_seed).encode()).hexdigest()[:16],
    )


def _pictures(arrays: dict[str, Array], split: SplitName, file: Path) -> Pictures:
    images, labels = arrays[f"x_{split}"], arrays.get(f"y_{split}", np.array([]))
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise UserError(f"{file}: x_{split} is {images.dtype} {images.shape}; {EXPECTED}")
    labels = labels.reshape(-1)
    if not np.issubdtype(labels.dtype, np.integer) or len(labels) != len(images) or not len(labels) or labels.min() < 0:
        raise UserError(f"{file}: y_{split} does not fit x_{split} ({labels.dtype} {labels.shape}); {EXPECTED}")
    pixels = images if images.ndim == 4 else images[..., None]
    return Pictures(lambda i: pixels[i], labels.astype(np.int64), [f"{split} {i}" for i in range(len(labels))])
