"""The update rules that `--optimizer` names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from app.config import TrainConfig

OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "sgd": keras.optimizers.SGD,
    "momentum": partial(keras.optimizers.SGD, momentum=0.9),
    "nesterov": partial(keras.optimizers.SGD, momentum=0.9, nesterov=True),
    "adagrad": keras.optimizers.Adagrad,
    "rmsprop": keras.optimizers.RMSprop,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
}


def make_optimizer(config: TrainConfig, learning_rate: Any, network: Any) -> Any:
    """The optimizer of a training, built for the network's weights.

    Decay is decoupled from the gradient for every rule (Loshchilov and Hutter 2019), and spares vectors: biases, and the
    scales and offsets of normalisation.
    """
    optimizer = OPTIMIZERS[config.optimizer](
        learning_rate,
        weight_decay=config.weight_decay or None,
        global_clipnorm=config.clip_norm or None,
        use_ema=config.ema > 0,
        ema_momentum=config.ema or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_list=[weight for weight in network.trainable_variables if len(weight.shape) < 2])
    return optimizer
