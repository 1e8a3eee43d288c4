"""Trainings on some of scikit-learn's digits, from the configuration to the files of the run."""

import csv
import json
from typing import get_args

import keras
import numpy as np
import pytest

from app.config import make_config, setting_types
from app.data.batches import Batches
from app.data.registry import load_data
from app.errors import UserError
from app.images import with_channels
from app.train import callbacks
from app.train import fit as story
from app.train.callbacks import KeepBest, Plateau
from app.train.losses.classification import LOSSES
from app.train.optimizers import OPTIMIZERS
from models.registry import get_model
from models.spec import Schedule


def rows(run):
    with run.history_file.open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def weights(run):
    return run.network().get_weights()


def equal(ours, theirs):
    return len(ours) == len(theirs) and all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def data_of(run):
    return load_data(run.config, lambda line: None)


def say_nothing(line):
    pass


# The files of a run


def test_a_run_holds_everything_that_later_stages_read(train):
    run = train(epochs=2, batch_size=32)
    record = json.loads(run.config_file.read_text())
    assert record["config"] == json.loads(json.dumps(run.config.to_json()))
    assert record["classes"] == [str(digit) for digit in range(10)]
    assert (record["input_shape"], record["objective"], record["backend"]) == ([8, 8, 1], "classification", "tensorflow")
    assert record["data"]["splits"] == {"train": 100, "val": 100, "test": 100}
    assert {"keras", "tensorflow", "numpy"} <= set(record["versions"])
    assert list(rows(run)[0]) == [
        "epoch", "seconds", "cpu_seconds", "learning_rate", "accuracy", "loss", "val_accuracy", "val_loss",
    ]  # fmt: skip
    assert [row["epoch"] for row in rows(run)] == [1, 2]
    assert run.finished
    assert (run.folder.parent / "latest").resolve() == run.folder.resolve()
    assert not list(run.folder.glob(".*"))


def test_the_figures_are_those_of_the_kept_weights(train):
    run = train(epochs=3)
    metrics, data = run.metrics(), data_of(run)
    for name, split in (("test", data.test), ("validation", data.val)):
        logits = np.asarray(run.network()(split.images.astype(np.float32)))
        assert metrics[name]["accuracy"] == pytest.approx((logits.argmax(axis=1) == split.labels).mean(), abs=1e-6)
        probabilities = np.asarray(keras.ops.softmax(logits))
        loss = -np.log(probabilities[np.arange(100), split.labels]).mean()
        assert metrics[name]["loss"] == pytest.approx(loss, abs=1e-4)
    history = rows(run)
    kept = history[metrics["best_epoch"] - 1]
    assert kept["val_accuracy"] == max(row["val_accuracy"] for row in history)
    assert metrics["validation"]["accuracy"] == pytest.approx(kept["val_accuracy"], abs=1e-6)
    assert metrics["parameters"] == metrics["trainable_parameters"] == run.network().count_params()
    assert metrics["seconds"] == pytest.approx(sum(row["seconds"] for row in history), abs=0.06)
    assert metrics["epochs"] == 3


def test_held_out_pictures_are_of_the_test_and_calibration_is_of_the_training(train):
    run = train()
    data, held = data_of(run), run.arrays("heldout")
    np.testing.assert_array_equal(held["images"], data.test.images)
    np.testing.assert_array_equal(held["labels"], data.test.labels)
    answers = run.inference_model()(with_channels(held["images"], 3).astype(np.float32))["probabilities"]
    np.testing.assert_allclose(held["probabilities"], answers, atol=1e-6)
    training = {picture.tobytes() for picture in data.train.images}
    calibration = run.arrays("calibration")["images"]
    assert len(calibration) == 100
    assert {picture.tobytes() for picture in calibration} <= training
    assert not {picture.tobytes() for picture in held["images"]} & training


def test_of_many_test_pictures_a_run_keeps_a_stratified_part(train, monkeypatch):
    monkeypatch.setattr(story, "HELDOUT_PICTURES", 40)
    run = train(epochs=1)
    held, data = run.arrays("heldout"), data_of(run)
    assert np.bincount(held["labels"], minlength=10).tolist() == [4] * 10
    known = {picture.tobytes(): label for picture, label in zip(data.test.images, data.test.labels, strict=True)}
    assert [known[picture.tobytes()] for picture in held["images"]] == held["labels"].tolist()
    assert run.metrics()["test"]["pictures"] == 100


