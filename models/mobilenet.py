"""MobileNet: convolutions taken apart into one for each channel and one across channels."""

from typing import Any

from models.blocks import conv_unit, is_small, picture, scaled
from models.lazy import keras
from models.spec import ModelSpec, Recipe, Shape

# Table 1 of the paper: maps and stride of each depthwise separable convolution.
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1),
    (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
# The statistics follow quickly enough for short trainings; rectifiers end at 6, as published weights expect.
FORM: dict[str, Any] = {"normalisation": "batch", "activation": "relu6", "momentum": 0.9}


def mobilenet(input_shape: Shape, classes: int, *, width: float = 1.0, dropout: float = 0.0) -> Any:
    """A convolution, then 13 pairs of a 3x3 convolution within each channel and a 1x1 convolution across them.

    Args:
        width: every number of maps is multiplied by it; the paper's alpha.
    Shapes: [B, H, W, C] -> [B, classes]; at 224x224: conv1 112, conv_pw_1 112, 3 56, 5 28, 11 14, 13 7 pixels. In small
        pictures conv1 keeps the size.
    Source: Howard et al. 2017, table 1.
    """
    image, x = picture(input_shape)
    x = conv_unit(x, scaled(32, width), 3, "conv1", strides=1 if is_small(input_shape) else 2, **FORM)
    for number, (maps, strides) in enumerate(BLOCKS, start=1):
        x = _within_channels(x, strides, number)
        x = conv_unit(x, scaled(maps, width), 1, f"conv_pw_{number}", **FORM)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(image, keras.layers.Dense(classes, name="logits")(x), name="mobilenet")


def _within_channels(x: Any, strides: int, number: int) -> Any:
    """The convolution of each channel by itself, its normalisation and rectifier."""
    name = f"conv_dw_{number}"
    padding = "same"
    if strides == 2:  # published weights expect the margin below and to the right, for odd sides too
        x, padding = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{number}")(x), "valid"
    start = keras.initializers.VarianceScaling(2.0 * x.shape[-1])  # He's: it takes each map for a function of all channels
    x = keras.layers.DepthwiseConv2D(3, strides, padding, use_bias=False, depthwise_initializer=start, name=name)(x)
    x = keras.layers.BatchNormalization(momentum=FORM["momentum"], name=f"{name}_bn")(x)
    return keras.layers.Activation("relu6", name=f"{name}_relu6")(x)


PAPER = "Howard et al.: MobileNets: efficient convolutional neural networks for mobile vision applications. arXiv:1704.04861"
DIGITS = Recipe(epochs=12, batch_size=32, learning_rate=1e-2, weight_decay=0.02, augment="digits", clean_epochs=0.1)
MNIST = Recipe(epochs=12, learning_rate=6e-3, weight_decay=0.02, label_smoothing=0.05, augment="digits", clean_epochs=0.1)
PHOTOS = Recipe(
    epochs=30, batch_size=32, learning_rate=1e-3, weight_decay=0.02, label_smoothing=0.1, augment="photos", dropout=0.1
)
CIFAR10 = Recipe(
    epochs=60, learning_rate=3e-3, warmup=2.0, weight_decay=0.02, label_smoothing=0.1, augment="crop+flip", dropout=0.1
)

SPECS = [
    ModelSpec(
        name="mobilenet",
        title="MobileNet",
        year=2017,
        paper=PAPER,
        build=mobilenet,
        input_shape=(224, 224, 3),
        classes=1000,
        min_size=16,  # five convolutions of stride 2, the first left out of small pictures: 1x1 of them is left
        parameters=4_231_976,
        fixed_parameters=21_888,
        macs=568_740_352,
        recipes={"*": PHOTOS, "digits": DIGITS, "mnist": MNIST, "cifar10": CIFAR10},
    )
]
