"""YOLOv5: boxes of three sizes of anchors, from a network of partial residual stages and a pyramid that goes both ways."""

from functools import partial
from math import ceil, log
from typing import Any

from models import layers
from models.blocks import conv_unit, picture
from models.lazy import keras
from models.spec import ModelSpec, Recipe, Shape

STRIDES = (8, 16, 32)
# Width x height in pixels of what the published networks were trained with, at 640x640, a row for each stride.
ANCHORS = "10x13,16x30,33x23,30x61,62x45,59x119,116x90,156x198,373x326"
# Maps and units of each stage of the backbone, before they are multiplied by width and depth.
STAGES = ((128, 3), (256, 6), (512, 9), (1024, 3))
NECK_UNITS = 3
FORM: dict[str, Any] = {"normalisation": "batch", "activation": "silu", "epsilon": 1e-3, "momentum": 0.97}


def yolo_v5(depth: float, width: float, input_shape: Shape, classes: int, *, anchors: str = "") -> Any:
    """A backbone of four stages, a pyramid down to stride 8 and up again to 32, and three anchors at each place of three maps.

    Pictures whose sides are no multiples of 32 are padded below and to the right by the middle grey that scaling makes 0.

    Args:
        depth: the number of units of every stage is multiplied by it.
        width: every number of maps is multiplied by it and rounded up to a multiple of 8.
        anchors: nine sizes in pixels of the input as `10x13,16x30,...`, width first, the smallest first; three go to each
            stride. Empty for the published ones, which are for objects in pictures of 640 pixels: they are not scaled.
    Shapes: [B, H, W, C] -> predictions [B, P, 5 + classes], as `layers.AnchorPredictions` says; P is 25,200 at 640x640 and
        1,008 at 128x128.
    Raises:
        ValueError: the anchors are no nine sizes.
    Source: the layout and the anchors are those of release 6.0, which has no paper; its parts are those of Wang et al.
        2020 (partial stages), He et al. 2014 (pooling in a pyramid), Liu et al. 2018 (the way up again) and Redmon and
        Farhadi 2018 (three maps).
    """
    sizes = parse_anchors(anchors)

    def maps(count: int) -> int:
        return 8 * ceil(count * width / 8)

    def units(count: int) -> int:
        return max(1, round(count * depth))

    image, x = picture(input_shape)
    height, right = (-side % STRIDES[-1] for side in input_shape[:2])
    x = keras.layers.ZeroPadding2D(((0, height), (0, right)), name="pad")(x)
    x = conv_unit(x, maps(64), 6, "stem", strides=2, **FORM)
    stages = []
    for number, (count, repeated) in enumerate(STAGES, start=1):
        x = conv_unit(x, maps(count), 3, f"stage{number}_down", strides=2, **FORM)
        x = _partial_stage(x, maps(count), units(repeated), f"stage{number}")
        stages.append(x)
    x = _pooled(x, maps(1024), "pooled")

    small, medium = stages[1:3]
    least = conv_unit(x, maps(512), 1, "top", **FORM)
    x = _joined(keras.layers.UpSampling2D(2, name="top_up")(least), medium, "down16")
    x = _partial_stage(x, maps(512), units(NECK_UNITS), "down16", shortcut=False)
    middle = conv_unit(x, maps(256), 1, "middle", **FORM)
    x = _joined(keras.layers.UpSampling2D(2, name="middle_up")(middle), small, "down8")
    p8 = _partial_stage(x, maps(256), units(NECK_UNITS), "down8", shortcut=False)
    x = _joined(conv_unit(p8, maps(256), 3, "up16_down", strides=2, **FORM), middle, "up16")
    p16 = _partial_stage(x, maps(512), units(NECK_UNITS), "up16", shortcut=False)
    x = _joined(conv_unit(p16, maps(512), 3, "up32_down", strides=2, **FORM), least, "up32")
    p32 = _partial_stage(x, maps(1024), units(NECK_UNITS), "up32", shortcut=False)

    heads = [_head(x, stride, classes) for x, stride in zip((p8, p16, p32), STRIDES, strict=True)]
    predictions = layers.AnchorPredictions(sizes, STRIDES, input_shape[:2], classes, name="predictions")(heads)
    return keras.Model(image, predictions, name="yolo_v5")


def parse_anchors(text: str) -> list[list[tuple[float, float]]]:
    """Sizes written as `10x13,16x30,...` as a row of three (width, height) for each stride; the published ones for an empty text.

    Raises:
        ValueError: there are not nine of them, or one is no size.
    """
    try:
        sizes = [(float(width), float(height)) for width, height in (one.split("x") for one in (text or ANCHORS).split(","))]
    except ValueError:
        sizes = []
    if len(sizes) != 9 or not all(0 < side < float("inf") for size in sizes for side in size):
        raise ValueError(f"anchors '{text}' are not nine sizes in pixels as in {ANCHORS}")
    return [sizes[first : first + 3] for first in (0, 3, 6)]


