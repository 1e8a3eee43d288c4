"""Faster R-CNN: regions that may hold an object, and what is in them, from the same maps."""

from functools import partial
from typing import Any, NamedTuple

from models import layers
from models.blocks import activated, centred, conv_unit, picture, scaled
from models.lazy import keras
from models.spec import ModelSpec, Recipe, Shape
from models.vgg import D, convolutions, halved
from models.yolo_v5 import parse_anchors


class Form(NamedTuple):
    """What the paper's network and ours for small pictures have different numbers of.

    Args:
        stride: pixels from one place of the last maps to the next.
        anchors: width and height in pixels.
        maps: of the convolution that both answers for anchors are given from.
        candidates, proposals: anchors that suppression looks at, and regions that it leaves.
        samples: regions of a picture that are learnt from, at most as many as there are proposals.
        units: of the two hidden layers over a region.
        each: every class has a box of its own; else all share one.
    """

    backbone: str
    stride: int
    anchors: tuple[tuple[float, float], ...]
    maps: int
    candidates: int
    proposals: int
    samples: int
    units: int
    each: bool


POOL = 7  # places along either side of a region's maps
# Areas of 128, 256 and 512 squared, with heights of half, once and twice the width.
ANCHORS = tuple((side / ratio**0.5, side * ratio**0.5) for side in (128, 256, 512) for ratio in (0.5, 1.0, 2.0))
# The paper has suppression look at 6,000 boxes: 2,000 squared are as much as a phone can compare.
PUBLISHED = Form("vgg", 16, ANCHORS, 512, candidates=2000, proposals=300, samples=128, units=4096, each=True)
DIGITS = ((14, 28), (18, 22), (20, 40), (25, 31), (28, 56), (36, 44))  # of 22 to 52 pixels, higher than wide
SMALL = Form("small", 8, DIGITS, 64, candidates=300, proposals=64, samples=48, units=128, each=False)
# Maps and stride of each convolution of the backbone for small pictures.
SMALL_STAGES = ((16, 2), (32, 2), (32, 1), (64, 2), (96, 1), (96, 1))


def faster_rcnn(form: Form, input_shape: Shape, classes: int, *, width: float = 1.0, anchors: str = "") -> Any:
    """Convolutions, the regions that a small network over their maps proposes, and two dense layers over each region.

    What is answered for a picture follows from it alone. The true boxes, a second input, decide what is learnt from: the
    losses are inside, and compiling needs none.

    Args:
        width: every number of maps and hidden units is multiplied by it.
        anchors: nine sizes in pixels of the input as `10x13,16x30,...`, width first; empty for the network's own.
    Shapes: `image` [B, H, W, C], `truth` [B, M, 6] as annotations are -> `predictions` [B, R, 4 + classes] as
        `layers.RegionPredictions` says, `losses` [B, 4]: objectness and offsets of anchors, classes and offsets of
        regions.
    Raises:
        ValueError: the anchors are no nine sizes.
    Source: Ren et al. 2015: figure 2, sections 3.1 to 3.3; VGG-16 under the names of `models.vgg`, so that its weights fit.
    """
    size = input_shape[:2]
    sizes = [one for row in parse_anchors(anchors) for one in row] if anchors else form.anchors
    truth = keras.Input((None, 6), name="truth", dtype="float32")
    image, maps = _vgg(input_shape, width) if form.backbone == "vgg" else _small(input_shape, width)

    # The losses are taken from logits in float32, whatever the rest is computed in.
    x = conv_unit(maps, scaled(form.maps, width), 3, "proposal_conv")
    count = len(sizes)
    exact: dict[str, Any] = {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.01), "dtype": "float32"}
    objectness = keras.layers.Conv2D(count, 1, name="objectness", **exact)(x)
    offsets = keras.layers.Conv2D(4 * count, 1, name="offsets", **exact)(x)
    grid = layers.AnchorGrid(form.stride, sizes, name="anchors")(maps)
    propose = layers.RegionProposals(size, form.candidates, form.proposals, name="proposals")
    proposals = propose([grid, objectness, offsets])
    samples = min(form.samples, proposals.shape[1])
    sampling = layers.RegionSampling(size, classes, samples, name="sampled")
    regions, labels, boxes = sampling([proposals, truth])

    look = _head(form, classes, width)
    predictions = layers.RegionPredictions(size, name="predictions")([*look(maps, proposals, "vectors"), proposals])
    first = layers.ProposalLosses(size, name="proposal_losses")([grid, objectness, offsets, truth])
    second = layers.RegionLosses(name="region_losses")([*look(maps, regions, "sampled_vectors"), regions, labels, boxes])
    losses = keras.layers.Concatenate(name="losses", dtype="float32")([first, second])
    outputs = {"predictions": predictions, "losses": losses}
    return keras.Model({"image": image, "truth": truth}, outputs, name="faster_rcnn")


