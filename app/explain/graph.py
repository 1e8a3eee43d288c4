"""A network as the list of its steps, built without memory for its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from models.lazy import keras
from models.spec import ModelSpec, Shape


@dataclass(frozen=True)
class Step:
    """One use of a layer.

    Args:
        layer: a Keras layer or operation; the same in several steps where its weights are shared.
        arguments: what it is called with besides tensors: positional ones.
        inputs, outputs: symbolic tensors.
    """

    layer: Any
    arguments: tuple[Any, ...]
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]


def skeleton(spec: ModelSpec, input_shape: Shape, classes: int, options: Mapping[str, Any]) -> Any:
    """The network with its weights' names and shapes, but no values: the largest is there in a second.

    Raises:
        ValueError: pictures of that shape cannot pass through it.
    """

    def build() -> Any:
        with keras.StatelessScope(initialize_variables=False):
            return spec.build(input_shape, classes, **options)

    # Keras keeps a list, for each thread, of variables that wait for their values, and fills it at the end of the
    # thread's next scope: gigabytes for nothing. This thread's list goes with it.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(build).result()


def steps(network: Any) -> Iterator[Step]:
    """The steps from inputs to outputs, each branch to its end before the next one; models inside a model are opened."""
    ends = {id(tensor) for tensor in network.inputs}
    for tensor in network.inputs:
        yield Step(tensor._keras_history.operation, (), (), (tensor,))
    done: set[tuple[int, int]] = set()
    waiting = [(tensor, False) for tensor in reversed(network.outputs)]
    while waiting:  # depth first, without recursion: networks are deeper than Python's stack
        tensor, ready = waiting.pop()
        if id(tensor) in ends:
            continue
        layer, number, _ = tensor._keras_history
        node = layer._inbound_nodes[number]
        if (id(layer), number) in done:
            continue
        if ready:
            done.add((id(layer), number))
            yield from _opened(layer, node)
        else:
            waiting.append((tensor, True))
            waiting += [(source, False) for source in reversed(node.input_tensors)]


def _opened(layer: Any, node: Any) -> Iterator[Step]:
    """A layer's step, or those of a model that is used as a layer, from the tensors outside to those inside and back."""
    inputs, outputs = tuple(node.input_tensors), tuple(node.outputs)
    inner = getattr(layer, "_functional", layer)  # a Sequential has its graph there
    if not isinstance(inner, keras.Function):
        yield Step(layer, node.arguments.args, inputs, outputs)
        return
    for outside, inside in zip(inputs, inner.inputs, strict=True):
        yield Step(inside._keras_history.operation, (), (outside,), (inside,))
    yield from [step for step in steps(inner) if step.inputs]
    for inside, outside in zip(inner.outputs, outputs, strict=True):
        yield Step(layer, (), (inside,), (outside,))
