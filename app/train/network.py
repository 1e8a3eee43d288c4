"""The network of a training: built from its configuration, and started from given weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras

from app.config import TrainConfig, network_options
from app.deploy import MAIN, heads
from app.errors import UserError
from app.runners import first_line
from app.runs import refuse_unpublished
from models.pretrained import IMAGENET, load_imagenet
from models.saved import load_network
from models.spec import Shape


def build_network(config: TrainConfig, shape: Shape, classes: int, *, precision: str = "float32") -> Any:
    """The network for pictures of that shape, with fresh weights. It has the registry's name, not that of its family.

    Raises:
        UserError: pictures of that shape cannot pass through it.
    """
    keras.config.set_dtype_policy(precision)
    try:
        network = config.spec.build(shape, classes, **network_options(config))
    except (ValueError, OverflowError, RecursionError) as error:
        chosen = " ".join(f"{name}={value}" for name, value in config.options.items())
        size = f"{shape[0]}x{shape[1]} pictures" + (f" with {chosen}" if chosen else "")
        raise UserError(f"{config.model} cannot be built for {size}: {first_line(error)}") from None
    finally:
        keras.config.set_dtype_policy("float32")
    network.name = config.model
    return network


def start_from(network: Any, weights: Path | str, say: Callable[[str], None]) -> list[str]:
    """Copies weights into the layers that they fit, and gives the names of those that stay fresh.

    Args:
        weights: what `app.runs.find_weights` gives: "imagenet", a file of keras.applications, or one of ours, whose layers
            are matched by name and shapes.
    Raises:
        UserError: the weights cannot be read or downloaded, or none of them fits.
    """
    if weights == IMAGENET or Path(weights).suffix == ".h5":
        started, fresh, more = _published(network, weights)
    else:
        started, fresh, more = _ours(network, Path(weights))
    if not started:
        raise UserError(f"--weights {weights}: no layer of {network.name} has the same name and shapes there")
    told = [f"fresh: {', '.join(fresh)}"] if fresh else []
    say("; ".join([f"{len(started)} of {len(started) + len(fresh)} layers start from {weights}", *more, *told]))
    return list(fresh)


def freeze(network: Any, fresh: Sequence[str] = ()) -> None:
    """Leaves only the layer of the logits to be trained, and those of auxiliary heads. Frozen normalisation keeps its statistics.

    Args:
        fresh: layers that have no weights to keep.
    Raises:
        UserError: a frozen layer would stay as it was drawn, or there is nothing left to train.
    """
    last = {MAIN, *heads(network)}
    if lost := [name for name in fresh if name not in last]:
        raise UserError(f"--freeze would keep {', '.join(lost)} as drawn, without weights that fit; leave it out")
    for layer in network.layers:
        layer.trainable = layer.name in last
    if not network.trainable_weights:
        raise UserError(f"--freeze leaves nothing of {network.name} to train, whose last layer is fixed; leave it out")


def _ours(network: Any, file: Path) -> tuple[list[str], list[str], list[str]]:
    """The layers that start from a network of ours, the fresh ones, and nothing to add."""
    try:
        source = {layer.name: layer for layer in load_network(file).layers}
    except (ValueError, TypeError, KeyError, OSError, BadZipFile) as error:
        raise UserError(f"--weights {file} cannot be read ({first_line(error)}); give a run or a .keras file") from None
    layers = [layer for layer in network.layers if layer.weights]
    matching = [layer for layer in layers if layer.name in source and _shapes(source[layer.name]) == _shapes(layer)]
    for layer in matching:
        layer.set_weights(source[layer.name].get_weights())
    return [layer.name for layer in matching], [layer.name for layer in layers if layer not in matching], []


def _published(network: Any, weights: Path | str) -> tuple[list[str], list[str], list[str]]:
    """The layers that start from ImageNet, the fresh ones, and what was done for grey pictures."""
    refuse_unpublished(network.name, str(weights))
    try:
        copied = load_imagenet(network, network.name, None if weights == IMAGENET else Path(weights))
    except OSError as error:
        advice = "give another file"
        if weights == IMAGENET:
            advice = "connect once, or give a file that keras.applications wrote by --weights FILE.h5"
        raise UserError(f"--weights {weights} cannot be had ({first_line(error)}); {advice}") from None
    except ValueError as error:
        raise UserError(f"--weights {weights} does not fit {network.name} ({first_line(error)})") from None
    grey = [f"the kernel of {copied.grey} is summed over the colours for grey pictures"] if copied.grey else []
    return list(copied.started), list(copied.fresh), grey


def _shapes(layer: Any) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]
