"""Pieces that several of the small networks share: input scaling, and the choices of activation and pooling."""

from typing import Any, Literal

from models.lazy import keras

Activation = Literal["relu", "tanh", "sigmoid", "leaky_relu", "elu"]
Pooling = Literal["max", "average"]


def picture(input_shape: tuple[int, int, int]) -> tuple[Any, Any]:
    """The input of a network, and its pixels brought from 0..255 to -1..1.

    Shapes: float32 [B, H, W, C], twice.
    """
    image = keras.Input(input_shape, name="image")
    return image, keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(image)


def initializer(activation: str) -> str:
    """The kernel initialiser that keeps the variance of activations.

    Source: Glorot and Bengio 2010 for saturating functions; He et al. 2015 for rectifiers.
    """
    return "he_normal" if activation in ("relu", "leaky_relu", "elu") else "glorot_uniform"


def pool2d(pooling: str, name: str, size: int = 2, strides: int = 2) -> Any:
    """A pooling layer of the wanted kind."""
    layer = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}[pooling]
    return layer(size, strides, name=name)
