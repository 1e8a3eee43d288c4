"""Weights that keras.applications publishes, learnt on ImageNet, put into our networks."""

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from models.lazy import keras

IMAGENET = "imagenet"  # stands for the files that the library downloads, and keeps in ~/.keras/models
CLASSES = 1000


def _as_they_are(network: Any) -> dict[str, Any]:
    """No settings: the library has one form of this network."""
    del network
    return {}


def _width_and_size(network: Any) -> dict[str, Any]:
    """Those MobileNets of the library that are as wide as ours, learnt at the nearest size."""
    width = network.get_layer("conv1").filters / 32
    if width not in (0.25, 0.5, 0.75, 1.0):
        raise ValueError(f"there are weights for widths of .25, .5, .75 and 1; not {width:g}")
    side = min((128, 160, 192, 224), key=lambda size: abs(size - min(network.input_shape[1:3])))
    return {"alpha": width, "input_shape": (side, side, 3)}


@dataclass(frozen=True)
class Published:
    """How the library has a network of ours.

    Args:
        library: the function of keras.applications.
        names: our layers' names, as regular expressions, and what the library calls them; others have the same name.
        head: a layer of ours, an axis of its kernel, and how long that has to be for the library's head to fit.
        blue_first: the first kernel takes blue, green, red.
        settings: what else the function is told, for a network of ours.
    """

    library: str
    names: Mapping[str, str]
    head: tuple[str, int, int] = ("logits", 1, CLASSES)
    blue_first: bool = False
    settings: Callable[[Any], dict[str, Any]] = _as_they_are

    def name(self, ours: str) -> str:
        """What the library calls a layer."""
        return next((re.sub(rule, theirs, ours) for rule, theirs in self.names.items() if re.fullmatch(rule, ours)), ours)


@dataclass(frozen=True)
class Copied:
    """What became of the layers that have weights, by name."""

    started: tuple[str, ...]
    fresh: tuple[str, ...]
    grey: str = ""  # the layer whose kernel was summed over the colours


VGG = {"logits": "predictions"}
RESNET = {
    r"conv1": "conv1_conv",
    r"(conv\d)_(\d+)_(\d)": r"\1_block\2_\3_conv",
    r"(conv\d)_(\d+)_(\d)_bn": r"\1_block\2_\3_bn",
    r"(conv\d)_(\d+)_shortcut": r"\1_block\2_0_conv",
    r"(conv\d)_(\d+)_shortcut_bn": r"\1_block\2_0_bn",
    "logits": "predictions",
}
PUBLISHED = {
    "vgg_d": Published("VGG16", VGG, head=("fc1", 0, 7 * 7 * 512), blue_first=True),
    "vgg_e": Published("VGG19", VGG, head=("fc1", 0, 7 * 7 * 512), blue_first=True),
    "resnet50_keras": Published("ResNet50", RESNET, blue_first=True),
    "resnet101_keras": Published("ResNet101", RESNET, blue_first=True),
    "resnet152_keras": Published("ResNet152", RESNET, blue_first=True),
    "mobilenet": Published("MobileNet", {"logits": "conv_preds"}, settings=_width_and_size),
}


def load_imagenet(network: Any, name: str, file: Path | None = None) -> Copied:
    """Puts published weights into a network; layers of other shapes, such as a new head, stay as they are.

    Args:
        name: the network's in `PUBLISHED`.
        file: one that the library wrote; None: its own, which is downloaded unless it was before.
    Raises:
        ValueError: the file is of another network, or there are no weights for one of this width.
        OSError: the weights cannot be read, or not be downloaded.
    """
    row = PUBLISHED[name]
    settings = row.settings(network)
    build = getattr(keras.applications, row.library)
    if file:
        return copy_published(_from_file(partial(build, weights=None, **settings), network, file), network, row)
    layer, axis, length = row.head
    whole = network.get_layer(layer).kernel.shape[axis] == length
    try:
        theirs = build(weights=IMAGENET, include_top=whole, **settings)
    except Exception as error:  # the library has no other for a failed download
        raise OSError(str(error)) from error
    return copy_published(theirs, network, row)


def copy_published(theirs: Any, ours: Any, row: Published) -> Copied:
    """Copies the weights of the library's network into ours, layer by layer."""
    source = {layer.name: layer for layer in theirs.layers}
    layers = [layer for layer in ours.layers if layer.weights]
    started, grey = [], ""
    for layer in layers:
        name = row.name(layer.name)
        values = source[name].get_weights() if name in source else []
        if values and layer is layers[0]:
            if row.blue_first:
                values[0] = values[0][:, :, ::-1]
            if layer.kernel.shape[2] == 1:  # grey is red, green and blue of the same value
                values[0], grey = values[0].sum(axis=2, keepdims=True), layer.name
        if values and layer is layers[-1]:
            values[0] = values[0].reshape(values[0].shape[-2:])  # a 1x1 convolution in MobileNet's head
        if [value.shape for value in values] == [tuple(weight.shape) for weight in layer.weights]:
            layer.set_weights(values)
            started.append(layer.name)
    fresh = tuple(layer.name for layer in layers if layer.name not in started)
    return Copied(tuple(started), fresh, grey if grey in started else "")


def _from_file(build: Callable[..., Any], network: Any, file: Path) -> Any:
    """The library's network with the weights of a file, which may have its head, one for as many classes as ours, or none."""
    problems = []
    for head in ({}, {"classes": network.get_layer("logits").units}, {"include_top": False}):
        theirs = build(**head)
        try:
            with warnings.catch_warnings(action="ignore"):  # of what does not fit a head that is only tried
                theirs.load_weights(file)
            return theirs
        except (ValueError, KeyError) as error:
            problems.append(error)
    raise ValueError(str(problems[0]))
