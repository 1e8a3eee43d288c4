"""What happens around the steps and epochs of a training."""

from __future__ import annotations

import csv
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from app.data.batches import Batches
from app.data.spec import Split
from app.data.splits import strata, stratified
from app.deploy import MAIN, inference_model
from app.errors import UserError
from app.objectives import Objective
from app.progress import duration
from app.runners import run_pictures
from app.runners.keras import KerasRunner
from app.runs import Run, replacing
from app.train.checkpoint import load_state, save_state
from app.train.optimizers import last_rate


class Finite(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the training when it has left the numbers. Has to come before the callbacks that keep something."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run, self.epoch = run, 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:  # noqa: ARG002
        self._check("loss is", math.isfinite(logs["loss"]))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:  # noqa: ARG002
        self._check("validation loss is", math.isfinite(logs["val_loss"]))
        # No loss shows these for certain: TensorFlow's ReLU makes 0 of what is not a number.
        weights = (keras.ops.convert_to_numpy(weight) for weight in self.model.weights)
        self._check("weights are", all(np.isfinite(weight).all() for weight in weights))

    def _check(self, what: str, finite: bool) -> None:
        if not finite:
            kept = f"epoch {self.epoch} and before are kept in {self.run.folder}" if self.epoch else "no epoch was finished"
            raise UserError(f"the {what} not finite in epoch {self.epoch + 1}; {kept}; train with a smaller --learning-rate")


class MainFigures(keras.callbacks.Callback):  # type: ignore[misc]
    """Gives the figures of the main output their plain names, as a network has without auxiliary heads.

    `loss` and `val_loss` are then those of the main output alone; the heads' stand beside them. Has to be the first.
    """

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:  # noqa: ARG002
        self._rename(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:  # noqa: ARG002
        self._rename(logs)

    @staticmethod
    def _rename(logs: dict[str, float]) -> None:
        for name in list(logs):
            if (plain := name.replace(f"{MAIN}_", "", 1)) != name:
                logs[plain] = logs.pop(name)


class EpochOrder(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells the batches which epoch it is; their order and augmentation follow from that."""

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        self.batches.epoch = epoch


class AveragedWeights(keras.callbacks.Callback):  # type: ignore[misc]
    """Puts the moving average of the weights in their place for validation, and for whoever asks.

    Keras' own callback shows validation the raw weights, and swaps by sums, which rounds.
    """

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        self._swap()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        self._swap()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The averages in place of the weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        if optimizer.use_ema:
            averages = optimizer._model_variables_moving_average
            for weight, average in zip(optimizer._trainable_variables, averages, strict=True):
                value = keras.ops.convert_to_numpy(weight)
                weight.assign(keras.ops.convert_to_numpy(average))
                average.assign(value)


class KeepBest(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes `best.keras` when the validation metric rises, and stops the training when it has not for too long.

    Small validation sets give many equal figures: among those the smaller validation loss is better.

    Args:
        trained: the network whose weights are kept: the one that is trained, or what that imitates an int8 file of.
        plain: an uncompiled float32 copy of it, which is what gets written.
        patience: epochs without a rise before stopping, 0: never.
    """

    def __init__(self, run: Run, trained: Any, plain: Any, averaged: AveragedWeights, metric: str, patience: int) -> None:
        super().__init__()
        self.run, self.trained, self.plain, self.averaged = run, trained, plain, averaged
        self.metric, self.patience = f"val_{metric}", patience
        self.best, self.best_epoch = [-math.inf, -math.inf], 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        reached = [float(logs[self.metric]), -float(logs["val_loss"])]
        if reached > self.best:
            self.best, self.best_epoch = reached, epoch + 1
            with self.averaged.in_place():  # which has also brought the weights up to date, on JAX
                self.plain.set_weights(self.trained.get_weights())
            with replacing(self.run.best_file) as partial:
                self.plain.save(partial)
        if self.patience and epoch + 1 - self.best_epoch >= self.patience:
            self.model.stop_training = True

    def counters(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch}

    def restore(self, counters: dict[str, Any]) -> None:
        self.best, self.best_epoch = counters["best"], counters["best_epoch"]


class Measuring(keras.callbacks.Callback):  # type: ignore[misc]
    """Measures what clients will see, finished outputs on validation pictures, where no metric of Keras's can.

    Has to come before the callbacks that keep something.

    Args:
        trained: the network whose weights are measured.
        plain: an uncompiled float32 copy of it.
        split: validation pictures; at most 500 are measured after an epoch.
    """

    MOST = 500

    def __init__(
        self, trained: Any, plain: Any, averaged: AveragedWeights, objective: Objective, split: Split, classes: Any
    ) -> None:
        super().__init__()
        self.trained, self.plain, self.averaged = trained, plain, averaged
        self.objective, self.classes = objective, classes
        few = stratified(strata(split.labels), self.MOST, 0)[1] if len(split) > self.MOST else slice(None)
        self.images, self.labels = split.images[few], split.labels[few]
        self.runner = KerasRunner(inference_model(plain, objective.name))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:  # noqa: ARG002
        with self.averaged.in_place():
            self.plain.set_weights(self.trained.get_weights())
        outputs = run_pictures(self.runner, self.images, self.objective.kept)
        name = self.objective.metric
        logs[f"val_{name}"] = self.objective.measure(outputs, self.labels, self.classes)[name]


class Plateau(keras.callbacks.ReduceLROnPlateau):  # type: ignore[misc]
    """A tenth of the learning rate after five epochs without a lower validation loss, continued when resumed."""

    def __init__(self) -> None:
        super().__init__(monitor="val_loss", mode="min", patience=5)

    def counters(self) -> dict[str, Any]:
        return {"best": self.best, "wait": self.wait, "cooldown": self.cooldown_counter}

    def restore(self, counters: dict[str, Any]) -> None:
        self.best, self.wait, self.cooldown_counter = counters["best"], counters["wait"], counters["cooldown"]


class Log(keras.callbacks.Callback):  # type: ignore[misc]
    """A row of figures for each epoch: in memory, in history.csv, and for TensorBoard."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self.rows: list[dict[str, float]] = []
        self._started = (0.0, 0.0)
        self._writer: Any = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        from tensorboard.summary import Writer

        self._writer = Writer(str(self.run.tensorboard_folder))

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        self._started = (time.monotonic(), time.process_time())

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        row = {
            "epoch": epoch + 1,
            "seconds": round(time.monotonic() - self._started[0], 3),
            "cpu_seconds": round(time.process_time() - self._started[1], 3),
            "learning_rate": last_rate(self.model.optimizer),
            **{name: round(float(value), 6) for name, value in logs.items()},
        }
        self.rows.append(row)
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, epoch + 1)
        self._writer.flush()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        self._writer.close()

    def write(self) -> None:
        """history.csv as the rows have it; a resumed training thereby drops rows of an epoch that was not finished."""
        with replacing(self.run.history_file) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)


class Checkpoint(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves all that resuming needs at the end of each epoch. Has to come after the callbacks whose counters it keeps."""

    def __init__(self, run: Run, log: Log, counting: dict[str, Any]) -> None:
        super().__init__()
        self.run, self.log, self.counting = run, log, counting
        self.counters: dict[str, dict[str, Any]] = {}

    def restore(self, network: Any) -> bool:
        """Puts the saved state in place. Gives whether the training has been stopped early."""
        progress = load_state(self.run.state_file, network)
        self.log.rows, self.counters = progress["rows"], progress["counters"]
        self._restore_counters()
        return bool(progress["stopped"])

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        self._restore_counters()  # again: Keras' own callbacks set theirs to zero when training begins

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:  # noqa: ARG002
        counters = {name: callback.counters() for name, callback in self.counting.items()}
        progress = {"rows": self.log.rows, "counters": counters, "stopped": bool(self.model.stop_training)}
        self.log.write()  # before the state: after the last epoch's, nothing would write the row any more
        save_state(self.run.state_file, self.model, progress)

    def _restore_counters(self) -> None:
        for name, counters in self.counters.items():
            self.counting[name].restore(counters)


class Progress(keras.callbacks.Callback):  # type: ignore[misc]
    """One line an epoch with an estimate of the time left; on a terminal the line moves while the epoch runs."""

    PAUSE_SECONDS = 0.5

    def __init__(self, say: Callable[[str], None], epochs: int, log: Log, metric: str, *, live: bool) -> None:
        super().__init__()
        self.say, self.epochs, self.log, self.metric = say, epochs, log, metric
        self.live = live and sys.stdout.isatty()
        self._epoch = 0
        self._began = self._shown = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        self._epoch = epoch
        self._began = self._shown = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        now = time.monotonic()
        if not self.live or now - self._shown < self.PAUSE_SECONDS:
            return
        self._shown = now
        steps = self.params["steps"]
        ahead = (now - self._began) / (batch + 1) * (steps - batch - 1)
        place = f"epoch {self._epoch + 1}/{self.epochs}  {100 * (batch + 1) // steps:3d} %"
        text = f"{place}  loss {logs['loss']:.4f}  {duration(ahead)} left in this epoch"
        print(f"\r{text:<78}", end="", flush=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        row = self.log.rows[-1]
        recent = [row["seconds"] for row in self.log.rows[-5:]]
        left = sum(recent) / len(recent) * (self.epochs - epoch - 1)
        if self.live:
            print(f"\r{'':<78}\r", end="")
        figures = f"loss {logs['loss']:.4f}  val_loss {logs['val_loss']:.4f}  val_{self.metric} {logs[f'val_{self.metric}']:.4f}"
        self.say(
            f"epoch {epoch + 1:>{len(str(self.epochs))}}/{self.epochs}  {figures}  {row['seconds']:.1f} s, {duration(left)} left"
        )
