"""OverFeat: a classifier of windows, slid over pictures of several sizes by convolution."""

from functools import partial
from typing import Any, NamedTuple

from models import layers
from models.blocks import initializer, picture, scaled
from models.lazy import keras
from models.spec import ModelSpec, Recipe, Shape


class Stage(NamedTuple):
    """A convolution, and whether the largest of each 2x2 places is kept after it."""

    maps: int
    size: int
    strides: int = 1
    padding: str = "valid"
    pooled: bool = False


class Form(NamedTuple):
    """A table of the paper, or ours for small pictures.

    Args:
        classifier, regressor: units of the hidden layers over a window's last maps; the first sees all of a window's places.
        places: rows and columns of a window's last maps.
        scales: of the pyramid, as the option.
        margin: pixels put around each level, so that windows stand over what lies at the picture's edge.
    """

    stages: tuple[Stage, ...]
    classifier: tuple[int, int]
    regressor: tuple[int, int]
    places: int
    scales: tuple[float, ...]
    margin: int = 0
    normalised: bool = False

    @property
    def window(self) -> int:
        """Side in pixels of what one answer is given for: back from the last maps through every stage."""
        side = self.places
        for stage in reversed(self.stages):
            side = 2 * side if stage.pooled else side
            side = side if stage.padding == "same" else (side - 1) * stage.strides + stage.size
        return side

    @property
    def stride(self) -> int:
        """Pixels from one window to the next."""
        steps = 1
        for stage in self.stages:
            steps *= stage.strides * (2 if stage.pooled else 1)
        return steps


# Table 1 of the paper, and its section 4.1 for the regressor.
FAST = Form(
    stages=(
        Stage(96, 11, strides=4, pooled=True),
        Stage(256, 5, pooled=True),
        Stage(512, 3, padding="same"),
        Stage(1024, 3, padding="same"),
        Stage(1024, 3, padding="same", pooled=True),
    ),
    classifier=(3072, 4096),
    regressor=(4096, 1024),
    places=6,
    scales=(1.06, 1.22, 1.37, 1.68, 1.84, 2.0),  # table 5: the picture's shorter side is 245, 281, 317, 389, 425 and 461
)
SMALL = Form(
    stages=(Stage(16, 3), Stage(16, 3, pooled=True), Stage(32, 3), Stage(32, 3, pooled=True)),
    classifier=(128, 128),
    regressor=(64, 64),
    places=3,
    scales=(4.0, 3.0, 2.25),
    margin=6,
    normalised=True,
)


def overfeat(form: Form, input_shape: Shape, classes: int, *, width: float = 1.0, scales: str = "") -> Any:
    """The picture in several sizes, and for every window of each its class, or background, and the box of what it shows.

    Dense layers over a window are convolutions over the maps of all windows, so that what neighbours share is computed
    once. All levels have the same weights.

    Args:
        width: every number of maps and hidden units is multiplied by it.
        scales: the picture's shorter side at each level, in sides of a window, as `4,3,2.25`; empty for the network's own.
            An object is found at the level where it fills about four fifths of a window.
    Shapes: [B, H, W, C] -> predictions [B, P, 4 + classes + 1] as `layers.WindowPredictions` says.
    Raises:
        ValueError: the scales are no numbers of at least 1.
    Source: Sermanet et al. 2014, table 1, sections 3.3, 3.5 and 4. The paper slides with a finer stride by pooling at
        three offsets along each side (section 3.3), which is left out; and its classifier has no background until it
        detects (section 5).
    """
    size = input_shape[:2]
    image, x = picture(input_shape)
    shared = _features(form, width)
    classifier = _answers(form, form.classifier, classes + 1, width, ("fc6", "fc7", "logits"))
    regressor = _answers(form, form.regressor, 4, width, ("box6", "box7", "edges"))
    grids: list[Any] = []
    levels = []
    for number, scale in enumerate(parse_scales(scales) or form.scales, start=1):
        height, across = (max(form.window, round(scale * form.window * side / min(size))) for side in size)
        level = layers.PyramidLevel(height, across, name=f"level{number}")(x)
        if form.margin:
            rest = [-(side + 2 * form.margin - form.window) % form.stride for side in (height, across)]
            around = tuple((form.margin, form.margin + more) for more in rest)  # the last windows reach the edges
            level = keras.layers.ZeroPadding2D(around, name=f"margin{number}")(level)
        maps = _through(shared, level)
        grids += [_through(classifier, maps), _through(regressor, maps)]
        levels.append((height, across, form.margin, *grids[-1].shape[1:3]))
    predictions = layers.WindowPredictions(size, form.window, form.stride, levels, name="predictions")(grids)
    return keras.Model(image, predictions, name="overfeat")


