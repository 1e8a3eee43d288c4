"""Training for eight bits: the network computes as its int8 file will, and learns to live with that.

Kernels are rounded as the converter rounds them, one scale a channel; so is what the file stores between its operations:
not what the converter joins with the next one, as a convolution, its batch normalisation and its rectifier.
"""

from __future__ import annotations

from typing import Any

import keras

from app.config import TrainConfig
from app.deploy import main_path
from app.errors import UserError
from app.train.network import build_network
from models import layers

# What computes with a kernel.
KERNELS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense, layers.HandConv2D)
# What gives values of its input's, so that nothing is rounded anew.
CHOOSING = (
    keras.layers.MaxPooling2D,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.ZeroPadding2D,
    keras.layers.Dropout,
    keras.layers.Identity,
    layers.IdentityShortcut,
    layers.Maxout,
    layers.HandMaxPool2D,
    layers.HandMinPool2D,
)
# What gives new values, in the scale of its input's.
AVERAGING = (keras.layers.AveragePooling2D,)
# What computes something new.
COMPUTING = (
    keras.layers.Rescaling,
    keras.layers.BatchNormalization,
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.Multiply,
    keras.layers.Concatenate,
    keras.layers.GlobalAveragePooling2D,
    layers.HandAveragePool2D,
)
RECTIFIERS = (keras.activations.relu, keras.activations.relu6)
# Ranges that the format prescribes for the results of these functions.
FIXED = {keras.activations.sigmoid: (0.0, 255 / 256), keras.activations.tanh: (-1.0, 127 / 128)}


def check_quantisable(config: TrainConfig) -> None:
    """Refuses networks whose layers compute inside in ways that are not followed here. Needs no data.

    Raises:
        UserError: names the first such layer.
    """
    smallest = build_network(config, (config.spec.min_size, config.spec.min_size, 3), 2)
    for layer in main_path(smallest).layers:
        if not isinstance(layer, (keras.layers.InputLayer, *KERNELS, *CHOOSING, *AVERAGING, *COMPUTING)):
            other = isinstance(layer, layers.LocalResponseNormalization) and "normalisation" in config.spec.options
            advice = "give --set normalisation=batch" if other else "leave the flag out"
            raise UserError(f"--qat is not for {config.model}: it has a {type(layer).__name__} ({layer.name}); {advice}")


def fake_quantised(network: Any) -> Any:
    """The network as its int8 file computes, to be trained in its place: the weights are the same variables.

    Auxiliary heads, which no file has, stay as they are. From now on the network itself is good for its weights alone: its
    layers give away the functions that the file computes by themselves.
    """
    deployed = main_path(network).layers
    followers = _followers(deployed)
    stored = {layer.name for layer in deployed if _is_stored(layer, followers[layer.name])}
    shifts = {followers[layer.name][0].name: layer.offset for layer in deployed if _is_folded(layer, followers[layer.name])}
    grids: dict[int, Any] = {}  # what rounded a tensor

    def rounded(tensor: Any, name: str, function: Any = None) -> Any:
        grid = layers.FakeQuantisation(fixed=FIXED.get(function), name=f"{name}_stored")
        tensor = grid(tensor)
        grids[id(tensor)] = grid
        return tensor

    def place(layer: Any, *inputs: Any, **settings: Any) -> Any:
        if layer.name not in followers:
            return layer(*inputs, **settings)
        if isinstance(layer, KERNELS):
            function = _function(layer)
            if apart := function not in (None, *RECTIFIERS):
                layer.activation = keras.activations.linear
            outputs = layers.FakeQuantisedKernel(layer, shifts.get(layer.name), name=f"{layer.name}_int8")(*inputs)
            if apart:
                outputs = keras.layers.Activation(function, name=f"{layer.name}_function")(rounded(outputs, layer.name))
                return rounded(outputs, f"{layer.name}_function", function)
        else:
            outputs = layer(*inputs, **settings)
        grid = grids.get(id(inputs[0]))
        if isinstance(layer, AVERAGING) and grid is not None:
            outputs = grid(outputs, track=False)
        elif layer.name in stored:
            return rounded(outputs, layer.name, _function(layer))
        if isinstance(layer, (*CHOOSING, *AVERAGING)) and grid is not None:
            grids[id(outputs)] = grid
        return outputs

    return keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=place)


def _followers(deployed: list[Any]) -> dict[str, list[Any]]:
    """The layers that take what a layer gives, by its name."""
    givers = {id(layer.output): layer.name for layer in deployed}
    found: dict[str, list[Any]] = {layer.name: [] for layer in deployed}
    for layer in deployed:
        if not isinstance(layer, keras.layers.InputLayer):
            for tensor in keras.tree.flatten(layer.input):
                found[givers[id(tensor)]].append(layer)
    return found


def _is_stored(layer: Any, followers: list[Any]) -> bool:
    """Whether the file has a tensor of its own for what the layer gives."""
    if isinstance(layer, (keras.layers.InputLayer, *CHOOSING)) or _is_folded(layer, followers):
        return False
    if len(followers) != 1:
        return True
    [follower] = followers
    if isinstance(layer, KERNELS) and isinstance(follower, keras.layers.BatchNormalization):
        return _function(layer) is not None
    # A rectifier is a part of the operation before it; what is concatenated is stored in the scale of the whole.
    rectified = isinstance(follower, keras.layers.Activation) and _function(follower) in RECTIFIERS
    return not (rectified or isinstance(follower, keras.layers.Concatenate))


def _is_folded(layer: Any, followers: list[Any]) -> bool:
    """Whether a layer scales the pixels of one convolution without padding, which can do it by its own weights."""
    if not isinstance(layer, keras.layers.Rescaling) or len(followers) != 1:
        return False
    [follower] = followers
    adds = type(follower) is keras.layers.Conv2D and (follower.use_bias or _function(follower) is None)
    return adds and follower.padding == "valid"


def _function(layer: Any) -> Any:
    """The activation function of a layer, if it has one that does something."""
    function = getattr(layer, "activation", None)
    return None if function is keras.activations.linear else function
