"""Data sets of TensorFlow Datasets, read at random without TensorFlow (`tfds.data_source`).

Where they lie, and where downloads go: `TFDS_DATA_DIR`, or ~/tensorflow_datasets.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app.data.cache import cached
from app.data.formats import records
from app.data.spec import SPLITS, Array, DataSpec, Pictures, Source, SplitName
from app.data.splits import complete
from app.errors import UserError, unknown
from models.spec import Objective

PREFIX = "tfds:"
FORM = "array_record"  # the form of TFDS that is read at random
TURNED = ("emnist",)  # grey, stored with rows and columns exchanged
HEAD = 65_536  # bytes of a file that are looked at to recognise it
ALIASES: dict[SplitName, tuple[str, ...]] = {"train": ("train",), "val": ("validation", "val", "dev"), "test": ("test",)}


def load(split_seed: int, objective: Objective = "classification", *, name: str, dataset: str) -> Source:
    """A set of TFDS with a class, boxes or a mask for each picture, prepared already or downloaded now.

    Args:
        name: what the run calls it.
        dataset: TFDS' name, with `/config` if it has several.
    Raises:
        UserError: TFDS knows no such set, its pictures lack what is wanted of them, or it cannot be downloaded.
    """
    builder = _find_builder(dataset)
    features = builder.info.features
    if not records.has(objective, features):
        raise UserError(f"{PREFIX}{dataset} has no features {records.NEEDED[objective]}; choose a {objective} set")
    _prepare(builder, dataset)
    shape = features["image"].shape
    found: dict[SplitName, Pictures] = {}
    for split in SPLITS:
        for alias in ALIASES[split]:
            if alias in builder.info.splits and not records.are_secret((pictures := _pictures(builder, alias, objective)).labels):
                found[split] = pictures
                break
    if "val" in found and "test" not in found:
        found["test"] = found.pop("val")  # what is published without a test split reports its figures on validation
    if "train" not in found:
        raise UserError(f"{PREFIX}{dataset} has no split 'train' with labels; it has {', '.join(builder.info.splits)}")
    classes, splits = records.number(objective, builder.name, features, found)
    return Source(
        name=name,
        classes=classes,
        splits=complete(splits, split_seed),
        channels=1 if shape[-1] == 1 else 3,
        size=(shape[0], shape[1]) if shape[0] and shape[1] else None,
        fingerprint=_fingerprint(builder, found, split_seed, objective),
        objective=objective,
    )


def _find_builder(dataset: str) -> Any:
    """What TFDS knows of a data set, whether it lies on this machine or not.

    Raises:
        UserError: there is no such set, configuration or version.
    """
    import tensorflow_datasets as tfds

    try:
        return _quietly(lambda: tfds.builder(dataset, try_gcs=False))
    except tfds.core.DatasetNotFoundError:
        raise unknown("TFDS data set", dataset, tfds.list_builders(with_community_datasets=False)) from None
    except (ValueError, AssertionError, ImportError) as error:
        raise UserError(f"{PREFIX}{dataset}: {_first_line(error)}") from None


def _prepare(builder: Any, dataset: str) -> None:
    """Makes sure that a data set lies on this machine in random-access form: downloads and converts it if there is none.

    Raises:
        UserError: there is no way to download it, or it lies there in another form.
    """
    from tensorflow_datasets.core.download import DownloadError
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    if builder.is_prepared():
        if not any(Path(builder.data_path).glob(f"*{FORM}*")):
            form = builder.info.file_format.value
            advice = "delete it, or set TFDS_DATA_DIR to another folder to prepare it anew"
            raise UserError(f"{PREFIX}{dataset} lies in {_shown(builder.data_path)} as {form}, not as {FORM}; {advice}")
        return
    place = f"not prepared in {_shown(builder.data_dir_root)}"
    if not _online():
        raise UserError(f"{PREFIX}{dataset} is {place}, and there is no network to download it; set TFDS_DATA_DIR or go online")
    try:
        builder.download_and_prepare(file_format=FORM)
    except (OSError, DownloadError, NonMatchingChecksumError, AssertionError) as error:
        raise UserError(f"{PREFIX}{dataset} is {place} and could not be downloaded: {_first_line(error)}") from None
    except ImportError as error:
        raise UserError(f"{PREFIX}{dataset} is {place}; preparing it needs a package: {_first_line(error)}") from None


def _online() -> bool:
    """Whether a name can be looked up and reached at all: told in seconds, where TFDS would retry for minutes."""
    try:
        with socket.create_connection(("www.tensorflow.org", 443), timeout=5):
            return True
    except OSError:
        return any(os.environ.get(name) for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"))


def _pictures(builder: Any, split: str, objective: Objective) -> Pictures:
    skipped = {feature: _skip_decoding() for feature in ("image", records.MASK) if feature in builder.info.features}
    rows = _quietly(lambda: builder.as_data_source(split=split, decoders=skipped))

    def fill(folder: Path) -> None:
        np.save(folder / "labels.npy", records.collect(objective, builder.info.features, rows))

    known = [_facts(builder), split, *([] if objective == "classification" else [objective])]
    key = hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]
    labels = np.load(cached(f"labels-{key}", fill) / "labels.npy")
    read: Callable[[int], bytes | Array] = partial(_read, rows, builder.name in TURNED)
    mask = partial(records.read_mask_of, rows) if objective == "segmentation" else None
    return Pictures(read, labels, [f"{split} {i}" for i in range(len(labels))], mask)


def _read(rows: Any, turned: bool, index: int) -> bytes | Array:
    encoded = bytes(rows[index]["image"])
    if not turned:
        return encoded
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as image:
        return np.swapaxes(np.asarray(image), 0, 1)[..., None]


def _skip_decoding() -> Any:
    import tensorflow_datasets as tfds

    return tfds.decode.SkipDecoding()


def _fingerprint(builder: Any, splits: dict[SplitName, Pictures], split_seed: int, objective: Objective) -> str:
    facts = [_facts(builder), split_seed, {name: len(pictures) for name, pictures in splits.items()}]
    if objective != "classification":  # whose fingerprints were there before there were others
        facts.append(objective)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _facts(builder: Any) -> list[Any]:
    """What lies prepared: enough to notice another preparation without reading it whole.

    Sizes are not enough, because the files are padded to whole blocks.
    """
    files = []
    for path in sorted(Path(builder.data_path).glob(f"*{FORM}*")):
        with path.open("rb") as file:
            files.append((path.name, path.stat().st_size, hashlib.sha256(file.read(HEAD)).hexdigest()))
    splits = [(name, split.num_examples, split.num_bytes) for name, split in sorted(builder.info.splits.items())]
    return [builder.info.full_name, splits, files]


def _quietly(act: Callable[[], Any]) -> Any:
    logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS warns of folders that it has just made itself
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        return act()


def _first_line(error: Exception) -> str:
    told = str(error).strip().rpartition('}": ')[2]  # TFDS puts the arguments of its own function before the reason
    return (told.splitlines() or [type(error).__name__])[0][:160]


def _shown(folder: Any) -> str:
    return str(folder).replace(str(Path.home()), "~", 1)


def _row(
    name: str,
    title: str,
    classes: int,
    pictures: str,
    size: str,
    download: str,
    source: str,
    verified: bool = False,
    objectives: tuple[Objective, ...] = ("classification",),
    dataset: str = "",
) -> DataSpec:
    opener = partial(load, name=name, dataset=dataset or name)
    return DataSpec(name, title, classes, pictures, size, download, source, opener, verified, objectives)


DATASETS = [
    _row("mnist", "MNIST", 10, "60,000 + 10,000", "28x28 grey", "11 MB", "LeCun et al. 1998", verified=True),
    _row("fashion_mnist", "Fashion-MNIST", 10, "60,000 + 10,000", "28x28 grey", "29 MB", "Xiao et al. 2017, MIT"),
    _row("kmnist", "Kuzushiji-MNIST", 10, "60,000 + 10,000", "28x28 grey", "20 MB", "Clanuwat et al. 2018, CC BY-SA 4.0"),
    _row(
        "emnist",
        "EMNIST balanced",
        47,
        "112,800 + 18,800",
        "28x28 grey",
        "536 MB",
        "Cohen et al. 2017",
        dataset="emnist/balanced",
    ),
    _row("cifar10", "CIFAR-10", 10, "50,000 + 10,000", "32x32 colour", "162 MB", "Krizhevsky 2009", verified=True),
    _row("cifar100", "CIFAR-100", 100, "50,000 + 10,000", "32x32 colour", "161 MB", "Krizhevsky 2009"),
    _row("svhn_cropped", "Street View House Numbers", 10, "73,257 + 26,032", "32x32 colour", "1.5 GB", "Netzer et al. 2011"),
    _row("tf_flowers", "Flowers", 5, "3,670", "any colour", "218 MB", "TensorFlow team 2019, CC BY"),
    _row(
        "oxford_iiit_pet",
        "Oxford-IIIT Pet",
        37,
        "3,680 + 3,669",
        "any colour",
        "773 MB",
        "Parkhi et al. 2012, CC BY-SA 4.0",
        objectives=("classification", "segmentation"),
    ),
    _row("imagenette", "Imagenette", 10, "9,469 + 3,925", "any colour", "98 MB", "Howard 2019", dataset="imagenette/160px-v2"),
    _row(
        "voc2007",
        "Pascal VOC 2007",
        20,
        "5,011 + 4,952",
        "any colour",
        "868 MB",
        "Everingham et al. 2010",
        objectives=("detection",),
        dataset="voc/2007",
    ),
]
