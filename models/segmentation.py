"""Pieces that the segmentation networks share: a margin that makes sides divisible, and VGG-16's blocks."""

from collections.abc import Callable
from typing import Any

from models.blocks import conv_unit, scaled
from models.lazy import keras
from models.spec import Shape
from models.vgg import CONTRAST, MAPS, D


def with_margin(x: Any, multiple: int) -> Any:
    """The maps with a margin of zeros, shared out to opposite sides, that makes both sides multiples of that.

    Shapes: [B, H, W, C] -> [B, H', W', C]; the maps themselves where there is nothing to add.
    """
    margin = [_halves(-side % multiple) for side in x.shape[1:3]]
    return x if margin == [(0, 0), (0, 0)] else keras.layers.ZeroPadding2D(margin, name="margin")(x)


def without_margin(x: Any, input_shape: Shape) -> Any:
    """The maps without what `with_margin` has put around a picture.

    Shapes: [B, H', W', C] -> [B, H, W, C].
    """
    margin = [_halves(side - wanted) for side, wanted in zip(x.shape[1:3], input_shape[:2], strict=True)]
    return x if margin == [(0, 0), (0, 0)] else keras.layers.Cropping2D(margin, name="crop")(x)


def _halves(pixels: int) -> tuple[int, int]:
    return pixels // 2, pixels - pixels // 2


def vgg_blocks(x: Any, width: float, normalisation: str, pool: Callable[[Any, str], Any]) -> list[Any]:
    """The thirteen convolutions of VGG-D, under the names that they have there, so that they can start from its weights.

    They keep their biases under batch normalisation too: layers are matched by all their weights.

    Args:
        pool: the maps of a block and the name of its pooling, to what the next block sees.
    Shapes: [B, H, W, 3] -> those after each pooling, [B, H / 2, W / 2, 64] to [B, H / 32, W / 32, 512].
    Source: Simonyan and Zisserman 2014, table 1, column D.
    """
    start = keras.initializers.VarianceScaling(2.0 / CONTRAST**2)
    pooled = []
    for block, (kernels, maps) in enumerate(zip(D, MAPS, strict=True), start=1):
        for number in range(1, len(kernels) + 1):
            first = {"kernel_initializer": start} if block == number == 1 else {}
            x = vgg_unit(x, scaled(maps, width), f"block{block}_conv{number}", normalisation, **first)
        x = pool(x, f"block{block}_pool")
        pooled.append(x)
    return pooled


def vgg_unit(x: Any, filters: int, name: str, normalisation: str, size: int = 3, **settings: Any) -> Any:
    """A convolution as VGG has it, with a bias, and statistics that follow in short trainings where it is normalised."""
    return conv_unit(x, filters, size, name, normalisation=normalisation, use_bias=True, momentum=0.9, **settings)
