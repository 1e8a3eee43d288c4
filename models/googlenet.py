"""GoogLeNet."""

from dataclasses import replace
from typing import Any, Literal, NamedTuple

from models import layers
from models.blocks import conv_unit, is_small, picture, scaled
from models.lazy import keras
from models.spec import ModelSpec, Recipe, Shape


class Inception(NamedTuple):
    """A row of the paper's table 1: the maps of each convolution of a module. `pooled`: a pool follows the module."""

    ones: int
    threes_reduce: int
    threes: int
    fives_reduce: int
    fives: int
    projection: int
    pooled: bool = False


INCEPTIONS = {
    "3a": Inception(64, 96, 128, 16, 32, 32),
    "3b": Inception(128, 128, 192, 32, 96, 64, pooled=True),
    "4a": Inception(192, 96, 208, 16, 48, 64),
    "4b": Inception(160, 112, 224, 24, 64, 64),
    "4c": Inception(128, 128, 256, 24, 64, 64),
    "4d": Inception(112, 144, 288, 32, 64, 64),
    "4e": Inception(256, 160, 320, 32, 128, 128, pooled=True),
    "5a": Inception(256, 160, 320, 32, 128, 128),
    "5b": Inception(384, 192, 384, 48, 128, 128),
}
AUXILIARY = {"4a": "auxiliary1", "4d": "auxiliary2"}
AUXILIARY_DROPOUT = 0.7


def googlenet(
    input_shape: Shape,
    classes: int,
    *,
    auxiliary: bool = True,
    width: float = 1.0,
    normalisation: Literal["lrn", "batch"] = "lrn",
    dropout: float = 0.0,
) -> Any:
    """Nine modules that look at their input through 1x1, 3x3 and 5x5 windows at once.

    Small pictures (our rule) keep their size through the stem: its first convolution is 3x3 of stride 1, and its two
    pools are left out, so that 32 pixels are 32, 16 and 8 in modules 3, 4 and 5.

    Args:
        auxiliary: whether there are two more heads, after 4a and 4d, that send gradients into the middle of the network
            in training; the output is then {"logits", "auxiliary1", "auxiliary2"}.
        width: every number of maps and hidden units is multiplied by it.
        normalisation: "batch" follows every convolution, in place of the paper's response normalisation in the stem.
    Shapes: [B, H, W, C] -> [B, classes]; at 224x224: conv1 112x112x64, pool1 56x56x64, conv2 56x56x192, pool2 28x28x192,
        inception_3b 28x28x480, 4e 14x14x832, 5b 7x7x1024, features 1024.
    Source: Szegedy et al. 2014, table 1 and section 5.
    """
    form = {"normalisation": normalisation, "momentum": 0.9}  # statistics that follow in short trainings
    image, x = picture(input_shape)
    x = _stem(x, width, form, small=is_small(input_shape))
    heads = {}
    for module, maps in INCEPTIONS.items():
        name = f"inception_{module}"
        x = _inception(x, maps, name, width, form)
        if auxiliary and module in AUXILIARY:
            heads[AUXILIARY[module]] = _auxiliary(x, classes, AUXILIARY[module], width, form)
        if maps.pooled:
            x = keras.layers.MaxPooling2D(3, 2, "same", name=f"pool{module[0]}")(x)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(classes, name="logits")(x)
    return keras.Model(image, {"logits": logits, **heads} if heads else logits, name="googlenet")


def _stem(x: Any, width: float, form: dict[str, Any], *, small: bool) -> Any:
    """The convolutions before the modules: an eighth of the side, or all of it for small pictures."""

    def pool(x: Any, name: str) -> Any:
        return x if small else keras.layers.MaxPooling2D(3, 2, "same", name=name)(x)

    def normalised(x: Any, name: str) -> Any:
        return layers.LocalResponseNormalization(name=name)(x) if form["normalisation"] == "lrn" else x

    x = conv_unit(x, scaled(64, width), 3 if small else 7, "conv1", strides=1 if small else 2, **form)
    x = normalised(pool(x, "pool1"), "pool1_lrn")
    x = conv_unit(x, scaled(64, width), 1, "conv2_reduce", **form)
    x = conv_unit(x, scaled(192, width), 3, "conv2", **form)
    return pool(normalised(x, "conv2_lrn"), "pool2")


def _inception(x: Any, maps: Inception, name: str, width: float, form: dict[str, Any]) -> Any:
    """Four views of the same maps, side by side.

    Source: figure 2b.
    """

    def unit(x: Any, filters: int, size: int, part: str) -> Any:
        return conv_unit(x, scaled(filters, width), size, f"{name}_{part}", **form)

    ones = unit(x, maps.ones, 1, "1x1")
    threes = unit(unit(x, maps.threes_reduce, 1, "3x3_reduce"), maps.threes, 3, "3x3")
    fives = unit(unit(x, maps.fives_reduce, 1, "5x5_reduce"), maps.fives, 5, "5x5")
    pooled = keras.layers.MaxPooling2D(3, 1, "same", name=f"{name}_pool")(x)
    projected = unit(pooled, maps.projection, 1, "pool_projection")
    return keras.layers.Concatenate(name=name)([ones, threes, fives, projected])


def _auxiliary(x: Any, classes: int, name: str, width: float, form: dict[str, Any]) -> Any:
    """A head on maps in the middle of the network.

    Source: section 5.
    """
    x = keras.layers.AveragePooling2D(5, 3, name=f"{name}_pool")(x)
    x = conv_unit(x, scaled(128, width), 1, f"{name}_conv", **form)
    x = keras.layers.Flatten(name=f"{name}_features")(x)
    x = keras.layers.Dense(scaled(1024, width), activation="relu", kernel_initializer="he_normal", name=f"{name}_fc")(x)
    x = keras.layers.Dropout(AUXILIARY_DROPOUT, name=f"{name}_dropout")(x)
    return keras.layers.Dense(classes, name=name)(x)


# In few steps the paper's form leaves chance late (narrow, on digits: 72 % after 8 epochs); with batch normalisation, at once.
BATCH = {"normalisation": "batch"}
DIGITS = Recipe(
    epochs=6, batch_size=32, learning_rate=1e-3, warmup=1.0, clip_norm=1.0, dropout=0.4, augment="digits", options=BATCH
)
MNIST = replace(DIGITS, batch_size=128, learning_rate=2e-3, weight_decay=0.02)
PHOTOS = replace(DIGITS, epochs=30, warmup=2.0, weight_decay=0.02, label_smoothing=0.1, augment="photos")
CIFAR10 = replace(MNIST, epochs=60, warmup=2.0, label_smoothing=0.1, augment="crop+flip")

SPECS = [
    ModelSpec(
        name="googlenet",
        title="GoogLeNet, nine inception modules",
        year=2014,
        paper="Szegedy et al.: Going deeper with convolutions. arXiv:1409.4842 (CVPR 2015)",
        build=googlenet,
        input_shape=(224, 224, 3),
        classes=1000,
        min_size=9,  # the auxiliary heads average over 5x5 of what one pool leaves
        parameters=6_998_552,
        auxiliary_parameters=6_379_728,
        macs=1_582_671_872,
        recipes={"*": PHOTOS, "digits": DIGITS, "mnist": MNIST, "cifar10": CIFAR10},
    )
]
