"""Smooth random pictures that behave like photographs: neighbours are alike, and no two pictures are."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from app.data.spec import Pictures, Source
from app.data.splits import complete


def photo(seed: int, height: int = 48, width: int = 64, channels: int = 3, cells: int = 6) -> np.ndarray:
    """Shapes: uint8 [H, W, C]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image if channels == 3 else image.convert("L")).reshape(height, width, channels)


def encoded(picture: np.ndarray | Image.Image, form: str = "PNG", **options) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture.squeeze())
    held = io.BytesIO()
    image.save(held, form, **options)
    return held.getvalue()


def write_photos(folder: Path, count: int, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + count):
        (folder / f"{seed:03}.png").write_bytes(encoded(photo(seed, 12, 16)))


def write_classes(folder: Path, **counts: int) -> Path:
    """A folder with so many pictures of each class, all different."""
    for number, (name, count) in enumerate(counts.items()):
        write_photos(folder / name, count, 1000 * number)
    return folder


def source_of(images: np.ndarray, labels: np.ndarray, classes: int = 2, fingerprint: str = "made up") -> Source:
    """A source in memory, with drawn splits."""
    pictures = Pictures(lambda i: images[i], labels.astype(np.int64), [f"picture {i}" for i in range(len(labels))])
    names = tuple(f"class {number}" for number in range(classes))
    return Source("made", names, complete({"train": pictures}, 0), images.shape[3], fingerprint, images.shape[1:3])