def test_the_first_batch_is_kept_as_the_network_saw_it(train):
    run = train(epochs=1, batch_size=16, augment="digits")
    batches = Batches(data_of(run).train, data_of(run), run.config, training=True)
    np.testing.assert_array_equal(run.arrays("batch")["images"], batches[0][0].round().astype(np.uint8))
    np.testing.assert_array_equal(run.arrays("batch")["labels"], batches[0][1])


def test_the_configuration_is_there_before_anything_else(train, tmp_path, monkeypatch):
    class Stop(Exception):
        pass

    def stop(batches):
        raise Stop

    monkeypatch.setattr(story, "first_batch", stop)
    with pytest.raises(Stop):
        train()
    files = [file.name for file in (tmp_path / "run").iterdir()]
    assert files == ["config.json"]
    assert json.loads((tmp_path / "run/config.json").read_text())["config"]["model"] == "mlp"


def test_tensorboard_has_every_figure_of_every_epoch(train):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(epochs=3)
    events = EventAccumulator(str(run.tensorboard_folder)).Reload()
    for name in ("loss", "val_loss", "accuracy", "val_accuracy", "learning_rate", "seconds"):
        tensors = events.Tensors(name) if name in events.Tags()["tensors"] else events.Scalars(name)
        values = [float(e.value) if hasattr(e, "value") else float(e.tensor_proto.float_val[0]) for e in tensors]
        assert [e.step for e in tensors] == [1, 2, 3]
        np.testing.assert_allclose(values, [row[name] for row in rows(run)], rtol=1e-5)


def test_progress_is_told_in_plain_lines(train):
    said = []
    train(epochs=2, said=said)
    lines = "\n".join(said)
    assert "mlp on digits: 9,610 parameters, 100 train + 100 val + 100 test pictures, CPU" in lines
    assert sum(line.startswith("epoch ") and "val_accuracy" in line and "left" in line for line in said) == 2
    assert said[-1].startswith("test accuracy ")


# Settings


@pytest.mark.parametrize(
    "flags",
    [
        *({"optimizer": name, "learning_rate": 1e-2} for name in OPTIMIZERS),
        *({"schedule": name, "warmup": 0.0} for name in get_args(Schedule)),
        *({"loss": name} for name in LOSSES),
        {"weight_decay": 0.0},
        {"clip_norm": 0.5},
        {"dropout": 0.5},
        {"class_weights": "balanced"},
        {"label_smoothing": 0.2},
        {"augment": "mixup"},
        {"augment": "strong", "clean_epochs": 0.5},
    ],
    ids=lambda flags: "-".join(map(str, flags.values())),
)
def test_every_setting_trains(train, flags):
    run = train(**{"epochs": 1, "batch_size": 20} | flags)
    assert run.finished
    assert all(np.isfinite(list(row.values())).all() for row in rows(run))
    fresh = get_model("mlp").build((8, 8, 1), 10).get_weights()
    assert not equal(weights(run), fresh)


def test_the_values_of_the_settings_above_are_all_there_are():
    types = setting_types()
    assert {name for name in types if hasattr(types[name], "__args__")} == {
        "optimizer", "schedule", "loss", "precision", "class_weights", "options",
    }  # fmt: skip


def test_training_learns(train):
    run = train(limit=600, epochs=6, batch_size=20, learning_rate=5e-3)
    assert run.metrics()["test"]["accuracy"] > 0.85
    losses = [row["loss"] for row in rows(run)]
    assert losses[-1] < losses[0] / 3


def test_smoothed_targets_cost_what_the_formula_says(train):
    """With a rate of nothing, the loss of the first epoch is that of the initial weights."""
    still = {"learning_rate": 0.0, "epochs": 1, "weight_decay": 0.0}
    run = train(name="smooth", label_smoothing=0.3, **still)
    data = data_of(run)
    logits = np.asarray(run.network()(data.train.images.astype(np.float32)), np.float64)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    targets = 0.7 * np.eye(10)[data.train.labels] + 0.03
    assert rows(run)[0]["loss"] == pytest.approx(-(targets * logs).sum(axis=1).mean(), rel=1e-4)
    validation = np.asarray(run.network()(data.val.images.astype(np.float32)), np.float64)
    sharp = validation - np.log(np.exp(validation).sum(axis=1, keepdims=True))
    assert rows(run)[0]["val_loss"] == pytest.approx(-sharp[np.arange(100), data.val.labels].mean(), rel=1e-4)


