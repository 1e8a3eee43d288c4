"""LeNet-5: as it is taught, as the paper has it, and on convolution and pooling written out by hand."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from models import layers
from models.blocks import Activation, Pooling, activated, pool2d
from models.lazy import keras
from models.spec import ModelSpec, Recipe, Shape

SIZE = 32  # pixels: the digits of the paper are 28x28 in a field of 32x32, so that strokes reach the centre of C5's view

# Table I of the paper: which maps of S2 each map of C3 sees. Neighbours in threes and fours, four with a gap, and all.
C3 = (
    *[tuple((first + step) % 6 for step in range(3)) for first in range(6)],
    *[tuple((first + step) % 6 for step in range(4)) for first in range(6)],
    *[(first, first + 1, (first + 3) % 6, (first + 4) % 6) for first in range(3)],
    tuple(range(6)),
)
CODE = (12, 7)  # rows and columns of the little pictures that are the codes of the classes
DIGIT_CODES = (
    "..###.. .#...#. #.....# #.....# #.....# #.....# #.....# #.....# #.....# #.....# .#...#. ..###..",
    "...#... ..##... .#.#... ...#... ...#... ...#... ...#... ...#... ...#... ...#... ...#... .#####.",
    ".#####. #.....# ......# ......# .....#. ....#.. ...#... ..#.... .#..... #...... #...... #######",
    "####### .....#. ....#.. ...#... ..####. ......# ......# ......# ......# #.....# .#...#. ..###..",
    "....#.. ...##.. ..#.#.. ..#.#.. .#..#.. .#..#.. #...#.. ####### ....#.. ....#.. ....#.. ....#..",
    "####### #...... #...... #...... ######. ......# ......# ......# ......# ......# #....#. .####..",
    "...###. ..#.... .#..... #...... #.###.. ##...#. #.....# #.....# #.....# #.....# .#...#. ..###..",
    "####### ......# ......# .....#. .....#. ....#.. ....#.. ...#... ...#... ..#.... ..#.... .#.....",
    "..###.. .#...#. #.....# #.....# .#...#. ..###.. .#...#. #.....# #.....# #.....# .#...#. ..###..",
    "..###.. .#...#. #.....# #.....# #.....# .#...## ..###.# ......# ......# .....#. ....#.. .###...",
)


def lenet5(
    by_hand: bool,
    input_shape: Shape,
    classes: int,
    *,
    activation: Activation = "relu",
    pooling: Pooling = "average",
    dropout: float = 0.0,
) -> Any:
    """LeNet-5 as it is taught: C3 sees all maps of S2, plain pooling, a linear output.

    Args:
        by_hand: on the convolution and pooling of `models.convolution` instead of Keras' own.
    Shapes: [B, H, W, C] -> [B, classes]; at 32x32: C1 28x28x6, S2 14x14x6, C3 10x10x16, S4 5x5x16, C5 1x1x120, F6 84.
    Source: LeCun, Bottou, Bengio, Haffner 1998, figure 2.
    """
    conv2d = layers.HandConv2D if by_hand else keras.layers.Conv2D
    image, x = _field(input_shape)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(x)
    for conv, pool, filters in (("c1", "s2", 6), ("c3", "s4", 16)):
        x = activated(conv2d, filters, 5, activation=activation, name=conv)(x)
        x = pool2d(pooling, pool, by_hand=by_hand)(x)
    x = activated(conv2d, 120, 5, activation=activation, name="c5")(x)
    x = keras.layers.Flatten(name="features")(x)
    x = activated(keras.layers.Dense, 84, activation=activation, name="f6")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(image, keras.layers.Dense(classes, name="logits")(x), name="lenet5")


def lenet5_1998(input_shape: Shape, classes: int) -> Any:
    """LeNet-5 as the paper has it: C3 by table I, subsampling that learns, 1.7159 tanh(2x / 3), distances to fixed codes.

    Shapes: as `lenet5`.
    Source: LeCun, Bottou, Bengio, Haffner 1998, sections II.B and II.C, appendix A. The loss is the recipe's: on these
        logits, cross-entropy is equation 9 without its constant.
    """
    image, x = _field(input_shape)
    x = keras.layers.Rescaling(1.275 / 255, offset=-0.1, name="scale")(x)  # paper: background -.1, strokes 1.175
    x = _squashed(keras.layers.Conv2D(6, 5, kernel_initializer=_start(25), name="c1"), x)
    x = _squashed(layers.Subsampling2D(name="s2"), x)
    x = _squashed(layers.MapTableConv2D(C3, 5, kernel_initializer=_start(25 * 60 / 16), name="c3"), x)
    x = _squashed(layers.Subsampling2D(name="s4"), x)
    x = _squashed(keras.layers.Conv2D(120, 5, kernel_initializer=_start(400), name="c5"), x)
    x = keras.layers.Flatten(name="features")(x)
    x = _squashed(keras.layers.Dense(84, kernel_initializer=_start(x.shape[-1]), name="f6"), x)
    return keras.Model(image, layers.RadialBasis(codes(classes), dtype="float32", name="logits")(x), name="lenet5_1998")


def codes(classes: int) -> Any:
    """A row of 84 numbers -1 or 1 for each class: little pictures of the ten digits, random ones where there are not ten.

    Source: LeCun, Bottou, Bengio, Haffner 1998, figure 3 shows theirs; these are drawn anew.
    """
    if classes == len(DIGIT_CODES):
        return [[1 if pixel == "#" else -1 for pixel in digit.replace(" ", "")] for digit in DIGIT_CODES]
    return np.random.default_rng(0).choice([-1, 1], (classes, CODE[0] * CODE[1])).tolist()


def _field(input_shape: Shape) -> tuple[Any, Any]:
    """The input, and its pixels in the middle of a black field of 32x32 where they are fewer, as in the paper.

    Larger pictures make C5's maps larger than 1x1.
    """
    image = keras.Input(input_shape, name="image")
    missing = [max(0, SIZE - side) for side in input_shape[:2]]
    if not any(missing):
        return image, image
    margins = tuple((pixels // 2, pixels - pixels // 2) for pixels in missing)
    return image, keras.layers.ZeroPadding2D(margins, name="field")(image)


def _squashed(layer: Any, x: Any) -> Any:
    return layers.ScaledTanh(name=f"{layer.name}_tanh")(layer(x))


def _start(inputs: float) -> Any:
    """Normal, of deviation 1 over the root of the number of inputs. Appendix A has 2.4 over the number itself, uniform, by
    which the deeper layers start near zero; this is what its authors advise for this squashing function elsewhere.

    Source: LeCun, Bottou, Orr, Müller 1998: Efficient BackProp, section 4.6.
    """
    return keras.initializers.RandomNormal(0, inputs**-0.5)


DIGITS = Recipe(epochs=30, batch_size=32, learning_rate=3e-3, augment="digits", clean_epochs=0.1)
MNIST = Recipe(epochs=20, learning_rate=4e-3, warmup=0.7, label_smoothing=0.05, augment="digits", clean_epochs=0.05)
MNIST_1998 = replace(MNIST, epochs=24, label_smoothing=0.0)  # distances to codes can be no softer than they are
MNIST_BY_HAND = replace(MNIST, epochs=14, clean_epochs=0.07)  # an epoch takes five times as long
PHOTOS = Recipe(epochs=30, learning_rate=5e-3, weight_decay=0.02, augment="shift+flip", options={"pooling": "max"})
PAPER = "LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition. Proc. IEEE 86"

SPECS = [
    ModelSpec(
        name="lenet5",
        title="LeNet-5",
        year=1998,
        paper=PAPER,
        build=partial(lenet5, False),
        input_shape=(32, 32, 1),
        min_size=28,
        parameters=61_706,
        macs=416_520,
        recipes={"*": PHOTOS, "digits": DIGITS, "mnist": MNIST},
        reached={"digits": 99.44, "mnist": 99.50, "cifar10": 69.62},
    ),
    ModelSpec(
        name="lenet5_by_hand",
        title="LeNet-5 on convolution and pooling written out",
        year=1998,
        paper=PAPER,
        build=partial(lenet5, True),
        input_shape=(32, 32, 1),
        min_size=28,
        parameters=61_706,
        macs=416_520,
        recipes={"*": PHOTOS, "digits": DIGITS, "mnist": MNIST_BY_HAND},
        reached={"mnist": 99.49},
    ),
    ModelSpec(
        name="lenet5_1998",
        title="LeNet-5 of the paper: table of maps, learnt subsampling, radial basis",
        year=1998,
        paper=PAPER,
        build=lenet5_1998,
        input_shape=(32, 32, 1),
        min_size=28,
        parameters=60_000,
        fixed_parameters=840,
        macs=326_520,
        recipes={"*": Recipe(epochs=30, augment="shift+flip"), "digits": DIGITS, "mnist": MNIST_1998},
        reached={"mnist": 99.27},
    ),
]
