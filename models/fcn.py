"""Fully convolutional networks on VGG-16: FCN-32s, 16s and 8s."""

from dataclasses import replace
from functools import partial
from typing import Any

from models import layers
from models.blocks import Normalisation, centred, conv_unit, is_small, scaled
from models.lazy import keras
from models.segmentation import FOLDER, LOSSES, like_vgg, with_margin, without_margin
from models.spec import ModelSpec, Shape
from models.vgg import D, convolutions

DENSE = 4096  # maps of fc6 and fc7

# Figure 3: the poolings whose scores are added, from the coarsest.
FCN_32S: tuple[int, ...] = ()
FCN_16S = (4,)
FCN_8S = (4, 3)


def fcn(
    skips: tuple[int, ...],
    base: float,
    input_shape: Shape,
    classes: int,
    *,
    width: float = 1.0,
    normalisation: Normalisation = "none",
    dropout: float = 0.0,
) -> Any:
    """VGG-16 with its dense layers as convolutions, whose scores are added to those of earlier poolings and enlarged.

    Convolutions keep the size of their maps, where the paper puts 100 pixels around a picture to have any left: sides that 32
    does not divide get a margin inside, and scores of two sizes always fit without a crop.

    Enlarging by two is a transposed convolution that starts as bilinear interpolation and learns; the last step, to the
    picture's size, stays that interpolation, and has no weights to store. Scores of earlier poolings start from zero.

    Args:
        skips: poolings whose scores are added.
        base, width: every number of maps is multiplied by both.
        normalisation: "batch" follows every convolution but those of scores, which the paper did not know yet.
        dropout: share of fc6's and fc7's values dropped.
    Shapes: [B, H, W, C] -> [B, H, W, classes]; at 512x512: block3_pool 64x64x256, block4_pool 32x32x512, block5_pool, fc6 and
        fc7 16x16. Small pictures are not halved by the first block, so that their finest scores have 4 pixels, not 8.
    Source: Long, Shelhamer, Darrell 2015, figure 3 and section 4; weights and zeros as sections 4.1 and 4.2.
    """
    image, x = centred(input_shape)
    small = is_small(input_shape)
    stride = 16 if small else 32  # pixels of the picture for one of the coarsest scores
    x = with_margin(x, stride)
    width *= base

    def pool(x: Any, name: str) -> Any:
        return x if small and name == "block1_pool" else keras.layers.MaxPooling2D(2, name=name)(x)

    form = like_vgg(normalisation)
    pooled = convolutions(x, D, width, pool, **form)
    x = pooled[-1]
    for name, size in (("fc6", 7), ("fc7", 1)):
        x = conv_unit(x, scaled(DENSE, width), size, name, **form)
        x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    x = keras.layers.Conv2D(classes, 1, name="score")(x)
    twice: dict[str, Any] = {"padding": "same", "use_bias": False, "kernel_initializer": layers.BilinearKernel()}
    for number in skips:
        stride //= 2
        x = keras.layers.Conv2DTranspose(classes, 4, 2, name=f"score_twice{number}", **twice)(x)
        skip = keras.layers.Conv2D(classes, 1, kernel_initializer="zeros", name=f"score_pool{number}")(pooled[number - 1])
        x = keras.layers.Add(name=f"score_sum{number}")([x, skip])
    x = keras.layers.UpSampling2D(stride, interpolation="bilinear", name="logits")(x)
    return keras.Model(image, without_margin(x, input_shape[:2]), name="fcn")


PAPER = "Long, Shelhamer, Darrell: Fully convolutional networks for semantic segmentation. CVPR 2015, arXiv:1411.4038"
# As large as VGG-16, with its dropout, and careful steps.
LARGE = replace(FOLDER, learning_rate=1e-4, warmup=2.0, dropout=0.5)
LARGE_SCENES = replace(LARGE, epochs=12, batch_size=16, image_size=64, augment="scenes")
SMALL = 1 / 8
QUICK: dict[str, Any] = {"learning_rate": 3e-3, "warmup": 0.5, "clip_norm": 0.0, "dropout": 0.2}

# VGG-16's convolutions, fc6 and fc7, and the scores of 4,096 maps; then what a pooling adds: its scores, and a kernel.
FCN32S_PARAMETERS = 14_714_688 + 102_764_544 + 16_781_312 + 4_097 * 21
FCN16S_PARAMETERS = FCN32S_PARAMETERS + 513 * 21 + 16 * 21 * 21
FCN8S_PARAMETERS = FCN16S_PARAMETERS + 257 * 21 + 16 * 21 * 21

SPECS = [
    ModelSpec(
        name=name,
        title=title,
        year=2015,
        paper=PAPER,
        build=build,
        input_shape=(512, 512, 3),
        classes=21,
        min_size=16,  # the last pooling has a pixel of them
        objective="segmentation",
        targets="masks",
        losses=LOSSES,
        parameters=parameters,
        fixed_parameters=statistics,
        macs=macs,
        recipes={"*": replace(LARGE, **changes), "scenes": replace(LARGE_SCENES, **changes)},
        reached=reached,
    )
    for name, title, build, parameters, statistics, macs, changes, reached in (
        ("fcn32s", "FCN-32s", partial(fcn, FCN_32S, 1), FCN32S_PARAMETERS, 0, 110_801_977_344, {}, {}),
        ("fcn16s", "FCN-16s", partial(fcn, FCN_16S, 1), FCN16S_PARAMETERS, 0, 110_814_793_728, {}, {}),
        ("fcn8s", "FCN-8s", partial(fcn, FCN_8S, 1), FCN8S_PARAMETERS, 0, 110_844_039_168, {}, {}),
        (
            "fcn8s_small",
            "FCN-8s of an eighth of the maps, with batch normalisation",
            partial(fcn, FCN_8S, SMALL, normalisation="batch"),
            2_129_415,
            3_104,
            1_796_395_008,
            QUICK,
            {"scenes": 88.01},
        ),
    )
]