def test_balanced_classes_weigh_the_same_in_the_loss(train, tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (60, 8, 8, 1)).astype(np.uint8), np.repeat([0, 1], [45, 15])
    file = tmp_path / "rare.npz"
    np.savez(file, x_train=images, y_train=labels, x_test=images[::3], y_test=labels[::3])
    run = train(data=str(file), class_weights="balanced", learning_rate=0.0, epochs=1, weight_decay=0.0, limit=0, batch_size=64)
    data = data_of(run)
    logits = np.asarray(run.network()(data.train.images.astype(np.float32)), np.float64)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    own = -logs[np.arange(len(logits)), data.train.labels]
    means = [own[data.train.labels == label].mean() for label in (0, 1)]
    assert rows(run)[0]["loss"] == pytest.approx(np.mean(means), rel=1e-3)
    assert abs(np.mean(means) - own.mean()) > 1e-3, "the test would not see it"


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_mixed_precision_leaves_a_plain_float32_network(train, precision, ema):
    run = train(precision=precision, ema=ema, limit=200, epochs=4, batch_size=20, learning_rate=5e-3)
    network = run.network()
    assert {layer.dtype_policy.name for layer in network.layers} == {"float32"}
    assert {str(weight.dtype) for weight in network.weights} == {"float32"}
    loaded = keras.models.load_model(run.best_file)
    assert not loaded.compiled
    assert run.metrics()["test"]["accuracy"] > 0.6
    kept = rows(run)[run.metrics()["best_epoch"] - 1]
    assert run.metrics()["validation"]["accuracy"] == pytest.approx(kept["val_accuracy"], abs=0.03)


def test_the_averaged_weights_are_validated_and_kept(train, monkeypatch):
    seen = {}
    real = KeepBest.on_epoch_end

    def watched(self, epoch, logs):
        optimizer = self.model.optimizer
        seen["raw"] = [np.array(weight) for weight in self.model.trainable_weights]
        seen["averages"] = [np.array(average) for average in optimizer._model_variables_moving_average]
        seen["logs"] = logs
        real(self, epoch, logs)
        seen["after"] = [np.array(weight) for weight in self.model.trainable_weights]
        seen["averages after"] = [np.array(average) for average in optimizer._model_variables_moving_average]

    monkeypatch.setattr(KeepBest, "on_epoch_end", watched)
    run = train(epochs=1, ema=0.8, batch_size=10, learning_rate=1e-2)
    assert equal(weights(run), seen["averages"])
    assert not equal(seen["raw"], seen["averages"])
    assert equal(seen["after"], seen["raw"]), "training goes on with the raw weights"
    assert equal(seen["averages after"], seen["averages"])
    data = data_of(run)
    logits = np.asarray(run.network()(data.val.images.astype(np.float32)))
    assert seen["logs"]["val_accuracy"] == pytest.approx((logits.argmax(axis=1) == data.val.labels).mean(), abs=1e-6)
    assert seen["logs"]["val_loss"] == pytest.approx(run.metrics()["validation"]["loss"], rel=1e-4)


def test_averaging_does_not_change_the_course_of_training(train):
    plain, averaged = train(name="plain", epochs=3), train(name="averaged", epochs=3, ema=0.9)
    for ours, theirs in zip(rows(plain), rows(averaged), strict=True):
        assert (ours["loss"], ours["accuracy"]) == (theirs["loss"], theirs["accuracy"])
        assert ours["val_loss"] != theirs["val_loss"]


def test_one_seed_gives_one_network_and_another_seed_another(train):
    flags = {"augment": "digits", "dropout": 0.3}
    first, again, other = (train(name=name, seed=seed, **flags) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    assert equal(weights(first), weights(again))
    assert not equal(weights(first), weights(other))


def test_the_workers_of_a_data_set_change_nothing():
    config = make_config(
        "mlp", "digits", {"limit": 90, "epochs": 3, "batch_size": 20, "augment": "digits", "class_weights": "balanced"}
    )
    data = load_data(config, say_nothing)

    def trained(workers):
        keras.utils.set_random_seed(0)
        network = get_model("mlp").build(data.shape, 10)
        network.compile("sgd", LOSSES["cross_entropy"]())
        batches = Batches(data.train, data, config, training=True, workers=workers)
        order = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(batches, "epoch", epoch))
        validation = Batches(data.val, data, config, training=False, workers=workers)
        history = network.fit(batches, epochs=3, validation_data=validation, callbacks=[order], shuffle=False, verbose=0).history
        return network.get_weights(), history["val_loss"]

    (alone, alone_losses), *others = (trained(workers) for workers in (0, 1, 2))
    for values, losses in others:
        assert equal(values, alone)
        assert losses == alone_losses


# Stopping


