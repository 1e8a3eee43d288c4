"""The multilayer perceptron: one hidden layer over the pixels."""

from typing import Any

from models.blocks import Activation, activated, picture
from models.lazy import keras
from models.spec import ModelSpec, Recipe, Shape


def mlp(input_shape: Shape, classes: int, *, units: int = 128, activation: Activation = "relu", dropout: float = 0.0) -> Any:
    """Pixels, `units` hidden units, one logit a class.

    Shapes: [B, H, W, C] -> [B, classes].
    Source: Rumelhart, Hinton, Williams 1986.
    """
    image, x = picture(input_shape)
    x = keras.layers.Flatten(name="pixels")(x)
    x = activated(keras.layers.Dense, units, activation=activation, name="hidden")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(image, keras.layers.Dense(classes, name="logits")(x), name="mlp")


DIGITS = Recipe(epochs=40, batch_size=32, learning_rate=2e-3, weight_decay=0.01, augment="digits")
MNIST = Recipe(epochs=60, learning_rate=4e-3, label_smoothing=0.05, augment="digits", clean_epochs=0.05)

SPECS = [
    ModelSpec(
        name="mlp",
        title="Multilayer perceptron 784-128-10",
        year=1986,
        paper="Rumelhart, Hinton, Williams: Learning representations by back-propagating errors. Nature 323",
        build=mlp,
        input_shape=(28, 28, 1),
        parameters=101_770,
        macs=101_632,
        reached={"mnist": 98.60},
        recipes={"*": Recipe(), "digits": DIGITS, "mnist": MNIST},
    )
]
