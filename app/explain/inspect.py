"""A network as a table: for each layer its size, what it sees of the picture, its parameters, multiply-adds and memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.config import DROPOUT, check_size, find_model
from app.deploy import main_path
from app.errors import UserError
from app.explain.graph import skeleton
from app.explain.kinds import EVERYTHING, Field, Pair, fields, kernel_of, macs, weights
from app.runners import first_line
from app.tables import short, table
from models.lazy import keras
from models.spec import ModelSpec, Shape

LONGEST_NAME, LONGEST_KIND = 29, 23  # characters in the table


@dataclass(frozen=True)
class LayerRow:
    """One use of a layer.

    Args:
        kind: the layer's class.
        kernel, strides, dilation: height and width, of convolutions and pooling.
        output_shape: without the batch; 0 where it depends on the picture's content.
        receptive_field: height and width of what one position of the output sees, in pixels of the picture. It goes on
            beyond the picture's edges, as is usual.
        sees_all: the whole picture, whatever its size: after dense layers and global pooling.
        parameters: with those that are not trained; 0 where a layer is used again.
        macs: multiply-adds of kernels for one picture.
        activation_bytes: memory of the output for one picture.
    """

    name: str
    kind: str
    kernel: Pair | None
    strides: Pair | None
    dilation: Pair | None
    output_shape: tuple[int, ...]
    receptive_field: Pair
    sees_all: bool
    parameters: int
    trainable_parameters: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True)
class Figures:
    """What the paper, or arithmetic from its table, says of a network at its own size."""

    parameters: int
    trainable_parameters: int
    auxiliary_parameters: int
    macs: int


@dataclass(frozen=True)
class Inspection:
    """A network's layers, on the path that is deployed, and their totals.

    Args:
        auxiliary_parameters: those of heads that are there in training alone, not in the rows.
        paper: None where the size, the classes or an option are not the paper's.
    """

    name: str
    title: str
    objective: str
    source: str
    input_shape: Shape
    classes: int
    options: Mapping[str, Any]
    layers: tuple[LayerRow, ...]
    auxiliary_parameters: int = 0
    paper: Figures | None = None

    @property
    def parameters(self) -> int:
        """With those that are not trained."""
        return sum(row.parameters for row in self.layers)

    @property
    def trainable_parameters(self) -> int:
        return sum(row.trainable_parameters for row in self.layers)

    @property
    def macs(self) -> int:
        """For one picture."""
        return sum(row.macs for row in self.layers)

    @property
    def activation_bytes(self) -> int:
        """Of all outputs together, for one picture: what training keeps for the backward pass, about."""
        return sum(row.activation_bytes for row in self.layers)

    @property
    def text(self) -> str:
        """For a terminal of 130 columns."""
        options = "".join(f", {name}={value}" for name, value in self.options.items())
        heading = f"{self.title} ({self.name}): {by(self.input_shape)} pixels, {self.classes} classes{options}"
        headers = ("layer", "kind", "kernel", "stride", "output", "sees", "parameters", "MACs", "memory")
        rows = table(headers, [_cells(row) for row in self.layers])
        note = "sees: receptive field in pixels of the picture. MACs: multiply-adds. Memory: of the output, for one picture."
        return "\n\n".join((f"{heading}\n{self.source}", rows, self._totals(), note, self._accepted()))

    def to_json(self) -> dict[str, Any]:
        """Plain values, the totals first."""
        return {
            "name": self.name,
            "title": self.title,
            "objective": self.objective,
            "source": self.source,
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            "options": dict(self.options),
            "parameters": self.parameters,
            "trainable_parameters": self.trainable_parameters,
            "auxiliary_parameters": self.auxiliary_parameters,
            "macs": self.macs,
            "activation_bytes": self.activation_bytes,
            "paper": asdict(self.paper) if self.paper else None,
            "layers": [
                {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(row).items()}
                for row in self.layers
            ],
        }

    def _accepted(self) -> str:
        """What `--set` takes, with the defaults."""
        told = []
        for option in [option for option in find_model(self.name).options.values() if option.name != DROPOUT]:
            choices = f" ({', '.join(map(str, option.choices))})" if option.choices else ""
            told.append(f"{option.name}={option.default}{choices}")
        return f"options of --set: {', '.join(told) or 'none'}"

    def _totals(self) -> str:
        paper = self.paper
        rows = [
            ("parameters", self.parameters, paper and paper.parameters),
            ("of them trained", self.trainable_parameters, paper and paper.trainable_parameters),
            ("in auxiliary heads", self.auxiliary_parameters, paper and paper.auxiliary_parameters),
            ("MACs", self.macs, paper and paper.macs),
        ]
        cells = [
            (name, f"{here:,}", short(here), *([f"{wanted:,}"] if wanted is not None else []))
            for name, here, wanted in rows
            if here or wanted
        ]
        size = self.activation_bytes
        cells.append(("bytes of all outputs", f"{size:,}", memory(size), *([""] if paper else [])))
        return table(("total", "exactly", "about", *(["published"] if paper else [])), cells)


def inspect(
    model: str, image_size: int | Sequence[int] = (), options: Mapping[str, Any] | None = None, classes: int = 0
) -> Inspection:
    """The network of that name, without its weights being made.

    Args:
        image_size: side of the picture in pixels, or height and width; empty: the paper's.
        options: of the network, over its defaults.
        classes: 0: the paper's.
    Raises:
        UserError: there is no such network, or pictures of that size cannot pass through it.
    """
    spec, options = find_model(model), dict(options or {})
    height, width = (image_size, image_size) if isinstance(image_size, int) else (*image_size, *spec.input_shape)[:2]
    for side in (height, width):
        check_size(spec, side)
    shape = height, width, spec.input_shape[2]
    classes = classes or spec.classes
    try:
        network = skeleton(spec, shape, classes, options)
    except (ValueError, OverflowError, RecursionError) as error:
        chosen = " with " + " ".join(f"{name}={value}" for name, value in options.items()) if options else ""
        raise UserError(f"{model} cannot be built for {shape[0]}x{shape[1]} pictures{chosen}: {first_line(error)}") from None
    deployed = main_path(network)
    default = all(spec.options[name].default == value for name, value in options.items())
    return Inspection(
        name=spec.name,
        title=spec.title,
        objective=spec.objective,
        source=spec.paper,
        input_shape=shape,
        classes=classes,
        options=options,
        layers=tuple(rows_of(deployed)),
        auxiliary_parameters=_count(network.weights) - _count(deployed.weights),
        paper=_published(spec) if default and (shape, classes) == (spec.input_shape, spec.classes) else None,
    )


def rows_of(network: Any) -> list[LayerRow]:
    """A row for each step of a Keras network with fixed sizes, from inputs to outputs."""
    picture = tuple(network.inputs[0].shape[1:3])
    counted: set[int] = set()
    rows = []
    for step, field in fields(network):
        fresh = [weight for weight in weights(step.layer) if id(weight) not in counted]
        counted |= {id(weight) for weight in fresh}
        kernel = kernel_of(step.layer)
        rows.append(
            LayerRow(
                name=step.layer.name,
                kind=type(step.layer).__name__,
                kernel=kernel.size if kernel else None,
                strides=kernel.strides if kernel else None,
                dilation=kernel.dilation if kernel else None,
                output_shape=tuple(side or 0 for side in step.outputs[0].shape[1:]),
                receptive_field=_size(field, picture),
                sees_all=field == EVERYTHING,
                parameters=_count(fresh),
                trainable_parameters=_count([weight for weight in fresh if weight.trainable]),
                macs=macs(step) if step.inputs else 0,
                activation_bytes=sum(map(_bytes, step.outputs)),
            )
        )
    return rows


def memory(size: int) -> str:
    """Bytes in the largest unit of which there is one."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def _published(spec: ModelSpec) -> Figures:
    return Figures(spec.parameters + spec.fixed_parameters, spec.parameters, spec.auxiliary_parameters, spec.macs)


def _count(weights: list[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _bytes(tensor: Any) -> int:
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    bits = 8 if dtype == "bool" else int("".join(filter(str.isdigit, dtype)))
    count: int = math.prod(side or 0 for side in tensor.shape[1:])
    return count * bits // 8


def _size(field: Field, picture: tuple[int, ...]) -> Pair:
    height, width = (window.size if window else side for window, side in zip(field, picture, strict=True))
    return height, width


def _cells(row: LayerRow) -> tuple[str | None, ...]:
    dilated = f" d{by(row.dilation)}" if row.dilation and row.dilation != (1, 1) else ""
    return (
        _cut(row.name, LONGEST_NAME),
        _cut(row.kind, LONGEST_KIND),
        row.kernel and by(row.kernel) + dilated,
        row.strides and (str(row.strides[0]) if row.strides[0] == row.strides[1] else by(row.strides)),
        by(row.output_shape),
        "all" if row.sees_all else by(row.receptive_field),
        f"{row.parameters:,}" if row.parameters else None,
        f"{row.macs:,}" if row.macs else None,
        memory(row.activation_bytes),
    )


def by(sizes: tuple[int, ...]) -> str:
    """`28x28x6`."""
    return "x".join(map(str, sizes))


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