def test_early_stopping_stops_and_keeps_the_best(train, monkeypatch):
    reached = iter([0.3, 0.6, 0.5, 0.6, 0.55, 0.9, 0.9])
    kept = []
    real = KeepBest.on_epoch_end

    def given(self, epoch, logs):
        before = self.best_epoch
        logs |= {"val_accuracy": next(reached), "val_loss": 1.0}
        real(self, epoch, logs)
        if self.best_epoch != before:
            kept.append([weight.copy() for weight in self.model.get_weights()])

    monkeypatch.setattr(KeepBest, "on_epoch_end", given)
    run = train(epochs=7, early_stopping=3, learning_rate=1e-2)
    assert len(rows(run)) == 5
    assert run.metrics()["best_epoch"] == 2
    assert run.metrics()["epochs"] == 5
    assert equal(weights(run), kept[-1])
    assert len(kept) == 2


def test_among_equal_figures_the_smaller_loss_is_better(train, monkeypatch):
    losses = iter([0.5, 0.4, 0.45])
    real = KeepBest.on_epoch_end
    monkeypatch.setattr(
        KeepBest,
        "on_epoch_end",
        lambda self, epoch, logs: real(self, epoch, logs | {"val_accuracy": 0.5, "val_loss": next(losses)}),
    )
    assert train(epochs=3).metrics()["best_epoch"] == 2


def test_a_plateau_lowers_the_rate(train, monkeypatch):
    losses = iter([1.0, 0.9, 0.95, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0])
    real = Plateau.on_epoch_end
    monkeypatch.setattr(Plateau, "on_epoch_end", lambda self, epoch, logs: real(self, epoch, logs | {"val_loss": next(losses)}))
    run = train(schedule="plateau", warmup=0.0, learning_rate=0.5, optimizer="sgd", epochs=9, limit=20)
    np.testing.assert_allclose([row["learning_rate"] for row in rows(run)], [0.5] * 7 + [0.05] * 2, rtol=1e-6)


def test_the_history_has_the_rate_that_each_epoch_ended_with(train):
    run = train(schedule="step", warmup=0.0, learning_rate=1.0, optimizer="sgd", clip_norm=0.01, epochs=4, batch_size=50)
    np.testing.assert_allclose([row["learning_rate"] for row in rows(run)], [1, 1, 0.1, 0.01], rtol=1e-6)


@pytest.mark.parametrize("of", ["loss is", "weights are"])
@pytest.mark.parametrize(("epochs_before", "kept"), [(0, "no epoch was finished"), (2, "epoch 2 and before are kept in")])
def test_leaving_the_numbers_stops_the_training_and_leaves_what_was_good(train, tmp_path, monkeypatch, epochs_before, kept, of):
    real = Batches.__getitem__
    states = []

    def spoilt(self, index):
        images, targets = real(self, index)
        if self.training and self.epoch == epochs_before and index == len(self) - 1:
            return (images * np.nan, targets) if of == "weights are" else (images, targets * np.nan)
        return images, targets

    monkeypatch.setattr(Batches, "__getitem__", spoilt)
    save = story.Checkpoint.on_epoch_end

    def saving(self, epoch, logs):
        save(self, epoch, logs)
        states.append((self.run.state_file.read_bytes(), self.run.best_file.read_bytes()))

    monkeypatch.setattr(story.Checkpoint, "on_epoch_end", saving)
    message = rf"the {of} not finite in epoch {epochs_before + 1}; {kept}.*; train with a smaller --learning-rate"
    with pytest.raises(UserError, match=message):
        train(epochs=4)
    folder = tmp_path / "run"
    if epochs_before:
        assert (folder / "state.npz").read_bytes() == states[-1][0]
        assert (folder / "best.keras").read_bytes() == states[-1][1]
        assert all(np.isfinite(weight).all() for weight in keras.models.load_model(folder / "best.keras").get_weights())
    else:
        assert not (folder / "best.keras").exists()
        assert not (folder / "state.npz").exists()
    assert not (folder / "metrics.json").exists()
    monkeypatch.undo()
    assert train(epochs=4).metrics()["epochs"] == 4, "it can be gone on with"


def test_nothing_is_kept_of_an_epoch_whose_validation_has_no_loss(train, tmp_path, monkeypatch):
    real = Batches.__getitem__

    def spoilt(self, index):
        images, targets = real(self, index)
        return (images, targets) if self.training else (images, targets * np.nan)

    monkeypatch.setattr(Batches, "__getitem__", spoilt)
    with pytest.raises(UserError, match="the validation loss is not finite in epoch 1; no epoch was finished"):
        train()
    assert sorted(file.name for file in (tmp_path / "run").iterdir() if file.is_file()) == ["batch.npz", "config.json"]


