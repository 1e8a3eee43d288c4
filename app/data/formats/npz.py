"""Pictures in a numpy file: `x_train, y_train` with `x_val, y_val, x_test, y_test` if there are any, and `classes`."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
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
    arrays = _arrays(file)
    found: dict[SplitName, Pictures] = {split: _pictures(arrays, split, file) for split in SPLITS if f"x_{split}" in arrays}
    if "train" not in found:
        raise UserError(f"{file} has {', '.join(arrays) or 'no arrays'}; {EXPECTED}")
    images = arrays["x_train"]
    for split in found:
        if arrays[f"x_{split}"].shape[1:] != images.shape[1:]:
            raise UserError(f"{file}: x_{split} has pictures {arrays[f'x_{split}'].shape[1:]}, x_train {images.shape[1:]}")
    digest = hashlib.sha256(str(split_seed).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return Source(
        name=file.stem,
        classes=_classes(arrays, found, file),
        splits=complete(found, split_seed),
        channels=3 if images.ndim == 4 and images.shape[3] == 3 else 1,
        size=(images.shape[1], images.shape[2]),
        fingerprint=digest.hexdigest()[:16],
    )


def _arrays(file: Path) -> dict[str, Array]:
    if not zipfile.is_zipfile(file):
        raise UserError(f"{file} is not a .npz file, as np.savez writes it; {EXPECTED}")
    try:
        with np.load(file, allow_pickle=False) as opened:
            return {name: np.asarray(opened[name]) for name in opened.files}  # what is no array comes as bytes
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, zlib.error, zipfile.BadZipFile) as error:
        raise UserError(f"{file} cannot be read ({str(error).partition(chr(10))[0]}); {EXPECTED}") from None


def _pictures(arrays: dict[str, Array], split: SplitName, file: Path) -> Pictures:
    images, labels = arrays[f"x_{split}"], arrays.get(f"y_{split}", np.array([]))
    fits = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
    if images.dtype != np.uint8 or not fits or not images.size:
        raise UserError(f"{file}: x_{split} is {images.dtype} {images.shape}; {EXPECTED}")
    numbers = labels.reshape(-1)
    if not np.issubdtype(labels.dtype, np.integer) or len(numbers) != len(images) or numbers.min() < 0:
        raise UserError(f"{file}: y_{split} does not fit x_{split} ({labels.dtype} {labels.shape}); {EXPECTED}")
    pixels = images if images.ndim == 4 else images[..., None]
    return Pictures(lambda i: pixels[i], numbers.astype(np.int64), [f"{split} {i}" for i in range(len(numbers))])


def _classes(arrays: dict[str, Array], found: dict[SplitName, Pictures], file: Path) -> tuple[str, ...]:
    """The names of the classes, or their numbers; each has to be there to train on."""
    count = 1 + max(int(pictures.labels.max()) for pictures in found.values())
    seen = len(np.unique(found["train"].labels))
    names = tuple(str(name) for name in arrays["classes"].reshape(-1)) if "classes" in arrays else ()
    if count > len(names or range(seen)):
        there = f"{len(names)} classes" if names else f"{seen} of them in y_train"
        raise UserError(f"{file} has labels up to {count - 1} but {there}; number them from 0 without gaps")
    if max(count, len(names)) < 2:
        raise UserError(f"{file} has 1 class; at least 2 are needed")
    return names or tuple(map(str, range(count)))
