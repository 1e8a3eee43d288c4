"""Pieces that several networks share: the input, the choices of activation and pooling, and what counts as a small picture."""

from collections.abc import Callable
from typing import Any, Literal

from models import layers
from models.lazy import keras
from models.spec import Shape

Activation = Literal["relu", "tanh", "sigmoid", "leaky_relu", "elu", "maxout"]
Pooling = Literal["max", "average", "min"]
Normalisation = Literal["none", "batch"]
MEANS = (123.68, 116.779, 103.939)  # of ImageNet's red, green and blue
SMALL = 96  # pixels: networks made for ImageNet take pictures whose shorter side is less with a stem that keeps their size


def picture(input_shape: Shape) -> tuple[Any, Any]:
    """The input of a network, and its pixels brought from 0..255 to -1..1.

    Shapes: float32 [B, H, W, C], twice.
    """
    image = keras.Input(input_shape, name="image")
    return image, keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(image)


def centred(input_shape: Shape) -> tuple[Any, Any]:
    """The input of a network, and its pixels without the mean of ImageNet's colours.

    Grey pictures become colour ones first: each colour has a mean of its own, and published kernels expect all three.

    Shapes: float32 [B, H, W, C], [B, H, W, 3].
    Source: Simonyan and Zisserman 2014, section 2.1.
    """
    image = keras.Input(input_shape, name="image")
    x = image if input_shape[2] == 3 else keras.layers.Concatenate(name="colours")([image] * 3)
    return image, keras.layers.Rescaling(1.0, offset=[-mean for mean in MEANS], name="centre")(x)


def is_small(input_shape: Shape) -> bool:
    """Whether pictures are too small for a stem that makes 224 pixels 56.

    Source: our rule, after He et al. 2015, section 4.2, whose networks for 32 pixels begin with a 3x3 convolution of stride 1.
    """
    return min(input_shape[:2]) < SMALL


def scaled(channels: int, width: float) -> int:
    """That many channels times a width, and at least one.

    Raises:
        ValueError: the width is not above 0.
    Source: the width multiplier of Howard et al. 2017, section 3.3.
    """
    if not width > 0:
        raise ValueError(f"a width of {width:g}; give a number above 0, as 0.5 for half of the channels")
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


def pool2d(pooling: str, name: str, size: int = 2, strides: int = 2, *, by_hand: bool = False) -> Any:
    """A pooling layer of the wanted kind; `by_hand`: of those written out in this project."""
    if by_hand:
        kind = getattr(layers, {"max": "HandMaxPool2D", "average": "HandAveragePool2D", "min": "HandMinPool2D"}[pooling])
    elif pooling == "min":
        kind = layers.MinPooling2D
    else:
        kind = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}[pooling]
    return kind(size, strides, name=name)


def conv_unit(
    x: Any,
    filters: int,
    size: int | tuple[int, int],
    name: str,
    *,
    strides: int = 1,
    padding: str = "same",
    normalisation: str = "none",
    activation: str | None = "relu",
    use_bias: bool | None = None,
    epsilon: float = 1e-3,
    momentum: float = 0.99,
    **settings: Any,
) -> Any:
    """A convolution, its batch normalisation where that is wanted, and its rectifier: `name`, `name_bn`, `name_relu`.

    Shapes: [B, H, W, C] -> [B, H', W', filters].
    Args:
        normalisation: "batch", or anything else for none.
        use_bias: None: where no batch normalisation follows, whose offset would make it superfluous.
        epsilon, momentum: of the batch normalisation.
        settings: what else `Conv2D` takes; the kernel starts from He's initialiser if none is named.
    Source: Ioffe and Szegedy 2015, section 3.2: between the convolution and the nonlinearity.
    """
    batch = normalisation == "batch"
    settings = {"kernel_initializer": initializer("relu"), **settings}
    conv2d = layers.GroupedConv2D if settings.get("groups", 1) > 1 else keras.layers.Conv2D
    x = conv2d(filters, size, strides, padding, use_bias=not batch if use_bias is None else use_bias, name=name, **settings)(x)
    if batch:
        x = keras.layers.BatchNormalization(epsilon=epsilon, momentum=momentum, name=f"{name}_bn")(x)
    return keras.layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x


def dense_head(x: Any, classes: int, units: int, names: tuple[str, ...], *, dropout: float) -> Any:
    """Maps in one row, hidden layers of those names, of which dropout spares a share in training, and the logits.

    Shapes: [B, H, W, C] -> [B, classes].
    Source: Krizhevsky et al. 2012, sections 3.5 and 4.2.
    """
    x = keras.layers.Flatten(name="features")(x)
    for name in names:
        x = activated(keras.layers.Dense, units, activation="relu", name=name)(x)
        x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return keras.layers.Dense(classes, name="logits")(x)