def parse_scales(text: str) -> tuple[float, ...]:
    """Scales written as `4,3,2.25`; none for an empty text.

    Raises:
        ValueError: they are no numbers of at least 1.
    """
    try:
        found = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        found = (0.0,)
    if not all(1 <= scale < 100 for scale in found):
        raise ValueError(f"scales '{text}' are no numbers from 1 to 100 as in 4,3,2.25")
    return found


def _features(form: Form, width: float) -> list[Any]:
    """The layers that classifier and regressor share."""
    found: list[Any] = []
    for number, stage in enumerate(form.stages, start=1):
        found += _unit(scaled(stage.maps, width), stage.size, f"conv{number}", form, stage.strides, stage.padding)
        if stage.pooled:
            found.append(keras.layers.MaxPooling2D(2, name=f"pool{number}"))
    return found


def _answers(form: Form, units: tuple[int, int], outputs: int, width: float, names: tuple[str, str, str]) -> list[Any]:
    """Dense layers over each window, as convolutions: the first over all its places, the others over one."""
    first, second, last = names
    # Logits and edges are in float32, whatever the rest is computed in.
    start = keras.initializers.RandomNormal(stddev=0.01)
    return [
        *_unit(scaled(units[0], width), form.places, first, form),
        *_unit(scaled(units[1], width), 1, second, form),
        keras.layers.Conv2D(outputs, 1, kernel_initializer=start, name=last, dtype="float32"),
    ]


def _unit(maps: int, size: int, name: str, form: Form, strides: int = 1, padding: str = "valid") -> list[Any]:
    """A convolution, its normalisation and its rectifier, to be used at every level."""
    convolution = keras.layers.Conv2D(
        maps, size, strides, padding, use_bias=not form.normalised, kernel_initializer=initializer("relu"), name=name
    )
    normalisation = [keras.layers.BatchNormalization(momentum=0.97, name=f"{name}_bn")] if form.normalised else []
    return [convolution, *normalisation, keras.layers.Activation("relu", name=f"{name}_relu")]


def _through(stack: list[Any], x: Any) -> Any:
    for layer in stack:
        x = layer(x)
    return x


PAPER = (
    "Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun: OverFeat: Integrated recognition, localization and detection using "
    "convolutional networks. ICLR 2014 (arXiv:1312.6229)"
)
# Section 3.2.
PHOTOS = Recipe(
    loss="overfeat",
    epochs=80,
    batch_size=32,
    optimizer="momentum",
    learning_rate=5e-3,
    schedule="step",
    weight_decay=1e-5,
    clip_norm=10.0,
    augment="flip",
)
SMALL_PHOTOS = Recipe(
    loss="overfeat",
    epochs=60,
    batch_size=16,
    image_size=128,
    learning_rate=3e-3,
    clip_norm=10.0,
    augment="boxes",
    clean_epochs=0.2,
    options={"scales": "5,4,3,2.25,1.7,1.3,1"},
)
SCENES = Recipe(loss="overfeat", epochs=8, batch_size=16, image_size=128, learning_rate=4e-3, clip_norm=10.0, ema=0.99)

SPECS = [
    ModelSpec(
        name=name,
        title=title,
        year=2013,
        paper=PAPER,
        build=partial(overfeat, form),
        input_shape=input_shape,
        classes=classes,
        min_size=16,
        parameters=parameters,
        fixed_parameters=fixed,
        macs=macs,
        objective="detection",
        targets="overfeat",
        losses=("overfeat",),
        recipes={"*": photos, "scenes": SCENES},
        reached=reached,
    )
    for name, title, form, input_shape, classes, photos, parameters, fixed, macs, reached in (
        ("overfeat", "OverFeat, the fast network", FAST, (231, 231, 3), 1000, PHOTOS, 301_123_437, 0, 86_877_808_256, {}),
        (
            "overfeat_small",
            "OverFeat for small pictures",
            SMALL,
            (128, 128, 3),
            10,
            SMALL_PHOTOS,
            94_975,
            960,
            189_924_416,
            {"scenes": 99.33},
        ),
    )
]
