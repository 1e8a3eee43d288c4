"""VGG, configurations A to E."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from models import layers
from models.blocks import Normalisation, centred, conv_unit, dense_head, scaled
from models.lazy import keras
from models.spec import ModelSpec, Recipe, Shape

CONTRAST = 64  # about the deviation of pixels from their mean

# Table 1 of the paper: the kernel sizes of each block's convolutions; a block has the number of maps that MAPS says.
Table = tuple[tuple[int | Literal["lrn"], ...], ...]
MAPS = (64, 128, 256, 512, 512)
A: Table = ((3,), (3,), (3, 3), (3, 3), (3, 3))
A_LRN: Table = ((3, "lrn"), *A[1:])
B: Table = ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3))
C: Table = ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1))
D: Table = ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
E: Table = ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3))


def vgg(
    table: Table,
    input_shape: Shape,
    classes: int,
    *,
    width: float = 1.0,
    normalisation: Normalisation = "none",
    dropout: float = 0.0,
) -> Any:
    """Five blocks of 3x3 convolutions, each halved by pooling, and three dense layers.

    The layers of A have the same names and shapes in B to E, so that a deeper network can start from all that A has learnt;
    the paper's (section 3.1) start from its first four convolutions and its dense layers.

    Weights start from He's initialiser, which the paper could not know, the first kernel at a 64th of it: it takes pixels of
    -128..128, as published weights do, and the maps after it are to be about 1.

    Args:
        width: every number of maps and hidden units is multiplied by it.
        normalisation: "batch" follows every convolution, which the paper did not know yet.
    Shapes: [B, H, W, C] -> [B, classes]; at 224x224: block1_pool 112x112x64, 56x56x128, 28x28x256, 14x14x512, block5_pool
        7x7x512, fc1 and fc2 4096. Odd sides are halved upwards, so that 17 to 32 pixels end as 1x1: small pictures need
        no other stem.
    Source: Simonyan and Zisserman 2014, table 1.
    """
    image, x = centred(input_shape)
    form: dict[str, Any] = {"normalisation": normalisation, "momentum": 0.9}  # statistics that follow in short trainings
    x = convolutions(x, table, width, halved, **form)[-1]
    return keras.Model(image, dense_head(x, classes, scaled(4096, width), ("fc1", "fc2"), dropout=dropout), name="vgg")


def convolutions(x: Any, table: Table, width: float, pool: Callable[[Any, str], Any], **form: Any) -> list[Any]:
    """The blocks of a table, each with its pooling, under the names by which other networks start from their weights.

    Args:
        pool: the maps of a block and the name of its pooling, to what the next block sees.
        form: of every convolution, see `conv_unit`.
    Shapes: [B, H, W, 3] -> what follows each block, [B, H / 2, W / 2, 64] to [B, H / 32, W / 32, 512].
    """
    start = keras.initializers.VarianceScaling(2.0 / CONTRAST**2)
    pooled = []
    for block, (kernels, maps) in enumerate(zip(table, MAPS, strict=True), start=1):
        for number, kernel in enumerate(kernels, start=1):
            if kernel == "lrn":
                x = layers.LocalResponseNormalization(name=f"block{block}_lrn")(x)
            else:
                first = {"kernel_initializer": start} if block == number == 1 else {}
                x = conv_unit(x, scaled(maps, width), kernel, f"block{block}_conv{number}", **form, **first)
        x = pool(x, f"block{block}_pool")
        pooled.append(x)
    return pooled


def halved(x: Any, name: str) -> Any:
    """The largest of every 2x2 values; odd sides are halved upwards."""
    return keras.layers.MaxPooling2D(2, padding="same", name=name)(x)


PAPER = "Simonyan, Zisserman: Very deep convolutional networks for large-scale image recognition. arXiv:1409.1556 (ICLR 2015)"
DIGITS = Recipe(epochs=8, batch_size=32, learning_rate=5e-4, warmup=2.0, clip_norm=1.0, dropout=0.3, augment="digits")
DEEP_DIGITS = replace(DIGITS, epochs=15)  # the deepest hardly leave chance in the first epochs
MNIST = replace(DIGITS, batch_size=128, warmup=1.0, weight_decay=0.02, dropout=0.5)
PHOTOS = Recipe(
    epochs=30, batch_size=32, learning_rate=2e-4, warmup=2.0, weight_decay=0.05, clip_norm=1.0, dropout=0.5, augment="photos"
)
CIFAR10 = Recipe(
    epochs=60,
    learning_rate=1e-3,
    warmup=2.0,
    weight_decay=0.05,
    clip_norm=1.0,
    dropout=0.5,
    label_smoothing=0.1,
    augment="crop+flip",
    options={"normalisation": "batch"},
)

SPECS = [
    ModelSpec(
        name=name,
        title=title,
        year=2014,
        paper=PAPER,
        build=partial(vgg, table),
        input_shape=(224, 224, 3),
        classes=1000,
        min_size=17,  # the last pool sees more than one value
        parameters=parameters,
        macs=macs,
        recipes={"*": PHOTOS, "digits": digits, "mnist": MNIST, "cifar10": CIFAR10},
    )
    for name, title, table, parameters, macs, digits in (
        ("vgg_a", "VGG-A, 11 layers", A, 132_863_336, 7_609_090_048, DIGITS),
        ("vgg_a_lrn", "VGG-A with local response normalisation", A_LRN, 132_863_336, 7_609_090_048, DIGITS),
        ("vgg_b", "VGG-B, 13 layers", B, 133_047_848, 11_308_466_176, DIGITS),
        ("vgg_c", "VGG-C, 16 layers, three of them 1x1", C, 133_638_952, 11_770_888_192, DEEP_DIGITS),
        ("vgg_d", "VGG-D, 16 layers", D, 138_357_544, 15_470_264_320, DEEP_DIGITS),
        ("vgg_e", "VGG-E, 19 layers", E, 143_667_240, 19_632_062_464, DEEP_DIGITS),
    )
]
