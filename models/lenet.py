"""LeNet-5."""

from typing import Any

from models.blocks import Activation, Pooling, activated, pool2d
from models.lazy import keras
from models.spec import ModelSpec, Recipe, Shape

SIZE = 32  # pixels: the digits of the paper are 28x28 in a field of 32x32, so that strokes reach the centre of C5's view


def lenet5(
    input_shape: Shape, classes: int, *, activation: Activation = "relu", pooling: Pooling = "average", dropout: float = 0.0
) -> Any:
    """LeNet-5 as it is taught: C3 sees all maps of S2, plain pooling, a linear output.

    Pictures under 32 pixels are set in the middle of a black 32x32 field, as the paper does; larger ones make C5's
    maps larger than 1x1.

    Shapes: [B, H, W, C] -> [B, classes]; at 32x32: C1 28x28x6, S2 14x14x6, C3 10x10x16, S4 5x5x16, C5 1x1x120, F6 84.
    Source: LeCun, Bottou, Bengio, Haffner 1998, figure 2.
    """
    image = keras.Input(input_shape, name="image")
    x = image
    if min(input_shape[:2]) < SIZE:
        x = keras.layers.ZeroPadding2D(_margins(input_shape), name="field")(x)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(x)
    for conv, pool, filters in (("c1", "s2", 6), ("c3", "s4", 16)):
        x = activated(keras.layers.Conv2D, filters, 5, activation=activation, name=conv)(x)
        x = pool2d(pooling, pool)(x)
    x = activated(keras.layers.Conv2D, 120, 5, activation=activation, name="c5")(x)
    x = keras.layers.Flatten(name="features")(x)
    x = activated(keras.layers.Dense, 84, activation=activation, name="f6")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(image, keras.layers.Dense(classes, name="logits")(x), name="lenet5")


def _margins(input_shape: Shape) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows above and below, columns left and right, that make the field 32x32."""
    missing = [max(0, SIZE - side) for side in input_shape[:2]]
    top, left = (pixels // 2 for pixels in missing)
    return (top, missing[0] - top), (left, missing[1] - left)


DIGITS = Recipe(epochs=30, batch_size=32, learning_rate=3e-3, augment="digits", clean_epochs=0.1)
MNIST = Recipe(epochs=20, learning_rate=4e-3, warmup=0.7, label_smoothing=0.05, augment="digits", clean_epochs=0.05)
PHOTOS = Recipe(epochs=30, learning_rate=5e-3, weight_decay=0.02, augment="shift+flip", options={"pooling": "max"})

SPECS = [
    ModelSpec(
        name="lenet5",
        title="LeNet-5",
        year=1998,
        paper="LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition. Proc. IEEE 86",
        build=lenet5,
        input_shape=(32, 32, 1),
        min_size=28,
        parameters=61_706,
        macs=416_520,
        reached={"digits": 99.44, "mnist": 99.50, "cifar10": 69.62},
        recipes={"*": PHOTOS, "digits": DIGITS, "mnist": MNIST},
    )
]
