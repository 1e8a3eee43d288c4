"""AlexNet, in one tower and in two."""

from functools import partial
from typing import Any, Literal, NamedTuple

from models import layers
from models.blocks import conv_unit, dense_head, is_small, picture, scaled
from models.lazy import keras
from models.spec import ModelSpec, Recipe, Shape


class Stage(NamedTuple):
    """A convolution and what follows it. `groups`: each sees the maps of its own tower alone."""

    filters: int
    size: int
    strides: int = 1
    padding: str = "same"
    normalised: bool = False
    pooled: bool = False
    groups: int = 1


# Figure 2 and section 3.5 of the paper, its two towers laid together.
ONE_TOWER = (
    Stage(96, 11, strides=4, padding="valid", normalised=True, pooled=True),
    Stage(256, 5, normalised=True, pooled=True),
    Stage(384, 3),
    Stage(384, 3),
    Stage(256, 3, pooled=True),
)
# As the paper has it, for want of memory: only the third convolution and the dense layers see both towers.
TWO_TOWERS = tuple(stage._replace(groups=groups) for stage, groups in zip(ONE_TOWER, (1, 2, 1, 2, 2), strict=True))
# The first convolution of small pictures; the rest is the paper's, and 32 pixels become 15, 7 and 3 by its pools.
SMALL_STEM = ONE_TOWER[0]._replace(size=5, strides=1, padding="same")


def alexnet(
    stages: tuple[Stage, ...],
    input_shape: Shape,
    classes: int,
    *,
    width: float = 1.0,
    normalisation: Literal["lrn", "batch", "none"] = "lrn",
    dropout: float = 0.0,
) -> Any:
    """Five convolutions, of which the first, second and fifth are pooled in windows that overlap, and three dense layers.

    Weights start from He's initialiser and biases from 0: the paper's (deviation .01, and 1 for biases that are to keep
    rectifiers open) suits pixels of -128..128 and this width alone; ours are of -1..1, where its response normalisation
    is gentle.

    Args:
        width: every number of maps and hidden units is multiplied by it.
        normalisation: "batch" follows every convolution, in place of the paper's normalisation after two of them.
    Shapes: [B, H, W, C] -> [B, classes]; at 227x227: conv1 55x55x96, pool1 27x27x96, conv2 27x27x256, pool2 13x13x256,
        conv3 and conv4 13x13x384, conv5 13x13x256, pool5 6x6x256, fc6 and fc7 4096.
    Source: Krizhevsky, Sutskever, Hinton 2012, section 3.5. The paper says 224, from which 55 do not follow.
    """
    image, x = picture(input_shape)
    towers = max(stage.groups for stage in stages)  # each has its share of every layer's maps, whatever the width
    stem = SMALL_STEM if is_small(input_shape) else stages[0]
    for number, stage in enumerate((stem, *stages[1:]), start=1):
        x = conv_unit(
            x,
            towers * scaled(stage.filters // towers, width),
            stage.size,
            f"conv{number}",
            strides=stage.strides,
            padding=stage.padding,
            groups=stage.groups,
            normalisation=normalisation,
            momentum=0.9,  # statistics that follow in short trainings
        )
        if stage.normalised and normalisation == "lrn":
            x = layers.LocalResponseNormalization(name=f"conv{number}_lrn")(x)
        if stage.pooled:
            x = keras.layers.MaxPooling2D(3, 2, name=f"pool{number}")(x)
    return keras.Model(image, dense_head(x, classes, scaled(4096, width), ("fc6", "fc7"), dropout=dropout), name="alexnet")


PAPER = "Krizhevsky, Sutskever, Hinton: ImageNet classification with deep convolutional neural networks. NIPS 2012"
DIGITS = Recipe(epochs=8, batch_size=32, learning_rate=5e-4, warmup=1.0, clip_norm=1.0, dropout=0.5, augment="digits")
PHOTOS = Recipe(
    epochs=30,
    batch_size=32,
    learning_rate=3e-4,
    warmup=1.0,
    weight_decay=0.05,
    clip_norm=1.0,
    dropout=0.5,
    augment="window+flip+pca_colour",  # section 4.1 of the paper
)
CIFAR10 = Recipe(epochs=30, learning_rate=5e-4, warmup=1.0, weight_decay=0.05, clip_norm=1.0, dropout=0.5, augment="crop+flip")
MNIST = Recipe(epochs=8, learning_rate=5e-4, warmup=1.0, weight_decay=0.02, clip_norm=1.0, dropout=0.5, augment="digits")

SPECS = [
    ModelSpec(
        name=name,
        title=title,
        year=2012,
        paper=PAPER,
        build=partial(alexnet, stages),
        input_shape=(227, 227, 3),
        classes=1000,
        min_size=15,  # the last pool has one whole window of 3x3
        parameters=parameters,
        macs=macs,
        recipes={"*": PHOTOS, "digits": DIGITS, "mnist": MNIST, "cifar10": CIFAR10},
    )
    for name, title, stages, parameters, macs in (
        ("alexnet", "AlexNet in one tower", ONE_TOWER, 62_378_344, 1_135_256_096),
        ("alexnet_grouped", "AlexNet in two towers", TWO_TOWERS, 60_965_224, 724_406_816),
    )
]
