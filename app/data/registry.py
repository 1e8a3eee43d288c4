"""From what the user calls the data to the data: a name, `tfds:<name>`, a folder or a .npz file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import app.data.catalog
from app.config import TrainConfig
from app.data.catalog import tfds
from app.data.spec import SPLITS, Dataset, DataSpec, Pictures, Source, Split
from app.data.splits import strata, stratified
from app.errors import UserError, unknown
from models.spec import Objective

ANNOTATIONS = {"classification": "a class for each picture", "detection": "boxes", "segmentation": "masks"}


@cache
def all_datasets() -> dict[str, DataSpec]:
    """All data sets that have a name, those without download first."""
    found = {}
    for module in pkgutil.iter_modules(app.data.catalog.__path__):
        for spec in importlib.import_module(f"app.data.catalog.{module.name}").DATASETS:
            found[spec.name] = spec
    return dict(sorted(found.items(), key=lambda item: item[1].download != "none"))


def is_known(data: str) -> bool:
    """Whether this is a name, or a folder or .npz file that is there."""
    path = Path(data).expanduser()
    there = path.is_dir() or (path.is_file() and path.suffix == ".npz")
    return data in all_datasets() or data.startswith(tfds.PREFIX) or (there and data != "")


def check_name(data: str) -> None:
    """Refuses data that cannot be there, without loading anything.

    Raises:
        UserError: no such name, folder or file.
    """
    if is_known(data):
        return
    path = Path(data).expanduser()
    if path.is_file():
        raise UserError(f"{data} is a file; data is a name, tfds:<name>, a folder of pictures or a .npz file")
    if len(path.parts) > 1 or path.suffix:
        raise UserError(f"there is no {data}; data is a name, tfds:<name>, a folder of pictures or a .npz file")
    raise unknown("data set", data, all_datasets(), "(python -m app datasets lists them; a folder or .npz works too)")


def open_source(data: str, split_seed: int, objective: Objective = "classification") -> Source:
    """The pictures and classes, not yet decoded.

    Raises:
        UserError: the data cannot be found, downloaded or understood.
    """
    check_name(data)
    if data in all_datasets():
        return all_datasets()[data].open(split_seed, objective)
    if data.startswith(tfds.PREFIX):
        name = data.removeprefix(tfds.PREFIX)
        return tfds.load(split_seed, objective, name=name.replace("/", "_"), dataset=name)
    path = Path(data).expanduser()
    if path.is_dir():
        from app.data import folders

        return folders.load(path, split_seed, objective)
    from app.data.formats import npz

    return npz.load(path, split_seed)


def load_data(config: TrainConfig, say: Callable[[str], None]) -> Dataset:
    """The data of a training: decoded, checked, and with everything that was left out told.

    Raises:
        UserError: it cannot be had, or `--strict` and something would be left out.
    """
    from app.data.decode import decode

    source = _source(config)
    height, width = _size(config, source)
    dataset = decode(_drawn(source, height, width), height, width, say)
    for item in dataset.left_out:
        say(f"left out: {item}")
    if config.strict and dataset.left_out:
        raise UserError(f"--strict: {len(dataset.left_out)} things in {config.data} would be left out; mend or remove them")
    twice = dataset.in_two_splits
    if twice["equal"] or twice["near"]:
        say(f"warning: pictures that stand in two splits: {twice['equal']} equal, {twice['near']} nearly; the test may flatter")
    return dataset


def load_enlarged(config: TrainConfig, side: int, say: Callable[[str], None]) -> Split:
    """The training pictures of `load_data` once more, in more pixels."""
    from app.data.decode import decode

    return decode(_source(config), side, side, say, needed=("train",)).train


def load_test(config: TrainConfig, side: int, say: Callable[[str], None]) -> Split:
    """The test pictures of `load_data` once more, at another size."""
    from app.data.decode import decode

    return decode(_source(config), side, side, say, needed=("test",)).test


def _size(config: TrainConfig, source: Source) -> tuple[int, int]:
    """Height and width of the network's input."""
    if not config.image_size:
        return config.spec.size_for(source.size)
    return config.image_size, config.image_width or config.image_size


def _drawn(source: Source, height: int, width: int) -> Source:
    """Composed pictures for that canvas; others as they are, to be stretched."""
    return source.compose(height, width) if source.compose and source.size != (height, width) else source


def _source(config: TrainConfig) -> Source:
    """The data of a training, with no more pictures than it asks for.

    Raises:
        UserError: its pictures do not have the annotations that the network learns from.
    """
    wanted = config.spec.objective
    row = all_datasets().get(config.data)
    if row and wanted not in row.objectives:
        raise _unfit(config, row.objectives)
    source = open_source(config.data, config.split_seed, wanted)
    if source.objective != wanted:
        raise _unfit(config, (source.objective,))
    if not config.limit:
        return source
    return _limited(source, config.limit, config.split_seed)


def _unfit(config: TrainConfig, objectives: Sequence[Objective]) -> UserError:
    """Data has annotations for other objectives than the network's."""
    wanted = config.spec.objective
    has = " and ".join(ANNOTATIONS[one] for one in objectives)
    fitting = [name for name, spec in all_datasets().items() if wanted in spec.objectives]
    needs = f"{config.model} learns from {ANNOTATIONS[wanted]}, as {', '.join(fitting[:5])} have"
    return UserError(f"{config.data} has {has}; {needs}")


def _limited(source: Source, limit: int, seed: int) -> Source:
    """A source with at most so many pictures of each split, of all classes."""

    def some(pictures: Pictures) -> Pictures:
        if len(pictures) <= limit:
            return pictures
        return pictures.take(stratified(strata(pictures.labels), len(pictures) - limit, seed)[0])  # the rest: it has every class

    compose = source.compose
    return replace(
        source,
        splits={name: some(source.splits[name]) for name in SPLITS},
        fingerprint=f"{source.fingerprint}-{limit}",
        compose=compose and (lambda height, width: _limited(compose(height, width), limit, seed)),
    )
