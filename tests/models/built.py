"""Networks as tests need them: outlined at full size without weights, or narrow enough to run."""

from functools import cache

import keras
import numpy as np

from app.explain.graph import skeleton
from models.registry import get_model


@cache
def outlined(name, shape=None, **options):
    """A network of full size without the memory for its weights."""
    spec = get_model(name)
    return skeleton(spec, shape or spec.input_shape, spec.classes, options)


def narrow(name, shape=(32, 32, 3), classes=5, **options):
    keras.utils.set_random_seed(0)
    return get_model(name).build(shape, classes, **{"width": 0.0625, **options})


def pictures(shape, count=4):
    return np.random.default_rng(0).uniform(0, 255, (count, *shape)).astype(np.float32)


def kinds(network, kind):
    """The names of the layers of a kind."""
    return [layer.name for layer in network.layers if isinstance(layer, kind)]


def macs(network):
    """Multiply-adds of convolutions and dense layers, counted without `inspect`."""
    kernels = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)]
    return sum(int(np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:-1])) for layer in kernels)
