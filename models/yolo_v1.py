"""YOLO, the first: a grid of cells, each of which answers for the object whose centre lies in it."""

from typing import Any

from models import layers
from models.blocks import Normalisation, conv_unit, picture, scaled
from models.lazy import keras
from models.spec import ModelSpec, Recipe, Shape

# Figure 3 of the paper: maps, kernel and stride of each convolution; "pool" halves.
Row = tuple[int, int, int]
FULL: tuple[Row | str, ...] = (
    (64, 7, 2), "pool",
    (192, 3, 1), "pool",
    (128, 1, 1), (256, 3, 1), (256, 1, 1), (512, 3, 1), "pool",
    *((256, 1, 1), (512, 3, 1)) * 4, (512, 1, 1), (1024, 3, 1), "pool",
    *((512, 1, 1), (1024, 3, 1)) * 2, (1024, 3, 1), (1024, 3, 2),
    (1024, 3, 1), (1024, 3, 1),
)  # fmt: skip
# Ours, after the nine layers that the paper names for its fast network without saying which: the ninth predicts.
TINY: tuple[Row | str, ...] = (
    (16, 3, 1), "pool",
    (32, 3, 1), "pool",
    (64, 3, 1), "pool",
    (128, 3, 1), "pool",
    (256, 3, 1), (256, 3, 1), (256, 3, 1), (128, 1, 1),
)  # fmt: skip
CELL = 16  # pixels, of the tiny network
SLOPE = 0.1  # of the rectifier, below 0


def yolo_v1(
    input_shape: Shape,
    classes: int,
    *,
    grid: int = 7,
    boxes: int = 2,
    width: float = 1.0,
    normalisation: Normalisation = "none",
    dropout: float = 0.0,
) -> Any:
    """24 convolutions, then two dense layers that see the whole picture and answer for all cells at once.

    Args:
        grid: rows and columns of cells, whatever the size of the picture; the paper's S.
        boxes: how many each cell predicts; the paper's B.
        width: every number of maps and hidden units is multiplied by it.
        normalisation: "batch" follows every convolution, which the paper did not have yet.
        dropout: share of the hidden layer that is dropped; the paper's is .5.
    Shapes: [B, H, W, C] -> predictions [B, grid * grid, 5 * boxes + classes], as `layers.GridPredictions` says; at 448x448
        the maps before the dense layers are 7x7x1024.
    Source: Redmon et al. 2016, figure 3 and sections 2.1 and 2.2.
    """
    image, x = picture(input_shape)
    x = _convolutions(x, FULL, width, normalisation)
    x = keras.layers.Flatten(name="features")(x)
    x = keras.layers.Dense(scaled(4096, width), kernel_initializer="he_normal", name="fc1")(x)
    x = keras.layers.LeakyReLU(SLOPE, name="fc1_leaky")(x)
    x = keras.layers.Dropout(dropout, name="fc1_dropout")(x)
    x = keras.layers.Dense(grid * grid * (5 * boxes + classes), name="fc2")(x)
    predictions = layers.GridPredictions(grid, grid, boxes, classes, name="predictions")(x)
    return keras.Model(image, predictions, name="yolo_v1")


def yolo_v1_tiny(
    input_shape: Shape, classes: int, *, boxes: int = 2, width: float = 1.0, normalisation: Normalisation = "batch"
) -> Any:
    """Nine convolutions, the last of which answers for each cell of 16 pixels from what is around it.

    Ours: narrow, with batch normalisation, and without the dense layers, of which each cell would have to learn every object
    for itself; the same authors left them out in their next paper (Redmon and Farhadi 2017, section 2).

    Args:
        boxes: how many each cell predicts.
        width: every number of maps is multiplied by it.
        normalisation: "none" leaves it out.
    Shapes: [B, H, W, C] -> predictions [B, cells, 5 * boxes + classes]; 8x8 cells at 128x128.
    Raises:
        ValueError: 16 does not divide a side: cells and what they see would lie apart.
    Source: Redmon et al. 2016, section 2.1, for the number of layers of Fast YOLO.
    """
    if input_shape[0] % CELL or input_shape[1] % CELL:
        raise ValueError(f"its cells are of {CELL} pixels; give a height and a width that are multiples of that")
    image, x = picture(input_shape)
    x = _convolutions(x, TINY, width, normalisation)
    rows, columns = x.shape[1:3]
    x = keras.layers.Conv2D(5 * boxes + classes, 1, name="conv9")(x)
    predictions = layers.GridPredictions(rows, columns, boxes, classes, name="predictions")(x)
    return keras.Model(image, predictions, name="yolo_v1_tiny")


def _convolutions(x: Any, table: tuple[Row | str, ...], width: float, normalisation: str) -> Any:
    number, pools = 0, 0
    for row in table:
        if isinstance(row, str):
            pools += 1
            x = keras.layers.MaxPooling2D(2, 2, "same", name=f"pool{pools}")(x)
            continue
        number += 1
        maps, kernel, strides = row
        form: dict[str, Any] = {"normalisation": normalisation, "activation": None, "momentum": 0.9}
        x = conv_unit(x, scaled(maps, width), kernel, f"conv{number}", strides=strides, **form)
        x = keras.layers.LeakyReLU(SLOPE, name=f"conv{number}_leaky")(x)
    return x


PAPER = "Redmon, Divvala, Girshick, Farhadi: You only look once: unified, real-time object detection. CVPR 2016"
FORM: dict[str, Any] = {"loss": "yolo_v1", "clip_norm": 10.0}
GENERAL = Recipe(epochs=135, batch_size=16, image_size=448, learning_rate=1e-4, warmup=5.0, dropout=0.5, augment="boxes", **FORM)
TINY_GENERAL = Recipe(
    epochs=100, batch_size=16, image_size=224, learning_rate=2e-3, warmup=2.0, ema=0.99, augment="boxes", clean_epochs=0.2, **FORM
)
TINY_SCENES = Recipe(epochs=8, batch_size=16, image_size=128, learning_rate=2e-3, warmup=1.0, ema=0.99, **FORM)
SHARED: dict[str, Any] = {
    "year": 2016,
    "paper": PAPER,
    "classes": 20,
    "min_size": 64,
    "objective": "detection",
    "targets": "yolo_v1",
    "losses": ("yolo_v1",),
}

SPECS = [
    ModelSpec(
        name="yolo_v1_tiny",
        title="YOLO of nine convolutions",
        build=yolo_v1_tiny,
        input_shape=(448, 448, 3),
        parameters=1_610_670,
        fixed_parameters=2_272,
        macs=1_965_092_864,
        recipes={"*": TINY_GENERAL, "scenes": TINY_SCENES},
        reached={"scenes": 98.34},
        **SHARED,
    ),
    ModelSpec(
        name="yolo_v1",
        title="YOLO",
        build=yolo_v1,
        input_shape=(448, 448, 3),
        parameters=271_703_550,  # 60,155,968 in convolutions, 205,524,992 and 6,022,590 in the dense layers
        macs=20_285_153_280,
        recipes={"*": GENERAL},
        **SHARED,
    ),
]
