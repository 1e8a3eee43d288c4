"""Residual networks: those for ImageNet, those for CIFAR-10, the form that keras.applications publishes, and the plain ones."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from models import layers
from models.blocks import centred, conv_unit, is_small, picture, scaled
from models.lazy import keras
from models.spec import ModelSpec, Recipe, Shape


@dataclass(frozen=True)
class Table:
    """A column of the paper's table.

    Args:
        blocks: how many in conv2_x, conv3_x and so on; each of these has half the pixels of the one before, and twice the maps.
        maps: of conv1 and conv2_x.
        bottleneck: blocks of 1x1, 3x3 and 1x1 convolutions, of two 3x3 else.
        shortcut: where the shape changes, a 1x1 projection (option B) or zeros for the new channels (option A); "none":
            no shortcuts anywhere, a plain network.
        tiny: made for 32 pixels: conv1 is 3x3, whatever the pictures are.
        published: the form of the weights of keras.applications: blocks halve in their first 1x1 convolution,
            convolutions have biases, colours have ImageNet's means taken off.
    """

    blocks: tuple[int, ...]
    maps: int = 64
    bottleneck: bool = False
    shortcut: Literal["projection", "zeros", "none"] = "projection"
    tiny: bool = False
    published: bool = False


RESNET18 = Table((2, 2, 2, 2))
RESNET34 = Table((3, 4, 6, 3))
RESNET50 = Table((3, 4, 6, 3), bottleneck=True)
RESNET101 = Table((3, 4, 23, 3), bottleneck=True)
RESNET152 = Table((3, 8, 36, 3), bottleneck=True)


def cifar(depth: int, shortcut: Literal["zeros", "none"] = "zeros") -> Table:
    """The table of section 4.2: three stages of (depth - 2) / 6 blocks."""
    return Table(((depth - 2) // 6,) * 3, maps=16, shortcut=shortcut, tiny=True)


def _published(table: Table) -> Table:
    return replace(table, published=True)


def resnet(table: Table, input_shape: Shape, classes: int, *, width: float = 1.0, squeeze: int = 0) -> Any:
    """Convolutions whose blocks learn what to add to their input.

    Blocks of 50 layers and more halve in their 3x3 convolution, where the paper has the 1x1 before it, which leaves three
    quarters of the pixels unseen; published weights are as the paper. The last scale of a block starts from one, not from
    zero (Goyal et al. 2017), so that a gradient reaches every kernel from the first step.

    Args:
        width: every number of maps is multiplied by it.
        squeeze: channels of each block are weighed by a squeeze-and-excitation of this reduction ratio; 0: they are not.
    Shapes: [B, H, W, C] -> [B, classes]; at 224x224: conv1 112, conv2_x 56, conv3_x 28, conv4_x 14, conv5_x 7 pixels. Small
        pictures keep their size as far as conv2_x.
    Raises:
        ValueError: `squeeze` is negative.
    Source: He, Zhang, Ren, Sun 2015, table 1 and section 4.2; Hu, Shen, Sun 2018, figure 3.
    """
    if squeeze < 0:
        raise ValueError(f"a reduction ratio of {squeeze}; give 1 or more, or 0 for no squeeze-and-excitation")
    image, x = centred(input_shape) if table.published else picture(input_shape)
    x = _stem(table, x, scaled(table.maps, width), small=table.tiny or is_small(input_shape))
    for stage, blocks in enumerate(table.blocks, start=2):
        maps = scaled(table.maps * 2 ** (stage - 2), width)
        for block in range(1, blocks + 1):
            x = _block(table, x, maps, f"conv{stage}_{block}", strides=2 if stage > 2 and block == 1 else 1, squeeze=squeeze)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    return keras.Model(image, keras.layers.Dense(classes, name="logits")(x), name="resnet")


def _stem(table: Table, x: Any, maps: int, *, small: bool) -> Any:
    """conv1 and its pooling: a quarter of the side, or all of it for small pictures, by one 3x3 convolution."""
    if small:
        return _unit(table, x, maps, 3, "conv1")
    if not table.published:
        x = _unit(table, x, maps, 7, "conv1", strides=2)
        return keras.layers.MaxPooling2D(3, 2, padding="same", name="pool1")(x)
    # Published weights were learnt with the same margin on every side; "same" has less of it at the top and left.
    x = keras.layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = _unit(table, x, maps, 7, "conv1", strides=2, padding="valid")
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return keras.layers.MaxPooling2D(3, 2, name="pool1")(x)


def _block(table: Table, x: Any, maps: int, name: str, *, strides: int, squeeze: int) -> Any:
    """A building block of figure 5, or without its shortcut."""
    convolutions: tuple[tuple[int, int, int], ...]  # size, maps, stride
    if table.bottleneck:
        first, second = (strides, 1) if table.published else (1, strides)
        convolutions = ((1, maps, first), (3, maps, second), (1, 4 * maps, 1))
    else:
        convolutions = ((3, maps, strides), (3, maps, 1))
    y = x
    for number, (size, filters, step) in enumerate(convolutions, start=1):
        last = number == len(convolutions)
        y = _unit(table, y, filters, size, f"{name}_{number}", strides=step, activation=None if last else "relu")
    if squeeze:
        y = _squeezed(y, squeeze, f"{name}_squeeze")
    if table.shortcut != "none":
        y = keras.layers.Add(name=f"{name}_add")([_shortcut(table, x, y.shape[-1], f"{name}_shortcut", strides), y])
    return keras.layers.Activation("relu", name=f"{name}_relu")(y)


def _shortcut(table: Table, x: Any, channels: int, name: str, strides: int) -> Any:
    """The block's input, in the shape of its output."""
    if strides == 1 and x.shape[-1] == channels:
        return x
    if table.shortcut == "zeros":
        return layers.IdentityShortcut(channels, strides, name=name)(x)
    return _unit(table, x, channels, 1, name, strides=strides, activation=None)


