"""What converters start from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from app.deploy import INPUT, divided
from app.images import with_channels
from app.objectives import OBJECTIVES
from models.lazy import keras

Pictures = Iterator[dict[str, np.ndarray[Any, Any]]]


@dataclass(frozen=True)
class Notes:
    """What a file says of itself, so that it can be used alone.

    Args:
        name, description, licence: for people; the last may be empty.
        contract: the input as `release.json` has it.
        threshold: probability below which a picture is none of the classes.
        versions: of the packages that made it.
    """

    name: str
    description: str
    licence: str
    objective: str
    classes: tuple[str, ...]
    contract: dict[str, Any]
    threshold: float
    versions: dict[str, str]


@dataclass(frozen=True)
class Graph:
    """The network to be converted, and what the converters need besides.

    Args:
        model: the inference model: RGB in.
        bare: the same with the network's own channels, for microcontrollers; of a colour network `model` itself.
        calibration: training pictures, uint8 [N, H, W, C].
        notes: what the files say of themselves.
        work: a folder for what is needed on the way.
        network: what `model` was made of; a detector's is cut in two for integers.
    """

    model: Any
    bare: Any
    calibration: np.ndarray[Any, Any]
    notes: Notes
    work: Path
    network: Any = None

    @cached_property
    def saved_model(self) -> Path:
        """The graph for one picture: a free batch would make some layers fail on a phone."""
        return write_saved_model(self.model, self.work / "static", batch=1)

    @cached_property
    def bare_saved_model(self) -> Path:
        """The bare graph for one picture."""
        return self.saved_model if self.bare is self.model else write_saved_model(self.bare, self.work / "bare", batch=1)

    @cached_property
    def halves(self) -> tuple[Path, Path]:
        """A detector's graph for one picture in two: what can be computed in integers, and the rest.

        Raises:
            ValueError: it cannot be cut.
        """
        body, tail = divided(self.network)
        return write_saved_model(body, self.work / "body", batch=1), write_saved_model(tail, self.work / "tail", batch=1)

    def calibrating(self, channels: int = 3) -> Pictures:
        """The calibration pictures, one at a time.

        The first one gets a black and a white pixel: the range of the input must be 0..255, whatever was photographed, or a
        client's bytes would mean other brightnesses than they do.
        """
        for number, picture in enumerate(with_channels(self.calibration, channels)):
            image = picture[None].astype(np.float32)
            if number == 0:
                image[0, 0, 0], image[0, -1, -1] = 0, 255
            yield {INPUT: image}


@dataclass(frozen=True)
class Variant:
    """A file of a release.

    Args:
        name: on the command line.
        path: in the release.
        format: a row of `app.runners.FORMATS`.
        write: makes the file, and says how its integers were chosen; nothing of floats.
        optional: left out, with the reason told, where the network cannot be converted to it.
        objectives: of the networks that it is made for.
    """

    name: str
    path: str
    format: str
    precision: str
    write: Callable[[Graph, Path], str]
    optional: bool = False
    objectives: tuple[str, ...] = tuple(OBJECTIVES)


def write_saved_model(model: Any, folder: Path, batch: int | None) -> Path:
    """A SavedModel with the signature `serving_default`; gives its folder.

    Keras's archive finds the weights by the endpoint; tf.saved_model.save around the model leaves them out without a word.
    To `track` the model as well would write them twice.
    """
    import tensorflow as tf

    archive = keras.export.ExportArchive()
    specs = {tensor.name: tf.TensorSpec((batch, *tensor.shape[1:]), tf.float32, name=tensor.name) for tensor in model.inputs}
    if len(specs) == 1:
        archive.add_endpoint("serving_default", lambda image: model(image), input_signature=list(specs.values()))
    else:
        archive.add_endpoint("serving_default", lambda heads: model(heads), input_signature=[specs])
    archive.write_out(str(folder), verbose=False)
    return folder


def count_operations(model: Any) -> int:
    """How many operations the inference graph has: what a file holds besides its weights."""
    import tensorflow as tf

    signature = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    operations = tf.function(lambda image: model(image)).get_concrete_function(signature).graph.get_operations()
    return sum(operation.type not in ("Const", "ReadVariableOp", "Placeholder", "NoOp", "Identity") for operation in operations)
