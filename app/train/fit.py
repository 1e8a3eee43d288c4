"""The story of a training: configuration -> run folder."""

from __future__ import annotations

import math
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from app.config import TrainConfig, describe
from app.data.augment.policies import enlargement, find_policy
from app.data.batches import Batches, first_batch
from app.data.registry import load_data, load_enlarged
from app.data.spec import Dataset, Split
from app.data.splits import strata, stratified
from app.data.targets import make_encoder
from app.deploy import MAIN, heads, main_path
from app.errors import UserError
from app.objectives import OBJECTIVES
from app.progress import duration
from app.runners import run_pictures
from app.runners.keras import KerasRunner
from app.runs import FORMAT, LATEST, Run, check_space, find_weights, replacing
from app.train.anchors import with_anchors
from app.train.callbacks import (
    AveragedWeights,
    Checkpoint,
    EpochOrder,
    Finite,
    KeepBest,
    Log,
    MainFigures,
    Measuring,
    Plateau,
    Progress,
)
from app.train.devices import Devices, find_devices, make_deterministic
from app.train.losses import LOSSES
from app.train.metrics import METRICS
from app.train.network import build_network, freeze, start_from
from app.train.optimizers import make_optimizer
from app.train.quantisation import check_quantisable, fake_quantised
from app.train.schedules import make_schedule

CALIBRATION_PICTURES = 500
HELDOUT_PICTURES, HELDOUT_BYTES = 10_000, 32 * 2**20  # the smaller of the two, so that large pictures do not fill the disk
FEW_STEPS, SMALL_BATCH = 10, 16  # in an epoch; fewer than ten teach little, and a warm-up of half an epoch is none
AUXILIARY_WEIGHT = 0.3  # of an auxiliary head's loss: Szegedy et al. 2014, section 5
PACKAGES = ("keras", "tensorflow", "jax", "numpy", "pillow")
Say = Callable[[str], None]


def fit(config: TrainConfig, folder: Path, say: Say, *, live: bool = True) -> Run:
    """Trains, or goes on training, and gives the finished run.

    Args:
        folder: the run folder; where it holds a run already, that is gone on with.
        live: show a moving line on a terminal.
    Raises:
        UserError: anything that the user can mend, before time is spent if it can be known by then.
    """
    run = Run(folder)
    devices = find_devices(config.devices)
    weights = find_weights(config.weights, config.model) if config.weights and not run.state_file.exists() else None
    if config.qat:
        check_quantisable(config)
    dataset = load_data(config, say)
    built = with_anchors(config, dataset, say)
    make_deterministic(config.seed, devices)
    train, val = (_shared(name, getattr(dataset, name), config.devices, say) for name in ("train", "val"))
    with devices.scope():
        network = build_network(built, dataset.shape, len(dataset.classes), precision=config.precision)
        encode = make_encoder(config.spec.targets, main_path(network), len(dataset.classes))
        names = heads(network)
        enlarged = _enlarged(config, dataset, say)
        batches = Batches(train, dataset, config, training=True, encode=encode, heads=names, enlarged=enlarged)
        validation = Batches(val, dataset, config, training=False, encode=encode, heads=names)
        fresh = start_from(network, weights, say) if weights else []
        if config.freeze:
            freeze(network, fresh)
        kept = network
        if config.qat:
            network = fake_quantised(kept)
        _compile(network, config, len(batches), devices)
    plain = build_network(built, dataset.shape, len(dataset.classes))
    check_space(folder, 6 * 4 * plain.count_params() + HELDOUT_BYTES)
    training = _Training(run, config, dataset, network, kept, plain, batches, validation)
    if run.config_file.exists():
        _check_same(run, dataset, say)
        training.restore()
    else:
        run.write_json(run.config_file, _record(config, dataset, devices))
    with replacing(run.folder / "batch.npz") as partial:
        np.savez_compressed(partial, **first_batch(batches))
    _point_latest(run)
    pictures = " + ".join(f"{len(getattr(dataset, name)):,} {name}" for name in ("train", "val", "test"))
    deployed = main_path(plain).count_params()
    auxiliary = f" (and {plain.count_params() - deployed:,} of auxiliary heads)" if heads(plain) else ""
    say(f"{config.model} on {config.data}: {deployed:,} parameters{auxiliary}, {pictures} pictures, {devices.description}")
    say(f"recipe: {describe(config)}")
    if len(batches) < FEW_STEPS and config.batch_size > SMALL_BATCH:
        say(
            f"hint: {len(batches)} steps an epoch are few; --batch-size {SMALL_BATCH} makes more of {len(dataset.train)} pictures"
        )
    training.run_epochs(say, live)
    _finish(training, say)
    return run


