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
    "adamw": keras.optimizers.Adam,  # Keras decays all of them in the way of AdamW; its own AdamW refuses to go without
}


def make_optimizer(config: TrainConfig, learning_rate: Any, network: Any, replicas: int = 1) -> Any:
    """The optimizer of a training, for the network's weights.

    Decay is decoupled from the gradient for every rule (Loshchilov and Hutter 2019), and spares vectors: biases, and the
    scales and offsets of normalisation.

    Args:
        replicas: how many parts of the gradient are clipped each on its own before they are summed.
    """
    optimizer = OPTIMIZERS[config.optimizer](
        learning_rate,
        weight_decay=config.weight_decay or None,
        global_clipnorm=config.clip_norm / replicas or None,
        use_ema=config.ema > 0,
        ema_momentum=config.ema or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_list=[weight for weight in network.trainable_variables if len(weight.shape) < 2])
    return optimizer


def last_rate(optimizer: Any) -> float:
    """The learning rate of the step that was taken last; `optimizer.learning_rate` is that of the next one."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    rate = optimizer._learning_rate
    return float(keras.ops.convert_to_numpy(rate(optimizer.iterations - 1) if callable(rate) else rate))
