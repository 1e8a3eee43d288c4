"""Trained network -> inference graph. What is evaluated, exported, verified and measured is this one graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.images import GREY
from app.release import HEAD
from models import layers
from models.lazy import keras

INPUT = "image"
MAIN = "logits"
PREDICTIONS = "predictions"  # of a detector

# Of a detector's finished outputs: how many boxes leave suppression, with which score at least, and what two of a class may
# share. A higher least score costs mean precision: its curve goes on to where hardly any box is right.
MOST_BOXES, LEAST_SCORE, OVERLAP = 200, 0.005, 0.5
# What enters it: a tenth of what is predicted. Every object is found from several places, so pictures that are full of
# them need many; small pictures have no room for so many objects, and each costs time.
CANDIDATES, FEWEST_CANDIDATES = 768, 256


def inference_model(network: Any, objective: str, *, bare: bool = False) -> Any:
    """The network with everything a client needs inside: RGB pixels in, finished outputs out.

    Args:
        bare: take the network's own channels, which is one for grey networks: for microcontrollers.
    Shapes: `image` float32 [B, H, W, 3] in 0..255 -> classification: `probabilities` [B, classes]; segmentation: `masks`
        [B, H, W, classes], probabilities too; detection: `boxes` [B, N, 4] of ymin, xmin, ymax, xmax as fractions, `classes`
        and `scores` [B, N], the surest first, and `count` [B] of those that are boxes.
    """
    network = main_path(network)
    height, width, channels = network.input_shape[1:]
    image = keras.Input((height, width, channels if bare else 3), name=INPUT, dtype="float32")
    x = image if bare or channels == 3 else grey_front()(image)
    return keras.Model(image, FINISH[objective](network, x), name=network.name)


def dense_model(network: Any) -> Any:
    """The inference graph for pictures of any size: slid over the picture, its logits averaged over all places.

    Shapes: `image` float32 [B, any, any, 3] in 0..255 -> `probabilities` [B, classes].
    Raises:
        ValueError: the network has layers that no other size fits.
    Source: Simonyan and Zisserman 2014, section 3.2; Sermanet et al. 2014, section 3.5.
    """
    network = main_path(network)
    image = keras.Input((None, None, 3), name=INPUT, dtype="float32")
    x = image if network.input_shape[3] == 3 else grey_front()(image)
    logits = _convolutional(network)(x, training=False)
    if len(logits.shape) == 4:
        logits = keras.layers.GlobalAveragePooling2D(name="places")(logits)
    return keras.Model(image, _probabilities(logits), name=network.name)


def _convolutional(network: Any) -> Any:
    """The network with what comes after its flattening as convolutions of the same weights, and no fixed size."""
    kernels: dict[str, tuple[int, ...]] = {}  # rows, columns and channels that each dense layer sees
    maps: tuple[int, ...] | None = None
    for layer in network.layers:
        if isinstance(layer, keras.layers.Flatten):
            maps = layer.input.shape[1:]
        elif isinstance(layer, keras.layers.Dense) and maps:
            rows, columns = maps[:2]
            kernels[layer.name] = (rows, columns, layer.kernel.shape[0] // (rows * columns))
            maps = (1, 1)
        elif isinstance(layer, keras.layers.Reshape | keras.layers.RNN):
            raise ValueError(f"its layer {layer.name} takes pictures of one size alone")

    def copy(layer: Any) -> Any:
        if isinstance(layer, keras.layers.Flatten):
            return keras.layers.Identity(name=layer.name)
        if layer.name not in kernels:
            return layer.__class__.from_config(layer.get_config())
        size = kernels[layer.name][:2]
        return keras.layers.Conv2D(layer.units, size, activation=layer.activation, use_bias=layer.use_bias, name=layer.name)

    image = keras.Input((None, None, network.input_shape[3]), dtype="float32")
    twin = keras.models.clone_model(network, input_tensors=image, clone_function=copy)
    for layer in [layer for layer in network.layers if layer.weights]:
        weights = [keras.ops.convert_to_numpy(weight) for weight in layer.weights]
        if layer.name in kernels:
            weights[0] = weights[0].reshape(*kernels[layer.name], layer.units)
        twin.get_layer(layer.name).set_weights(weights)
    return twin


def main_path(network: Any) -> Any:
    """The network without what is there in training alone: auxiliary heads, and boxes that its own are compared with.

    Source: Szegedy et al. 2014, section 5; Ren et al. 2015, section 3.1.2.
    """
    if not isinstance(network.output, dict):
        return network
    main = next(network.output[name] for name in (MAIN, PREDICTIONS) if name in network.output)
    picture = network.input[INPUT] if isinstance(network.input, dict) else network.input
    return keras.Model(picture, main, name=network.name)


def heads(network: Any) -> tuple[str, ...]:
    """The names of the outputs of a network that has logits and auxiliary heads; of others: none."""
    return tuple(network.output) if isinstance(network.output, dict) and MAIN in network.output else ()


def grey_front() -> Any:
    """A layer that turns RGB into the one channel of a grey network, as `app.images` does for files.

    Shapes: [B, H, W, 3] -> [B, H, W, 1].
    """
    weights = keras.ops.convert_to_numpy(keras.ops.reshape(keras.ops.array(GREY, "float32") / sum(GREY), (1, 1, 3, 1)))
    front = keras.layers.Conv2D(1, 1, use_bias=False, trainable=False, name="grey", dtype="float32")
    front.build((None, None, None, 3))
    front.set_weights([weights])
    return front


def divided(network: Any) -> tuple[Any, Any]:
    """A detector in two: what can be computed in integers, and the rest up to the finished outputs.

    Coordinates and the choice between boxes do not survive in steps of 1/256. Nor do raw heads, whose values for places and
    for classes would share one scale: the cut is before a last convolution that has no neighbourhood, which is cheap.

    Shapes: `image` float32 [B, H, W, 3] in 0..255 -> `head0`, `head1`, ... of the network's own shapes; these -> `boxes`,
        `classes`, `scores` and `count`.
    Raises:
        ValueError: the network chooses regions on its way.
    """
    network = main_path(network)
    check_divisible(network)
    raw = _inputs(network.output)
    lasts = [end._keras_history.operation if _is_pointwise(end) else None for end in raw]
    ends = [end if last is None else _inputs(end)[0] for end, last in zip(raw, lasts, strict=True)]
    names = [f"{HEAD}{number}" for number in range(len(ends))]
    height, width, channels = network.input_shape[1:]
    image = keras.Input((height, width, 3), name=INPUT, dtype="float32")
    found = keras.Model(network.input, ends)(image if channels == 3 else grey_front()(image), training=False)
    body = keras.Model(image, dict(zip(names, found, strict=True)), name=network.name)
    taken = [keras.Input(end.shape[1:], name=name, dtype="float32") for name, end in zip(names, ends, strict=True)]
    maps = [each if last is None else last(each) for each, last in zip(taken, lasts, strict=True)]
    tail = keras.Model(dict(zip(names, taken, strict=True)), _boxes(network, maps), name=f"{network.name}_tail")
    return body, tail


def check_divisible(network: Any) -> None:
    """Refuses a detector whose choice between boxes is not at its end.

    Raises:
        ValueError: the network chooses regions on its way.
    """
    if any(isinstance(layer, layers.RegionProposals) for layer in main_path(network).layers):
        raise ValueError("it chooses regions half way through, which integers cannot tell apart")


def _is_pointwise(tensor: Any) -> bool:
    """Whether a convolution of single places gave it."""
    layer = tensor._keras_history.operation
    return isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (1, 1)


def predictions_layer(network: Any) -> Any:
    """The layer of a detector that knows what its predictions mean: `detections(predictions)` are boxes and their scores.

    Args:
        network: with one output.
    """
    return network.output._keras_history.operation


def _inputs(tensor: Any) -> list[Any]:
    """The tensors that the layer of a tensor was given for it; it may be a layer of many places."""
    history = tensor._keras_history
    return list(history.operation._inbound_nodes[history.node_index].input_tensors)


def _probabilities(logits: Any, name: str = "probabilities") -> dict[str, Any]:
    return {name: keras.layers.Softmax(name=name, dtype="float32")(logits)}


def _detections(network: Any, image: Any) -> dict[str, Any]:
    given = keras.Model(network.input, _inputs(network.output))(image, training=False)
    return _boxes(network, given if isinstance(given, list) else [given])


def _boxes(network: Any, given: list[Any]) -> dict[str, Any]:
    """From what the layer of predictions is given to the finished outputs."""
    layer = predictions_layer(network)
    if isinstance(layer, layers.AnchorPredictions):
        candidates = _candidates(network.output.shape[1])
        # Every candidate is a class of one of the best places, of which there are no more than candidates.
        boxes, scores = layers.BestAnchorPredictions(candidates, **layer.get_config())(given)
    else:
        boxes, scores = layer.detections(layer(given if len(given) > 1 else given[0]))
        candidates = _candidates(boxes.shape[1])
    suppression = layers.NonMaxSuppression(candidates, MOST_BOXES, LEAST_SCORE, OVERLAP, name="detections")
    found: dict[str, Any] = suppression(boxes, scores)
    return found


def _candidates(places: int) -> int:
    return min(CANDIDATES, max(FEWEST_CANDIDATES, places // 10))


FINISH: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "classification": lambda network, image: _probabilities(network(image, training=False)),
    "detection": _detections,
    "segmentation": lambda network, image: _probabilities(network(image, training=False), "masks"),
}
