"""The two-convolution network of every first lesson."""

from typing import Any

from models.blocks import Activation, Pooling, activated, picture, pool2d
from models.lazy import keras
from models.spec import ModelSpec, Recipe, Shape


def cnn(
    input_shape: Shape,
    classes: int,
    *,
    maps: int = 32,
    activation: Activation = "relu",
    pooling: Pooling = "max",
    dropout: float = 0.0,
) -> Any:
    """Two 3x3 convolutions (32 and 64 maps), each halved by pooling, then 128 units.

    Shapes: [B, H, W, C] -> [B, classes].
    """
    image, x = picture(input_shape)
    for stage, filters in enumerate((maps, 2 * maps), start=1):
        x = activated(keras.layers.Conv2D, filters, 3, padding="same", activation=activation, name=f"conv{stage}")(x)
        x = pool2d(pooling, f"pool{stage}")(x)
    x = keras.layers.Flatten(name="features")(x)
    x = activated(keras.layers.Dense, 4 * maps, activation=activation, name="hidden")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(image, keras.layers.Dense(classes, name="logits")(x), name="cnn")


DIGITS = Recipe(epochs=25, batch_size=32, augment="digits", dropout=0.3)
MNIST = Recipe(
    epochs=14,
    learning_rate=4e-3,
    warmup=0.7,
    weight_decay=0.02,
    label_smoothing=0.05,
    augment="digits",
    clean_epochs=0.07,  # dropout of .3 and more, and averaged weights, validated worse in so few epochs
)
PHOTOS = Recipe(epochs=30, dropout=0.4, augment="crop+flip")

SPECS = [
    ModelSpec(
        name="cnn",
        title="Two convolutions and a hidden layer",
        year=1990,
        paper="after LeCun et al.: Handwritten digit recognition with a back-propagation network. NIPS 1989",
        build=cnn,
        input_shape=(28, 28, 1),
        min_size=4,
        parameters=421_642,
        macs=4_241_152,
        reached={"mnist": 99.59},
        recipes={"*": PHOTOS, "digits": DIGITS, "mnist": MNIST},
    )
]