def _partial_stage(x: Any, maps: int, units: int, name: str, *, shortcut: bool = True) -> Any:
    """Half of the maps through residual units, the other half past them, and a convolution across both.

    Source: Wang et al. 2020, figure 5; the units are those of Redmon and Farhadi 2018, table 1.
    """
    past = conv_unit(x, maps // 2, 1, f"{name}_past", **FORM)
    x = conv_unit(x, maps // 2, 1, f"{name}_through", **FORM)
    for number in range(1, units + 1):
        unit = conv_unit(x, maps // 2, 1, f"{name}_unit{number}_a", **FORM)
        unit = conv_unit(unit, maps // 2, 3, f"{name}_unit{number}_b", **FORM)
        x = keras.layers.Add(name=f"{name}_unit{number}_sum")([x, unit]) if shortcut else unit
    return conv_unit(_joined(x, past, f"{name}_both"), maps, 1, f"{name}_across", **FORM)


def _pooled(x: Any, maps: int, name: str) -> Any:
    """Each place with the largest values around it, in windows of 5, 9 and 13 places: one pooling after the other.

    Source: He et al. 2014, in the form of Bochkovskiy et al. 2020, section 2.3, where sizes stay the same.
    """
    x = conv_unit(x, maps // 2, 1, f"{name}_before", **FORM)
    levels = [x]
    for window in (5, 9, 13):
        levels.append(keras.layers.MaxPooling2D(5, 1, "same", name=f"{name}_{window}")(levels[-1]))
    return conv_unit(keras.layers.Concatenate(name=f"{name}_levels")(levels), maps, 1, f"{name}_after", **FORM)


def _joined(x: Any, other: Any, name: str) -> Any:
    return keras.layers.Concatenate(name=f"{name}_joined")([x, other])


def _head(x: Any, stride: int, classes: int) -> Any:
    """What is told of the three anchors at each place, with a bias that expects eight objects in a picture of 640 pixels.

    Source: Lin et al. 2017, section 3.3, for starting from what is likely: else all empty places would be unlearnt first.
    """
    objectness, likely = log(8 / (640 / stride) ** 2), log(0.6 / (classes - 0.99))
    start = keras.initializers.Constant([0.0, 0.0, 0.0, 0.0, objectness, *[likely] * classes] * 3)
    return keras.layers.Conv2D(3 * (5 + classes), 1, bias_initializer=start, name=f"head{stride}")(x)


PAPER = (
    "Jocher et al.: YOLOv5, release 6.0 (2021, without a paper), of the parts of Wang et al.: CSPNet (CVPRW 2020) and "
    "Liu et al.: Path aggregation network (CVPR 2018)"
)
GENERAL = Recipe(
    loss="yolo_v5",
    epochs=100,
    batch_size=16,
    image_size=640,
    learning_rate=3e-3,
    warmup=2.0,
    clip_norm=10.0,
    ema=0.99,
    augment="boxes",
    clean_epochs=0.2,
    options={"anchors": "kmeans"},
)
SCENES = Recipe(
    loss="yolo_v5",
    epochs=12,
    batch_size=16,
    image_size=128,
    learning_rate=4e-3,
    clip_norm=10.0,
    ema=0.99,
    options={"anchors": "kmeans"},
)

SPECS = [
    ModelSpec(
        name=name,
        title=title,
        year=2021,
        paper=PAPER,
        build=partial(yolo_v5, depth, width),
        input_shape=(640, 640, 3),
        classes=80,
        min_size=64,
        parameters=parameters,
        fixed_parameters=fixed,
        macs=macs,
        objective="detection",
        targets="yolo_v5",
        losses=("yolo_v5",),
        recipes={"*": GENERAL, "scenes": SCENES},
        reached=reached,
    )
    for name, title, depth, width, parameters, fixed, macs, reached in (
        ("yolo_v5_tiny", "YOLOv5 at half the width of n", 0.33, 0.125, 499_981, 4_752, 648_448_000, {"scenes": 98.44}),
        ("yolo_v5n", "YOLOv5n", 0.33, 0.25, 1_872_157, 9_504, 2_234_060_800, {"bccd": 88.47}),
        ("yolo_v5s", "YOLOv5s", 0.33, 0.5, 7_235_389, 19_008, 8_216_780_800, {}),
        ("yolo_v5m", "YOLOv5m", 0.67, 0.75, 21_190_557, 36_768, 24_436_224_000, {}),
    )
]
