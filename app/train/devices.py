"""What a training runs on: found, said, and set up. The only part that speaks to a backend directly."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras

from app.errors import UserError


@dataclass(frozen=True)
class Devices:
    """The devices of a training.

    Args:
        description: for people.
        scope: the context in which the network has to be built.
        accelerated: whether they are GPUs or TPUs.
        replicas: copies of the network, each with its own part of a gradient; 1 where the backend hides them.
    """

    description: str
    scope: Callable[[], AbstractContextManager[Any]]
    accelerated: bool
    replicas: int = 1

    @property
    def jit_compile(self) -> bool | str:
        """XLA gains nothing on CPUs with TensorFlow; on JAX there is nothing else."""
        return "auto" if self.accelerated or keras.backend.backend() != "tensorflow" else False


def find_devices(count: int) -> Devices:
    """The first `count` accelerators, or the CPU (as `count` virtual devices, to try several without having them).

    Raises:
        UserError: there are accelerators, but fewer.
    """
    finder = {"tensorflow": _tensorflow, "jax": _jax}.get(keras.backend.backend())
    if finder is None:
        raise UserError(f"KERAS_BACKEND={keras.backend.backend()} does not train here; use tensorflow or jax")
    return finder(count)


def make_deterministic(seed: int, devices: Devices) -> None:
    """Seeds everything. On CPUs the same seed then gives the same weights; on GPUs that would cost speed, so it may not."""
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow" and not devices.accelerated:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _tensorflow(count: int) -> Devices:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    _check_count(count, len(gpus))
    if gpus:
        tf.config.set_visible_devices(gpus[:count], "GPU")
        for gpu in gpus[:count]:
            tf.config.experimental.set_memory_growth(gpu, True)
        names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus[:count]]
    elif count > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
        except RuntimeError as error:
            raise UserError(f"--devices {count}: virtual devices must be set up before TensorFlow is used ({error})") from None
    if count == 1:
        return Devices(f"GPU: {names[0]}" if gpus else _cpu(), nullcontext, bool(gpus))
    kind = "GPU" if gpus else "CPU"
    strategy = tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices(kind)[:count]])
    description = f"{count} GPUs: {names[0]}" if gpus else f"{_cpu()}, {count} virtual devices"
    return Devices(description, strategy.scope, bool(gpus), count)


def _jax(count: int) -> Devices:
    import jax

    found = jax.devices()
    accelerated = found[0].platform != "cpu"
    _check_count(count, len(found) if accelerated else 0)
    if count > len(found):
        raise UserError(f"--devices {count}: set XLA_FLAGS=--xla_force_host_platform_device_count={count} for virtual ones")
    if count > 1:
        keras.distribution.set_distribution(
            keras.distribution.DataParallel(devices=[f"{d.platform}:{d.id}" for d in found[:count]])
        )
    name = f"{found[0].platform.upper()}: {found[0].device_kind}" if accelerated else _cpu()
    return Devices(name if count == 1 else f"{name}, {count} devices", nullcontext, accelerated)


def _check_count(count: int, accelerators: int) -> None:
    if accelerators and count > accelerators:
        raise UserError(f"--devices {count}: this machine has {accelerators}; ask for at most that many")


def _cpu() -> str:
    return f"CPU ({os.cpu_count()} cores)"
