"""Trained network -> inference graph. What is evaluated, exported, verified and measured is this one graph."""

from __future__ import annotations

from typing import Any

from app.images import GREY
from models.lazy import keras

INPUT, MAIN = "image", "logits"


def inference_model(network: Any, objective: str) -> Any:
    """The network with everything a client needs inside: RGB pixels in, finished outputs out.

    Shapes: `image` float32 [B, H, W, 3] in 0..255 -> classification: `probabilities` [B, classes].
    """
    network = main_path(network)
    height, width, channels = network.input_shape[1:]
    image = keras.Input((height, width, 3), name=INPUT, dtype="float32")
    x = image if channels == 3 else grey_front()(image)
    return keras.Model(image, FINISH[objective](network(x, training=False)), name=network.name)


def main_path(network: Any) -> Any:
    """The network without its auxiliary heads, which are there in training alone: one tensor of logits.

    Source: Szegedy et al. 2014, section 5.
    """
    if not isinstance(network.output, dict):
        return network
    return keras.Model(network.input, network.output[MAIN], name=network.name)


def heads(network: Any) -> tuple[str, ...]:
    """The names of the outputs of a network that has several; of one that has only its logits: none."""
    return tuple(network.output) if isinstance(network.output, dict) else ()


def grey_front() -> Any:
    """A layer that turns RGB into the one channel of a grey network, as `app.images` does for files.

    Shapes: [B, H, W, 3] -> [B, H, W, 1].
    """
    weights = keras.ops.convert_to_numpy(keras.ops.reshape(keras.ops.array(GREY, "float32") / sum(GREY), (1, 1, 3, 1)))
    front = keras.layers.Conv2D(1, 1, use_bias=False, trainable=False, name="grey", dtype="float32")
    front.build((None, None, None, 3))
    front.set_weights([weights])
    return front


def _probabilities(logits: Any) -> dict[str, Any]:
    return {"probabilities": keras.layers.Softmax(name="probabilities", dtype="float32")(logits)}


FINISH = {"classification": _probabilities}
