"""U-Net, at the paper's size and narrower."""

from dataclasses import replace
from functools import partial
from typing import Any, Literal

from models.blocks import Normalisation, conv_unit, picture, scaled
from models.lazy import keras
from models.segmentation import FOLDER, LOSSES, SCENES, resized, with_margin, without_margin
from models.spec import ModelSpec, Shape

LEVELS = 4  # poolings in the contracting path
Upsampling = Literal["transposed", "bilinear"]


def unet(
    base: int,
    input_shape: Shape,
    classes: int,
    *,
    width: float = 1.0,
    normalisation: Normalisation = "none",
    dropout: float = 0.0,
    upsampling: Upsampling = "transposed",
    resolution: float = 1.0,
) -> Any:
    """A path that contracts, and one that expands and is given the maps of the same size from the first.

    Convolutions keep the size of their maps, where the paper's lose a pixel at every side: the logits are as large as the
    picture, and no map has to be cropped before two are joined. Sides that sixteen does not divide get a margin inside.

    Args:
        base: maps of the first level; each level has twice those of the one above.
        width: every number of maps is multiplied by it.
        normalisation: "batch" follows every convolution but the last, which the paper did not have.
        dropout: share of values dropped at the end of the contracting path, in its last two levels.
        upsampling: "transposed": a 2x2 convolution that makes four pixels of one; "bilinear": interpolation, and a 2x2
            convolution of as many weights.
        resolution: share of the picture's sides that the network works at, up to 1: the picture is reduced inside, and the
            logits are enlarged to its size.
    Raises:
        ValueError: the resolution is not above 0, or above 1.
    Shapes: [B, H, W, C] -> [B, H, W, classes]; at 512x512: down1 512x512x64, 256x256x128, 128x128x256, 64x64x512, bottom
        32x32x1024.
    Source: Ronneberger, Fischer, Brox 2015, figure 1 and section 3.
    """
    if not 0 < resolution <= 1:
        raise ValueError(f"a resolution of {resolution:g}; give a number above 0 and up to 1, as 0.5 for half of the sides")
    image, x = picture(input_shape)
    inner = tuple(max(1, round(side * resolution)) for side in input_shape[:2])
    x = resized(x, inner, "reduce")
    x = with_margin(x, 2**LEVELS)
    maps = [scaled(base * 2**level, width) for level in range(LEVELS + 1)]
    skipped = []
    for level in range(1, LEVELS + 1):
        x = _pair(x, maps[level - 1], f"down{level}", normalisation)
        if level == LEVELS:
            x = keras.layers.Dropout(dropout, name=f"down{level}_dropout")(x)
        skipped.append(x)
        x = keras.layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
    x = _pair(x, maps[LEVELS], "bottom", normalisation)
    x = keras.layers.Dropout(dropout, name="bottom_dropout")(x)
    for level in range(LEVELS, 0, -1):
        x = _up(x, maps[level - 1], f"up{level}", upsampling)
        x = keras.layers.Concatenate(name=f"up{level}_join")([skipped.pop(), x])
        x = _pair(x, maps[level - 1], f"up{level}", normalisation)
    x = without_margin(x, inner)
    x = keras.layers.Conv2D(classes, 1, name="logits")(x)
    return keras.Model(image, resized(x, input_shape[:2], "enlarge"), name="unet")


def _pair(x: Any, maps: int, name: str, normalisation: str) -> Any:
    """The two convolutions of a level."""
    for number in (1, 2):
        x = conv_unit(x, maps, 3, f"{name}_conv{number}", normalisation=normalisation, momentum=0.9)
    return x


def _up(x: Any, maps: int, name: str, upsampling: str) -> Any:
    """Twice the side, half the maps."""
    if upsampling == "transposed":
        return keras.layers.Conv2DTranspose(maps, 2, 2, kernel_initializer="he_normal", name=name)(x)
    x = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"{name}_bilinear")(x)
    return keras.layers.Conv2D(maps, 2, padding="same", kernel_initializer="he_normal", name=name)(x)


PAPER = "Ronneberger, Fischer, Brox: U-Net: convolutional networks for biomedical image segmentation. MICCAI 2015"
# Without normalisation a large step is never made good again.
CAREFUL: dict[str, Any] = {"learning_rate": 3e-4, "warmup": 2.0, "clip_norm": 1.0}
BASE, SMALL = 64, 16

SPECS = [
    ModelSpec(
        name=name,
        title=title,
        year=2015,
        paper=PAPER,
        build=build,
        input_shape=shape,
        classes=classes,
        min_size=16,  # the bottom has a pixel of them
        objective="segmentation",
        targets="masks",
        losses=LOSSES,
        parameters=parameters,
        fixed_parameters=statistics,
        macs=macs,
        recipes={"*": replace(FOLDER, **changes), "scenes": replace(SCENES, **changes)},
        reached=reached,
    )
    for name, title, build, shape, classes, parameters, statistics, macs, changes, reached in (
        ("unet", "U-Net", partial(unet, BASE), (512, 512, 1), 2, 31_030_658, 0, 192_384_335_872, CAREFUL, {}),
        (
            "unet_small",
            "U-Net of a quarter of the maps, with batch normalisation",
            partial(unet, SMALL, normalisation="batch"),
            (256, 256, 3),
            11,
            1_942_747,
            2_944,
            3_042_967_552,
            {},
            {"scenes": 90.51, "camvid": 49.32},
        ),
    )
]
