"""The course of the learning rate that `--schedule` names."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from app.config import TrainConfig

STEPS = ((0.5, 0.1), (0.75, 0.01))  # He et al. 2015, section 4.2: a tenth at half, a hundredth at three quarters
EXPONENTIAL_END = 0.01  # what the exponential course ends at, of the peak


class Course(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A linear rise from 0, then `constant`, `cosine` (to 0), `step` or `exponential` over the rest.

    Source: cosine, Loshchilov and Hutter 2017; warm-up, Goyal et al. 2017.
    """

    def __init__(self, kind: str, peak: float, warmup_steps: float, steps: int) -> None:
        super().__init__()
        self.kind, self.peak, self.warmup_steps, self.steps = kind, peak, warmup_steps, steps

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        done = ops.clip((step - self.warmup_steps) / max(1.0, self.steps - self.warmup_steps), 0.0, 1.0)
        rise = ops.minimum(1.0, step / self.warmup_steps) if self.warmup_steps else 1.0
        return self.peak * rise * self._after(done)

    def _after(self, done: Any) -> Any:
        """Share of the peak, `done` (0..1) of the way after the warm-up."""
        if self.kind == "cosine":
            return 0.5 * (1 + ops.cos(math.pi * done))
        if self.kind == "exponential":
            return ops.power(EXPONENTIAL_END, done)
        if self.kind == "step":
            share = 1.0
            for place, factor in STEPS:
                share = ops.where(done >= place, factor, share)
            return share
        return ops.ones_like(done)

    def get_config(self) -> dict[str, Any]:
        return {"kind": self.kind, "peak": self.peak, "warmup_steps": self.warmup_steps, "steps": self.steps}


def make_schedule(config: TrainConfig, steps_per_epoch: int) -> Any:
    """A schedule for the optimizer; for `plateau` the peak itself, which a callback then lowers."""
    if config.schedule == "plateau":
        return config.learning_rate
    return Course(config.schedule, config.learning_rate, config.warmup * steps_per_epoch, config.epochs * steps_per_epoch)