@dataclass
class _Training:
    """The parts of one training that belong together.

    Args:
        network: what is trained.
        kept: what is written of it: `network`, or the network that it imitates the int8 file of.
        plain: an uncompiled float32 copy of `kept`.
    """

    run: Run
    config: TrainConfig
    dataset: Dataset
    network: Any
    kept: Any
    plain: Any
    batches: Batches
    validation: Batches

    def __post_init__(self) -> None:
        objective = OBJECTIVES[self.config.spec.objective]
        self.metric = objective.metric
        averaged = AveragedWeights()
        self.best = KeepBest(self.run, self.kept, self.plain, averaged, self.metric, self.config.early_stopping)
        self.log = Log(self.run)
        # After `log`, whose row is to have the rate that the epoch was trained with.
        lowering = {"plateau": Plateau()} if self.config.schedule == "plateau" else {}
        self.checkpoint = Checkpoint(self.run, self.log, {"best": self.best, **lowering})
        order = EpochOrder(self.batches)
        main = [MainFigures()] if self.batches.heads else []
        measuring: list[Any] = []
        if not METRICS[objective.name]():
            measuring = [Measuring(self.kept, self.plain, averaged, objective, self.dataset.val, self.dataset.classes)]
        around = [*main, Finite(self.run), order, averaged, *measuring]
        self.callbacks = [*around, self.best, self.log, *lowering.values(), self.checkpoint]
        self.stopped = False

    def restore(self) -> None:
        """Goes back to the end of the last whole epoch, if there is one."""
        if self.run.state_file.exists():
            self.stopped = self.checkpoint.restore(self.network)

    def run_epochs(self, say: Say, live: bool) -> None:
        epochs, done = self.config.epochs, len(self.log.rows)
        if self.stopped or done >= epochs:
            return
        if done:
            say(f"going on after epoch {done} of {epochs}")
        self.network.fit(
            self.batches,
            epochs=epochs,
            initial_epoch=done,
            validation_data=self.validation,
            callbacks=[*self.callbacks, Progress(say, epochs, self.log, self.metric, live=live)],
            shuffle=False,  # Keras would draw an order of the batches of its own, which resuming could not repeat
            verbose=0,
        )


def _shared(name: str, split: Split, devices: int, say: Say) -> Split:
    """A split without the few pictures that would make its last batch one that the devices cannot share evenly.

    A device without a picture has no mean for batch normalisation, and JAX does not take an uneven batch at all.

    Raises:
        UserError: there is not a picture for each device.
    """
    over = len(split) % devices
    if over == len(split):
        raise UserError(f"--devices {devices}: there are {over} pictures for {name}; ask for at most that many devices")
    if over:
        say(f"{name}: {over} of {len(split):,} pictures left out during the epochs, so that {devices} devices share evenly")
    return Split(split.images[:-over], split.labels[:-over]) if over else split


def _enlarged(config: TrainConfig, dataset: Dataset, say: Say) -> Split | None:
    """The training pictures in as many pixels as the augmentation needs, if that is more than the network takes."""
    factor = enlargement(find_policy(config.augment, config.spec.objective))
    height, width, _ = dataset.shape
    if factor > 1 and height != width:
        raise UserError(f"--augment {config.augment} cuts square windows; not of {height}x{width}, give --image-size {height}")
    return load_enlarged(config, math.ceil(factor * dataset.shape[0]), say) if factor > 1 else None


def _compile(network: Any, config: TrainConfig, steps_per_epoch: int, devices: Devices) -> None:
    objective, names = config.spec.objective, heads(network)
    loss, metrics = LOSSES[objective][config.loss], METRICS[objective]
    network.compile(
        optimizer=make_optimizer(config, make_schedule(config, steps_per_epoch), network, devices.replicas),
        loss=({name: loss() for name in names} or loss()) if loss else None,
        loss_weights={name: 1.0 if name == MAIN else AUXILIARY_WEIGHT for name in names} or None,
        metrics={MAIN: metrics()} if names else metrics(),
        jit_compile=devices.jit_compile,
    )
    network.optimizer.build(network.trainable_variables)


