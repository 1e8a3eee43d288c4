"""What the segmentation networks share: a margin that makes sides divisible, the form of VGG's convolutions, and recipes."""

from collections.abc import Sequence
from typing import Any

from models.lazy import keras
from models.spec import Recipe


def with_margin(x: Any, multiple: int) -> Any:
    """The maps with a margin of zeros, shared out to opposite sides, that makes both sides multiples of that.

    Shapes: [B, H, W, C] -> [B, H', W', C]; the maps themselves where there is nothing to add.
    """
    margin = [_halves(-side % multiple) for side in x.shape[1:3]]
    return x if margin == [(0, 0), (0, 0)] else keras.layers.ZeroPadding2D(margin, name="margin")(x)


def without_margin(x: Any, size: Sequence[int]) -> Any:
    """The maps without what `with_margin` has put around a picture.

    Shapes: [B, H', W', C] -> [B, H, W, C].
    """
    margin = [_halves(side - wanted) for side, wanted in zip(x.shape[1:3], size, strict=True)]
    return x if margin == [(0, 0), (0, 0)] else keras.layers.Cropping2D(margin, name="crop")(x)


def resized(x: Any, size: Sequence[int], name: str) -> Any:
    """The maps at another size, by bilinear interpolation.

    Shapes: [B, H, W, C] -> [B, *size, C]; the maps themselves where that is their size.
    """
    return x if tuple(x.shape[1:3]) == tuple(size) else keras.layers.Resizing(*size, name=name)(x)


def _halves(pixels: int) -> tuple[int, int]:
    return pixels // 2, pixels - pixels // 2


def like_vgg(normalisation: str) -> dict[str, Any]:
    """The form of convolutions that can start from VGG-D's weights: layers are matched by all their weights.

    So they keep their biases under batch normalisation too, whose statistics follow in short trainings.
    """
    return {"normalisation": normalisation, "use_bias": True, "momentum": 0.9}


LOSSES = ("cross_entropy", "focal", "dice", "cross_entropy_dice")
FOLDER = Recipe(
    epochs=60,
    batch_size=8,
    learning_rate=1e-3,
    warmup=1.0,
    clip_norm=1.0,
    loss="cross_entropy_dice",
    image_size=256,
    augment="masks",
    clean_epochs=0.1,
    ema=0.98,
)
SCENES = Recipe(
    epochs=12, batch_size=16, learning_rate=3e-3, loss="cross_entropy_dice", image_size=64, augment="scenes", ema=0.98
)
