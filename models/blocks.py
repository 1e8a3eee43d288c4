"""Pieces that several networks share: the input, the choices of activation and pooling, and what counts as a small picture."""

from collections.abc import Callable
from typing import Any, Literal

from models import layers
from models.lazy import keras
from models.spec import Shape

Activation = Literal["relu", "tanh", "sigmoid", "leaky_relu", "elu", "maxout"]
Pooling = Literal["max", "average", "min"]
SMALL = 96  # pixels: networks made for ImageNet take pictures whose shorter side is less with a stem that keeps their size


def picture(input_shape: Shape) -> tuple[Any, Any]:
    """The input of a network, and its pixels brought from 0..255 to -1..1.

    Shapes: float32 [B, H, W, C], twice.
    """
    image = keras.Input(input_shape, name="image")
    return image, keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(image)


def is_small(input_shape: Shape) -> bool:
    """Whether pictures are too small for a stem that makes 224 pixels 56.

    Source: our rule, after He et al. 2015, section 4.2, whose networks for 32 pixels begin with a 3x3 convolution of stride 1.
    """
    return min(input_shape[:2]) < SMALL


def scaled(channels: int, width: float) -> int:
    """That many channels times a width, and at least one.

    Source: the width multiplier of Howard et al. 2017, section 3.3.
    """
    return max(1, int(channels * width))


def initializer(activation: str) -> str:
    """The kernel initialiser that keeps the variance of activations.

    Source: Glorot and Bengio 2010 for saturating functions; He et al. 2015 for rectifiers.
    """
    return "glorot_uniform" if activation in ("tanh", "sigmoid") else "he_normal"


def activated(kind: Any, units: int, *shape: Any, activation: str, name: str, **settings: Any) -> Callable[[Any], Any]:
    """A convolution or dense layer and its activation; for maxout, with two linear pieces a unit."""
    start = initializer(activation)
    if activation != "maxout":
        layer: Callable[[Any], Any] = kind(units, *shape, activation=activation, kernel_initializer=start, name=name, **settings)
        return layer
    linear = kind(2 * units, *shape, kernel_initializer=start, name=name, **settings)
    largest = layers.Maxout(2, name=f"{name}_maxout")
    return lambda x: largest(linear(x))


def pool2d(pooling: str, name: str, size: int = 2, strides: int = 2) -> Any:
    """A pooling layer of the wanted kind."""
    kinds = {
        "max": keras.layers.MaxPooling2D,
        "average": keras.layers.AveragePooling2D,
        "min": layers.MinPooling2D if pooling == "min" else None,
    }
    return kinds[pooling](size, strides, name=name)
