"""Faster R-CNN: regions that may hold an object, and what is in them, from the same maps."""

from functools import partial
from typing import Any, NamedTuple

from models import layers
from models.blocks import activated, centred, conv_unit, picture, scaled
from models.lazy import keras
from models.segmentation import vgg_blocks
from models.spec import ModelSpec, Recipe, Shape


class Form(NamedTuple):
    """What the paper's network and ours for small pictures have different numbers of.

    Args:
        stride: pixels from one place of the last maps to the next.
        sides, ratios: of the anchors: square roots of their areas in pixels, and height over width.
        maps: of the convolution that both answers for anchors are given from.
        candidates, proposals: anchors that suppression looks at, and regions that it leaves.
        samples: regions of a picture that are learnt from, at most as many as there are proposals.
        units: of the two hidden layers over a region.
        each: every class has a box of its own; else all share one.
    """

    backbone: str
    stride: int
    sides: tuple[float, ...]
    ratios: tuple[float, ...]
    maps: int
    candidates: int
    proposals: int
    samples: int
    units: int
    each: bool


POOL = 7  # places along either side of a region's maps
PAPER_FORM = Form("vgg", 16, (128, 256, 512), (0.5, 1, 2), 512, 2000, 300, 128, 4096, each=True)
SMALL_FORM = Form("small", 8, (20, 28, 40), (1.2, 2), 64, 256, 48, 32, 128, each=False)
# Maps and stride of each convolution of the backbone for small pictures.
SMALL_STAGES = ((16, 2), (32, 2), (32, 1), (64, 2), (96, 1), (96, 1))


def faster_rcnn(form: Form, input_shape: Shape, classes: int, *, width: float = 1.0) -> Any:
    """Convolutions, the regions that a small network over their maps proposes, and two dense layers over each region.

    What is answered for a picture follows from it alone. The true boxes, a second input, decide what is learnt from: the
    losses are inside, and compiling needs none.

    Args:
        width: every number of maps and hidden units is multiplied by it.
    Shapes: `image` [B, H, W, C], `truth` [B, M, 6] as annotations are -> `predictions` [B, R, 4 + classes] as
        `layers.RegionPredictions` says, `losses` [B, 4]: objectness and offsets of anchors, classes and offsets of
        regions.
    Source: Ren et al. 2015: figure 2, sections 3.1 to 3.3; VGG-16 under the names of `models.vgg`, so that its weights fit.
    """
    size = input_shape[:2]
    truth = keras.Input((None, 6), name="truth", dtype="float32")
    image, maps = _vgg(input_shape, width) if form.backbone == "vgg" else _small(input_shape, width)

    # The losses are taken from logits in float32, whatever the rest is computed in.
    x = conv_unit(maps, scaled(form.maps, width), 3, "proposal_conv")
    count = len(form.sides) * len(form.ratios)
    exact: dict[str, Any] = {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.01), "dtype": "float32"}
    objectness = keras.layers.Conv2D(count, 1, name="objectness", **exact)(x)
    offsets = keras.layers.Conv2D(4 * count, 1, name="offsets", **exact)(x)
    anchors = layers.AnchorGrid(form.stride, form.sides, form.ratios, name="anchors")(maps)
    propose = layers.RegionProposals(size, form.candidates, form.proposals, name="proposals")
    proposals = propose([anchors, objectness, offsets])
    samples = min(form.samples, proposals.shape[1])
    sampling = layers.RegionSampling(size, classes, samples, name="sampled")
    regions, labels, boxes = sampling([proposals, truth])

    look = _head(form, classes, width)
    predictions = layers.RegionPredictions(size, name="predictions")([*look(maps, proposals), proposals])
    first = layers.ProposalLosses(size, name="proposal_losses")([anchors, objectness, offsets, truth])
    second = layers.RegionLosses(name="region_losses")([*look(maps, regions), regions, labels, boxes])
    losses = keras.layers.Concatenate(name="losses", dtype="float32")([first, second])
    outputs = {"predictions": predictions, "losses": losses}
    return keras.Model({"image": image, "truth": truth}, outputs, name="faster_rcnn")


def _vgg(input_shape: Shape, width: float) -> tuple[Any, Any]:
    """The input, and VGG-16 up to its last convolution."""

    def pool(x: Any, name: str) -> Any:
        return x if name == "block5_pool" else keras.layers.MaxPooling2D(2, padding="same", name=name)(x)

    image, x = centred(input_shape)
    return image, vgg_blocks(x, width, "none", pool)[-1]


def _small(input_shape: Shape, width: float) -> tuple[Any, Any]:
    """The input, and a few convolutions with batch normalisation that make an eighth of its sides."""
    image, x = picture(input_shape)
    for number, (maps, strides) in enumerate(SMALL_STAGES, start=1):
        x = conv_unit(x, scaled(maps, width), 3, f"conv{number}", strides=strides, normalisation="batch", momentum=0.9)
    return image, x


def _head(form: Form, classes: int, width: float) -> Any:
    """What looks at regions, with the same weights whichever they are.

    Shapes: maps [B, h, w, C], regions [B, R, 4] -> logits [B, R, classes + 1], the background's last, and offsets
        [B, R, 4 * classes], or [B, R, 4] where all classes share them.
    """
    align = layers.RoiAlign(POOL, form.stride, name="align")
    flat = keras.layers.TimeDistributed
    del flat
    units = scaled(form.units, width)
    hidden = [activated(keras.layers.Dense, units, activation="relu", name=name) for name in ("fc1", "fc2")]
    start = keras.initializers.RandomNormal
    logits = keras.layers.Dense(classes + 1, kernel_initializer=start(stddev=0.01), dtype="float32", name="logits")
    number = 4 * classes if form.each else 4
    moves = keras.layers.Dense(number, kernel_initializer=start(stddev=0.001), dtype="float32", name="region_offsets")

    def look(maps: Any, regions: Any) -> list[Any]:
        x = align([maps, regions])
        x = keras.layers.Reshape((regions.shape[1], -1), name=f"vectors{regions.shape[1]}")(x)
        for layer in hidden:
            x = layer(x)
        return [logits(x), moves(x)]

    return look
