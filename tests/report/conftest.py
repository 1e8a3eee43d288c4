"""Fabricated run folders: real digits, made-up figures, no training."""

import json
from functools import cache, partial

import numpy as np
import pytest
from sklearn.datasets import load_digits

from app.metrics import classification
from app.report.page import write_report
from app.runs import Run

DIGITS = tuple("0123456789")


def history_csv(epochs, slope=1.0):
    lines = ["epoch,seconds,learning_rate,loss,accuracy,val_loss,val_accuracy"]
    for epoch in range(1, epochs + 1):
        done = 1 - np.exp(-slope * epoch / 4)
        wiggle = 0.01 * np.sin(epoch * 2.3)
        rate = 0.003 * (1 + np.cos(np.pi * epoch / epochs)) / 2
        values = (1.5, rate, 2.3 - 2.25 * done, 0.1 + 0.87 * done, 2.3 - 2.2 * done + wiggle, 0.1 + 0.88 * done - wiggle)
        lines.append(",".join([str(epoch), *(f"{value:.6g}" for value in values)]))
    return "\n".join(lines) + "\n"


@cache
def digits():
    return load_digits()


def digits_heldout(classes, mistakes=12, pictures=360, seed=0):
    """Real digits whose labels are spread over `classes`, with so many of them told wrong."""
    rng = np.random.default_rng(seed)
    images = (digits().images[:pictures, ..., None] * 15.9375).astype(np.uint8)
    labels = digits().target[:pictures] if classes == 10 else np.arange(pictures) % classes
    logits = rng.normal(size=(pictures, classes))
    logits[np.arange(pictures), labels] += 9
    for wrong in rng.choice(pictures, mistakes, replace=False):
        logits[wrong, (labels[wrong] + rng.integers(1, min(classes, 4))) % classes] += rng.uniform(8, 16)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return {"images": images, "labels": labels.astype(np.int64), "probabilities": probabilities.astype(np.float32)}


def mixed_batch(images, labels, classes, smoothing=0.05):
    """The first half plain, the second half mixed with its neighbours, 70 to 30."""
    images, targets = images[:32].astype(np.float32), np.eye(classes, dtype=np.float32)[labels[:32]]
    for i in range(3, 32, 4):
        images[i] = 0.7 * images[i] + 0.3 * images[i - 1]
        targets[i] = 0.7 * targets[i] + 0.3 * targets[i - 1]
    return {"images": images, "labels": targets * (1 - smoothing) + smoothing / classes}


def write_run(
    root, name="lenet5-digits-1", classes=DIGITS, *, mistakes=12, epochs=20, finished=True, slope=1.0, settings=None, data=None
):
    folder = root / "runs" / name
    folder.mkdir(parents=True)
    heldout = digits_heldout(len(classes), mistakes)
    test = classification.measure({"probabilities": heldout["probabilities"]}, heldout["labels"], list(classes))
    config = {"model": "lenet5", "data": "digits", "seed": 0, "epochs": 20, "learning_rate": 0.003, "label_smoothing": 0.05}
    config |= {"augment": "digits", "options": {"pooling": "average"}} | (settings or {})
    splits = {"train": 1200, "val": 237, "test": 360}
    record = {
        "format": 1,
        "config": config,
        "objective": "classification",
        "classes": list(classes),
        "input_shape": [8, 8, 1],
        "data": {
            "name": "digits",
            "fingerprint": "5f0c2a",
            "splits": splits,
            "left_out": [{"path": "seven/bad <b>.png", "reason": "not a picture"}],
            "in_two_splits": {"equal": 2, "near": 1},
        }
        | (data or {}),
        "versions": {"keras": "3.15.1", "numpy": "2.4.6"},
        "git_commit": "09c4998",
        "backend": "tensorflow",
        "device": "CPU (2 cores)",
        "started": "2026-05-04T10:11:12+00:00",
    }
    (folder / "config.json").write_text(json.dumps(record))
    (folder / "history.csv").write_text(history_csv(epochs, slope))
    np.savez(folder / "batch.npz", **mixed_batch(heldout["images"], heldout["labels"], len(classes)))
    if finished:
        measured = {"test": test, "validation": {"accuracy": 0.9789}, "parameters": 61706, "trainable_parameters": 61706}
        measured |= {"seconds": 134.2, "cpu_seconds": 201.7, "epochs": epochs, "best_epoch": epochs - 2}
        (folder / "metrics.json").write_text(json.dumps(measured))
        np.savez(folder / "heldout.npz", **heldout)
    return Run(folder)


@pytest.fixture
def make_run(tmp_path):
    """A function that writes a run folder and gives the Run."""
    return partial(write_run, tmp_path)


@pytest.fixture(scope="session")
def plain_page(tmp_path_factory):
    """The report of a plain run, for tests that only read it."""
    return write_report(write_run(tmp_path_factory.mktemp("plain")))