def _finish(training: _Training, say: Say) -> None:
    """What later stages need: figures of the best weights on unseen pictures, and the pictures that export needs."""
    run, dataset, rows = training.run, training.dataset, training.log.rows
    runner = KerasRunner(run.inference_model())
    objective = run.objective
    validated, outputs = (run_pictures(runner, split.images, objective.kept) for split in (dataset.val, dataset.test))
    threshold = objective.threshold(validated, dataset.val.labels)
    test = objective.measure(outputs, dataset.test.labels, dataset.classes, threshold)
    held = _heldout(dataset.test, training.config.split_seed)
    with replacing(run.folder / "heldout.npz") as partial:
        kept = {name: values[held] for name, values in outputs.items()}
        np.savez_compressed(partial, images=dataset.test.images[held], labels=dataset.test.labels[held], **kept)
    rng = np.random.default_rng((training.config.split_seed, 11))
    calibration = np.sort(rng.permutation(len(dataset.train))[:CALIBRATION_PICTURES])
    with replacing(run.folder / "calibration.npz") as partial:
        np.savez_compressed(partial, images=dataset.train.images[calibration])
    deployed = main_path(training.plain)
    trained = main_path(training.network).trainable_variables  # not `plain`'s, which nothing freezes
    trainable = sum(int(np.prod(weight.shape)) for weight in trained)
    seconds, cpu_seconds = (round(sum(row[name] for row in rows), 1) for name in ("seconds", "cpu_seconds"))
    metrics = {
        "test": test,
        "validation": objective.measure(validated, dataset.val.labels, dataset.classes),
        "threshold": threshold,
        "parameters": deployed.count_params(),
        "trainable_parameters": trainable,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "epochs": len(rows),
        "best_epoch": training.best.best_epoch,
    }
    run.write_json(run.metrics_file, metrics)
    metric = objective.metric
    say(
        f"test {metric} {100 * test[metric]:.2f} % of {test['pictures']:,} pictures, with the weights of epoch "
        f"{training.best.best_epoch} ({duration(seconds)} of training, {cpu_seconds:.0f} CPU-seconds)"
    )


def _heldout(split: Split, seed: int) -> np.ndarray[Any, Any]:
    """Indices of the test pictures that a run keeps: all, or a stratified part of large sets."""
    most = min(HELDOUT_PICTURES, HELDOUT_BYTES // int(np.prod(split.images.shape[1:])))
    return np.arange(len(split)) if len(split) <= most else stratified(strata(split.labels), most, seed)[1]


def _record(config: TrainConfig, dataset: Dataset, devices: Devices) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "config": config.to_json(),
        "objective": config.spec.objective,
        "classes": list(dataset.classes),
        "input_shape": list(dataset.shape),
        "data": dataset.record(),
        "backend": keras.backend.backend(),
        "device": devices.description,
        "versions": _versions(),
        "git_commit": _git_commit(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except ModuleNotFoundError:
            continue
    return found


def _git_commit() -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    command = [git, "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _check_same(run: Run, dataset: Dataset, say: Say) -> None:
    """Refuses to go on where the run could not end as it would have; other versions of packages are only told."""
    if run.record["data"]["fingerprint"] != dataset.fingerprint:
        raise UserError(f"the data has changed since {run.folder} was started; start a new run")
    backend = keras.backend.backend()
    if run.record["backend"] != backend:
        raise UserError(f"{run.folder} was started with KERAS_BACKEND={run.record['backend']}, not {backend}; go on with that")
    if run.record["versions"] != _versions():
        say("warning: this run was started with other versions of packages; the rest of it may differ in the last digits")


def _point_latest(run: Run) -> None:
    """`latest` beside the run points to it. Where links cannot be made, or a file has that name, there is none."""
    link, partial = run.folder.parent / LATEST, run.folder.parent / f".{LATEST}.{time.monotonic_ns()}"
    if link.exists() and not link.is_symlink():
        return
    try:
        partial.symlink_to(run.folder.name)
        partial.replace(link)
    except OSError:
        partial.unlink(missing_ok=True)