def _vgg(input_shape: Shape, width: float) -> tuple[Any, Any]:
    """The input, and VGG-16 up to its last convolution."""

    def pool(x: Any, name: str) -> Any:
        return x if name == "block5_pool" else halved(x, name)

    image, x = centred(input_shape)
    return image, convolutions(x, D, width, pool)[-1]


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
    units = scaled(form.units, width)
    hidden = [activated(keras.layers.Dense, units, activation="relu", name=name) for name in ("fc1", "fc2")]
    start = keras.initializers.RandomNormal
    logits = keras.layers.Dense(classes + 1, kernel_initializer=start(stddev=0.01), dtype="float32", name="logits")
    number = 4 * classes if form.each else 4
    moves = keras.layers.Dense(number, kernel_initializer=start(stddev=0.001), dtype="float32", name="region_offsets")

    def look(maps: Any, regions: Any, name: str) -> list[Any]:
        x = keras.layers.Reshape((regions.shape[1], -1), name=name)(align([maps, regions]))
        for layer in hidden:
            x = layer(x)
        return [logits(x), moves(x)]

    return look


PAPER = "Ren, He, Girshick, Sun: Faster R-CNN: Towards real-time object detection with region proposal networks. NIPS 2015"
# Section 3.1.3 and the published settings: one picture a step there, two here.
PHOTOS = Recipe(
    loss="faster_rcnn",
    epochs=16,
    batch_size=2,
    optimizer="momentum",
    learning_rate=1e-3,
    schedule="step",
    weight_decay=5e-4,
    clip_norm=10.0,
    augment="flip",
)
SMALL_PHOTOS = Recipe(
    loss="faster_rcnn",
    epochs=60,
    batch_size=16,
    image_size=256,
    warmup=1.0,
    clip_norm=10.0,
    augment="boxes",
    clean_epochs=0.2,
    options={"anchors": "kmeans"},
)
SCENES = Recipe(loss="faster_rcnn", epochs=10, batch_size=16, image_size=128, clip_norm=10.0)

SPECS = [
    ModelSpec(
        name=name,
        title=title,
        year=2015,
        paper=PAPER,
        build=partial(faster_rcnn, form),
        input_shape=input_shape,
        classes=classes,
        min_size=32,
        parameters=parameters,
        fixed_parameters=fixed,
        macs=macs,
        objective="detection",
        targets="truth",
        losses=("faster_rcnn",),
        recipes={"*": photos, "scenes": SCENES},
        reached=reached,
    )
    for name, title, form, input_shape, classes, photos, parameters, fixed, macs, reached in (
        ("faster_rcnn", "Faster R-CNN on VGG-16", PUBLISHED, (600, 800, 3), 20, PHOTOS, 137_057_234, 0, 187_499_673_600, {}),
        (
            "faster_rcnn_small",
            "Faster R-CNN for small pictures",
            SMALL,
            (128, 128, 3),
            10,
            SMALL_PHOTOS,
            849_597,
            672,
            110_387_200,
            {"scenes": 99.44},
        ),
    )
]
