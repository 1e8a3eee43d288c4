"""SegNet, at the paper's size and narrower."""

from dataclasses import replace
from functools import partial
from typing import Any

from models import layers
from models.blocks import Normalisation, centred, conv_unit, scaled
from models.lazy import keras
from models.segmentation import FOLDER, LOSSES, SCENES, like_vgg, with_margin, without_margin
from models.spec import ModelSpec, Shape
from models.vgg import MAPS, D, convolutions

BLOCKS = 5  # poolings of the encoder


def segnet(
    base: float,
    input_shape: Shape,
    classes: int,
    *,
    width: float = 1.0,
    normalisation: Normalisation = "batch",
) -> Any:
    """The convolutions of VGG-16, and their mirror image, which puts each value where the encoder had its maximum.

    Convolutions keep their biases under batch normalisation, as published weights do, so that those of `vgg_d` fit. Where
    the paper takes local contrast normalisation of the pictures, the mean of ImageNet's colours is taken off. Sides that 32
    does not divide get a margin inside.

    Args:
        base, width: every number of maps is multiplied by both.
        normalisation: "batch" follows every convolution but the last.
    Shapes: [B, H, W, C] -> [B, H, W, classes]; at 360x480: block1 384x480x64, block5 24x30x512, its pooling 12x15x512.
    Source: Badrinarayanan, Kendall, Cipolla 2015, figure 2 and section 3.
    """
    image, x = centred(input_shape)
    x = with_margin(x, 2**BLOCKS)
    places = []

    def pool(x: Any, name: str) -> Any:
        x, place = layers.PositionalMaxPooling2D(name=name)(x)
        places.append(place)
        return x

    form = like_vgg(normalisation)
    x = convolutions(x, D, base * width, pool, **form)[-1]
    for block in range(BLOCKS, 0, -1):
        x = layers.MaxUnpooling2D(name=f"block{block}_unpool")([x, places.pop()])
        for number in range(len(D[block - 1]), 0, -1):
            if block == number == 1:
                break
            maps = MAPS[block - 1] if number > 1 else MAPS[block - 2]
            x = conv_unit(x, scaled(maps, base * width), 3, f"block{block}_deconv{number}", **form)
    x = without_margin(x, input_shape[:2])
    return keras.Model(image, keras.layers.Conv2D(classes, 3, padding="same", name="logits")(x), name="segnet")


PAPER = "Badrinarayanan, Kendall, Cipolla: SegNet: a deep convolutional encoder-decoder architecture. arXiv:1511.00561 (2015)"
SLOW = replace(SCENES, epochs=24)  # without skipped maps it is slow to leave chance
SMALL = 1 / 4

# Encoder: VGG-16's convolutions. Decoder: the same kernels, but 64x11 where 3x64 were, and biases of its own. Normalisation:
# a scale and an offset for every map but the logits'.
KERNELS, BIASES = 14_710_464, 4_224
DECODER = KERNELS - 9 * 3 * 64 + 9 * 64 * 11 + 3_712 + 11
NORMALISED = BIASES + 3_712

SPECS = [
    ModelSpec(
        name=name,
        title=title,
        year=2015,
        paper=PAPER,
        build=build,
        input_shape=(360, 480, 3),
        classes=11,
        min_size=16,  # with their margin 32: the last pooling has a pixel of them
        objective="segmentation",
        targets="masks",
        losses=LOSSES,
        parameters=parameters,
        fixed_parameters=statistics,
        macs=macs,
        recipes={"*": FOLDER, "scenes": SLOW},
        reached=reached,
    )
    for name, title, build, parameters, statistics, macs, reached in (
        (
            "segnet",
            "SegNet",
            partial(segnet, 1),
            KERNELS + BIASES + DECODER + 2 * NORMALISED,
            2 * NORMALISED,
            113_527_111_680,
            {},
        ),
        (
            "segnet_small",
            "SegNet of a quarter of the maps",
            partial(segnet, SMALL),
            1_846_571,
            3_968,
            7_360_450_560,
            {"scenes": 68.56},
        ),
    )
]
