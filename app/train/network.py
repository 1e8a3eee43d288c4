"""The network of a training: built from its configuration, and started from given weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras

from app.config import TrainConfig, network_options
from app.errors import UserError
from app.runners import first_line
from models.saved import load_network
from models.spec import Shape


def build_network(config: TrainConfig, shape: Shape, classes: int, *, precision: str = "float32") -> Any:
    """The network for pictures of that shape, with fresh weights.

    Raises:
        UserError: pictures of that shape cannot pass through it.
    """
    keras.config.set_dtype_policy(precision)
    try:
        return config.spec.build(shape, classes, **network_options(config))
    except ValueError as error:
        chosen = " ".join(f"{name}={value}" for name, value in config.options.items())
        size = f"{shape[0]}x{shape[1]} pictures" + (f" with {chosen}" if chosen else "")
        raise UserError(f"{config.model} cannot be built for {size}: {first_line(error)}") from None
    finally:
        keras.config.set_dtype_policy("float32")


def start_from(network: Any, file: Path, say: Callable[[str], None]) -> None:
    """Copies the weights of another network's layers of the same name and shapes.

    Raises:
        UserError: the file holds no network, or nothing in it matches.
    """
    try:
        source = {layer.name: layer for layer in load_network(file).layers}
    except (ValueError, TypeError, KeyError, OSError, BadZipFile) as error:
        raise UserError(f"--weights {file} cannot be read ({first_line(error)}); give a run or a .keras file") from None
    layers = [layer for layer in network.layers if layer.weights]
    matching = [layer for layer in layers if layer.name in source and _shapes(source[layer.name]) == _shapes(layer)]
    if not matching:
        raise UserError(f"--weights {file}: no layer of {network.name} has the same name and shapes there")
    for layer in matching:
        layer.set_weights(source[layer.name].get_weights())
    fresh = [layer.name for layer in layers if layer not in matching]
    say(f"{len(matching)} of {len(layers)} layers start from {file}" + (f"; fresh: {', '.join(fresh)}" if fresh else ""))


def freeze(network: Any) -> None:
    """Leaves only the last layer that has weights to be trained."""
    for layer in [layer for layer in network.layers if layer.weights][:-1]:
        layer.trainable = False


def _shapes(layer: Any) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]