def test_a_rate_far_too_large_is_told_in_one_line(train):
    with pytest.raises(UserError, match=r"^the (loss is|weights are) not finite in epoch \d; [^\n]*$"):
        train(optimizer="sgd", learning_rate=1e30, warmup=0.0, weight_decay=0.0, epochs=3)


def test_a_training_stopped_early_is_not_trained_on_when_its_end_was_cut_off(train, monkeypatch):
    real = story._finish

    def cut(training, say):
        raise KeyboardInterrupt

    monkeypatch.setattr(story, "_finish", cut)
    with pytest.raises(KeyboardInterrupt):
        train(epochs=3, learning_rate=0.0, early_stopping=1)
    monkeypatch.setattr(story, "_finish", real)
    monkeypatch.setattr(keras.Model, "fit", None)
    run = train(epochs=3, learning_rate=0.0, early_stopping=1)
    assert (run.metrics()["best_epoch"], run.metrics()["epochs"], len(rows(run))) == (1, 2, 2)


def test_the_history_is_whole_when_the_training_was_killed_right_after_its_last_state(train, monkeypatch):
    real = callbacks.save_state

    def cut(*arguments):
        real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(callbacks, "save_state", cut)
    with pytest.raises(KeyboardInterrupt):
        train(epochs=1)
    monkeypatch.setattr(callbacks, "save_state", real)
    assert [row["epoch"] for row in rows(train(epochs=1))] == [1]


# Where weights come from


def test_weights_of_a_run_are_started_from(train):
    before, said = train(name="before"), []
    run = train(name="after", weights=str(before.folder), learning_rate=0.0, epochs=1, weight_decay=0.0, said=said)
    assert equal(weights(run), weights(before))
    assert f"2 of 2 layers start from {before.best_file}" in said


def test_weights_of_a_file_are_matched_by_name_and_shape(train, tmp_path):
    source = get_model("mlp").build((8, 8, 1), 7)
    source.save(tmp_path / "seven.keras")
    said = []
    run = train(weights=str(tmp_path / "seven.keras"), learning_rate=0.0, epochs=1, weight_decay=0.0, said=said)
    assert equal(weights(run)[:2], source.get_weights()[:2])
    assert f"1 of 2 layers start from {tmp_path / 'seven.keras'}; fresh: logits" in said


def test_frozen_layers_stay_and_the_last_one_learns(train):
    before = train(name="before", augment="digits")
    run = train(name="after", weights=str(before.folder), freeze=True, learning_rate=1e-2, weight_decay=0.1, ema=0.5)
    assert equal(weights(run)[:2], weights(before)[:2])
    assert not np.array_equal(weights(run)[2], weights(before)[2])
    assert not np.array_equal(weights(run)[3], weights(before)[3])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("nowhere", "no run in 'nowhere'"),
        (
            "nowhere.keras",
            "--weights nowhere.keras: there is no nowhere.keras; give imagenet, a run folder, a .keras or a .h5 file",
        ),
    ],
)
def test_missing_weights_are_told_before_data_is_read(train, monkeypatch, weights, message):
    monkeypatch.setattr(story, "load_data", None)
    with pytest.raises(UserError, match=message):
        train(weights=weights)


def test_weights_that_do_not_match_are_told(train, tmp_path):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="other")]).save(tmp_path / "other.keras")
    with pytest.raises(UserError, match="no layer of mlp has the same name and shapes there"):
        train(weights=str(tmp_path / "other.keras"))


@pytest.mark.parametrize("content", [b"", b"words", b"PK\x03\x04 and no more"])
def test_a_broken_file_of_weights_is_told_in_one_line(train, tmp_path, content):
    (tmp_path / "broken.keras").write_bytes(content)
    with pytest.raises(UserError, match=r"^--weights [^\n]*broken.keras cannot be read \([^\n]*\); give a run or a .keras file$"):
        train(weights=str(tmp_path / "broken.keras"))


def test_a_network_that_its_options_make_impossible_is_told_in_one_line(train):
    with pytest.raises(UserError, match=r"^mlp cannot be built for 8x8 pictures with units=0: [^\n]*$"):
        train(options={"units": 0})


def test_a_size_that_the_network_cannot_take_is_told_before_data_is_read(monkeypatch):
    with pytest.raises(UserError, match="--image-size 16 is too small for lenet5; the smallest is 28"):
        make_config("lenet5", "digits", {"image_size": 16})


def test_a_size_is_given_to_the_network(train):
    run = train(model="lenet5", image_size=30, epochs=1, limit=20)
    assert run.network().input_shape == (None, 30, 30, 1)
    assert run.arrays("heldout")["images"].shape == (20, 30, 30, 1)