def _squeezed(x: Any, ratio: int, name: str) -> Any:
    """The channels, each times a share that follows from the means of all.

    Without biases, as the paper's equation 5 counts the weights.
    """
    channels = x.shape[-1]
    share = keras.layers.GlobalAveragePooling2D(keepdims=True, name=name)(x)
    hidden: dict[str, Any] = {"activation": "relu", "kernel_initializer": "he_normal", "use_bias": False}
    share = keras.layers.Conv2D(max(1, channels // ratio), 1, name=f"{name}_down", **hidden)(share)
    share = keras.layers.Conv2D(channels, 1, activation="sigmoid", use_bias=False, name=f"{name}_up")(share)
    return keras.layers.Multiply(name=f"{name}_scale")([x, share])


def _unit(table: Table, x: Any, filters: int, size: int, name: str, **settings: Any) -> Any:
    """A convolution and its batch normalisation, whose statistics follow quickly enough for short trainings."""
    epsilon = 1.001e-5 if table.published else 1e-5
    form: dict[str, Any] = {"normalisation": "batch", "use_bias": table.published, "epsilon": epsilon, "momentum": 0.9}
    return conv_unit(x, filters, size, name, **form, **settings)


PAPER = "He, Zhang, Ren, Sun: Deep residual learning for image recognition. CVPR 2016, arXiv:1512.03385"
DIGITS = Recipe(epochs=10, batch_size=32, learning_rate=2e-3, weight_decay=0.02, augment="digits", clean_epochs=0.1)
LONG_DIGITS = replace(DIGITS, epochs=30, warmup=2.0, clip_norm=1.0)  # a deep plain network is slow to leave chance
MNIST = Recipe(epochs=10, learning_rate=2e-3, weight_decay=0.02, label_smoothing=0.05, augment="digits", clean_epochs=0.1)
PHOTOS = Recipe(epochs=30, batch_size=32, learning_rate=1e-3, weight_decay=0.05, label_smoothing=0.1, augment="photos")
# Section 4.2: batches of 128, a rate of .1 that falls to a tenth twice in 64,000 steps, decay of .0001, shifts of 4 pixels and
# mirroring. Decay is decoupled from the gradient here, and the momentum of .9 does not add up its steps: ten times as much.
SECTION_4_2 = Recipe(
    epochs=164, optimizer="momentum", learning_rate=0.1, schedule="step", warmup=1.0, weight_decay=1e-3, augment="crop+flip"
)
CIFAR10 = replace(SECTION_4_2, epochs=100, optimizer="nesterov", schedule="cosine", weight_decay=5e-3)


FOR_IMAGENET = {
    "input_shape": (224, 224, 3),
    "classes": 1000,
    "min_size": 16,  # conv5_x has 2x2 pixels of them; 8x8 digits would leave it a single one
    "recipes": {"*": PHOTOS, "digits": DIGITS, "mnist": MNIST, "cifar10": CIFAR10},
}
FOR_CIFAR = {
    "input_shape": (32, 32, 3),
    "classes": 10,
    "min_size": 16,  # conv4_x has 4x4 pixels of them, the least that a 3x3 kernel sees more of than its padding
    "recipes": {"*": replace(PHOTOS, learning_rate=2e-3), "digits": DIGITS, "mnist": MNIST, "cifar10": SECTION_4_2},
}


def _spec(name: str, title: str, table: Table, parameters: int, statistics: int, macs: int) -> ModelSpec:
    form: dict[str, Any] = dict(FOR_CIFAR if table.tiny else FOR_IMAGENET)
    if name == "plain56":
        form["recipes"] = {**form["recipes"], "digits": LONG_DIGITS}
    return ModelSpec(
        name=name,
        title=title,
        year=2015,
        paper=PAPER,
        build=partial(resnet, table),
        parameters=parameters,
        fixed_parameters=statistics,
        macs=macs,
        **form,
    )


KERAS = "ResNet-{} as keras.applications has it, for its weights"

SPECS = [
    _spec("resnet18", "ResNet-18", RESNET18, 11_689_512, 9_600, 1_814_073_344),
    _spec("resnet34", "ResNet-34", RESNET34, 21_797_672, 17_024, 3_663_761_408),
    _spec("resnet50", "ResNet-50", RESNET50, 25_557_032, 53_120, 4_089_184_256),
    _spec("resnet101", "ResNet-101", RESNET101, 44_549_160, 105_344, 7_801_405_440),
    _spec("resnet152", "ResNet-152", RESNET152, 60_192_808, 151_424, 11_513_626_624),
    _spec("resnet50_keras", KERAS.format("50"), _published(RESNET50), 25_583_592, 53_120, 3_857_973_248),
    _spec("resnet101_keras", KERAS.format("101"), _published(RESNET101), 44_601_832, 105_344, 7_570_194_432),
    _spec("resnet152_keras", KERAS.format("152"), _published(RESNET152), 60_268_520, 151_424, 11_282_415_616),
    _spec("resnet20", "ResNet-20 for small pictures", cifar(20), 269_722, 1_376, 40_551_040),
    _spec("resnet32", "ResNet-32 for small pictures", cifar(32), 464_154, 2_272, 68_862_592),
    _spec("resnet44", "ResNet-44 for small pictures", cifar(44), 658_586, 3_168, 97_174_144),
    _spec("resnet56", "ResNet-56 for small pictures", cifar(56), 853_018, 4_064, 125_485_696),
    _spec("resnet110", "ResNet-110 for small pictures", cifar(110), 1_727_962, 8_096, 252_887_680),
    _spec("plain20", "ResNet-20 without its shortcuts", cifar(20, "none"), 269_722, 1_376, 40_551_040),
    _spec("plain56", "ResNet-56 without its shortcuts", cifar(56, "none"), 853_018, 4_064, 125_485_696),
]
