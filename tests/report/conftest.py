"""Fabricated run folders: real digits, made-up figures, no training."""

import json
from functools import cache, partial

import numpy as np
import pytest
from sklearn.datasets import load_digits

from app.metrics import classification, detection, segmentation
from app.report.page import write_report
from app.runs import Run

DIGITS = tuple("0123456789")


def history_csv(epochs, slope=1.0, metric="accuracy"):
    lines = [f"epoch,seconds,learning_rate,loss,{metric},val_loss,val_{metric}"]
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


SHAPES = ("background", "blue box", "orange disc", "rare cross")


def scenes(pictures, side=64, seed=0):
    """Boxes, discs and crosses on noise: images, their boxes [N, 3, 6] and their masks, a void rim around each."""
    rng = np.random.default_rng(seed)
    images = rng.integers(90, 130, (pictures, side, side, 3)).astype(np.uint8)
    boxes, masks = np.zeros((pictures, 3, 6), np.float32), np.zeros((pictures, side, side), np.uint8)
    boxes[..., 4] = -1
    rows, columns = np.mgrid[:side, :side]
    for i in range(pictures):
        for j in range(rng.integers(0 if i else 1, 4)):
            kind = int(rng.choice([1, 2, 3], p=[0.5, 0.4, 0.1]))
            half = int(rng.integers(side // 12, side // 6))
            y, x = rng.integers(half + 2, side - half - 2, 2)
            near_y, near_x = abs(rows - y), abs(columns - x)
            inside = {
                1: np.maximum(near_y, near_x) <= half,
                2: near_y**2 + near_x**2 <= half**2,
                3: (np.maximum(near_y, near_x) <= half) & (np.minimum(near_y, near_x) <= half // 3),
            }[kind]
            images[i][inside] = [(40, 90, 220), (240, 140, 30), (250, 250, 250)][kind - 1]
            masks[i][np.maximum(near_y, near_x) == half + 1] = 255
            masks[i][inside] = kind
            boxes[i, j] = [(y - half) / side, (x - half) / side, (y + half + 1) / side, (x + half + 1) / side, kind - 1, 0]
    return images, boxes, masks


def found_boxes(truths, seed=0, classes=3):
    """What a network might answer: most boxes, a little off, some of another class, and a few where nothing is."""
    rng = np.random.default_rng(seed)
    pictures, most = len(truths), 8
    found = {"boxes": np.zeros((pictures, most, 4)), "classes": np.zeros((pictures, most)), "scores": np.zeros((pictures, most))}
    found["count"] = np.zeros(pictures)
    for i, rows in enumerate(truths):
        told = [
            (row[:4] + rng.normal(0, 0.008, 4), row[4] if rng.random() < 0.92 else (row[4] + 1) % classes, rng.uniform(0.3, 1))
            for row in rows[rows[:, 4] >= 0]
            if rng.random() < 0.9
        ]
        told += [(np.array([0.1, 0.1, 0.3, 0.35]), rng.integers(classes), rng.uniform(0, 0.6)) for _ in range(rng.integers(0, 2))]
        for j, (box, kind, score) in enumerate(sorted(told, key=lambda one: -one[2])):
            found["boxes"][i, j], found["classes"][i, j], found["scores"][i, j] = box, kind, score
        found["count"][i] = len(told)
    return {name: values.astype(np.float32) for name, values in found.items()}


def told_masks(masks, seed=0):
    """The true classes, moved by a pixel, with void filled and one picture in eight told wrong."""
    told = np.roll(np.where(masks == 255, 0, masks), 1, axis=2)
    told[::8] = np.where(told[::8] == 1, 2, told[::8])
    return told.astype(np.uint8)


def write_scenes_run(root, objective, name="scenes-1", *, finished=True, pictures=24, classes=None):
    """A run folder of detection or segmentation."""
    folder = root / "runs" / name
    folder.mkdir(parents=True)
    images, boxes, masks = scenes(pictures)
    if objective == "detection":
        classes, metric, labels, outputs = list(classes or SHAPES[1:]), "map50", boxes, found_boxes(boxes)
        test, chosen = detection.measure(outputs, boxes, classes), detection.threshold(outputs, boxes)
    else:
        classes, metric, labels, outputs = list(classes or SHAPES), "miou", masks, {"masks": told_masks(masks)}
        test, chosen = segmentation.measure(outputs, masks, classes), {}
    config = {
        "model": "yolo" if objective == "detection" else "unet",
        "data": "scenes",
        "seed": 0,
        "epochs": 12,
        "augment": "scenes",
    }
    data = {"name": "scenes", "fingerprint": "77aa", "splits": {"train": 300, "val": 40, "test": pictures}}
    record = {"format": 1, "config": config, "objective": objective, "classes": classes, "input_shape": [64, 64, 3], "data": data}
    (folder / "config.json").write_text(json.dumps(record))
    (folder / "history.csv").write_text(history_csv(12, metric=metric))
    np.savez(folder / "batch.npz", images=images[:16].astype(np.float32), labels=labels[:16])
    if finished:
        measured = {"test": test, "validation": {metric: 0.9}, "threshold": chosen, "parameters": 460_000, "seconds": 300.5}
        (folder / "metrics.json").write_text(json.dumps(measured | {"epochs": 12, "best_epoch": 11}))
        np.savez(folder / "heldout.npz", images=images, labels=labels, **outputs)
    return Run(folder)


@pytest.fixture
def make_scenes_run(tmp_path):
    """A function that writes a run folder of detection or segmentation and gives the Run."""
    return partial(write_scenes_run, tmp_path)


@pytest.fixture
def make_run(tmp_path):
    """A function that writes a run folder and gives the Run."""
    return partial(write_run, tmp_path)


@pytest.fixture(scope="session")
def plain_page(tmp_path_factory):
    """The report of a plain run, for tests that only read it."""
    return write_report(write_run(tmp_path_factory.mktemp("plain")))
