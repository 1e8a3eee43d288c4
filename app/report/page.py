"""The report of a run: one page that says how good the network is, where it fails and how it came about."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from app.config import TrainConfig
from app.report import classification, detection, markup, segmentation
from app.report.chance import interval
from app.report.curves import draw_curves
from app.report.material import Material
from app.report.settings import recipe_settings
from app.report.words import NOT_RECORDED, NOT_YET, count, duration, metric_name, percent, plural, setting_value
from app.runs import Run

PAGE = "index.html"
SHOWN_LEFT_OUT = 50
WHAT = {"model": "network", "data": "data set, folder or file"}  # the settings that are no flags and have no help


OWN = {  # of an objective: what its reports alone have
    "classification": classification,
    "detection": detection,
    "segmentation": segmentation,
}


def write_report(run: Run) -> Path:
    """The page of a run, written from its folder alone, with its pictures beside it."""
    run.report_folder.mkdir(exist_ok=True)
    material = Material(run)
    own = OWN[material.objective]
    parts = (_headline, partial(_facts, own=own.facts), _curves, *own.PARTS, _next_steps, _data, _settings, _versions)
    file = material.file(PAGE)
    file.write_text(markup.page(material.title, [part(material) for part in parts]), encoding="utf-8")
    return file


def _headline(run: Material) -> str:
    pictures = run.test.get("pictures")
    share = run.test.get(run.metric)
    if share is None:
        text = NOT_RECORDED if run.measured else NOT_YET
        rest = f"test {metric_name(run.metric)}"
    else:
        text = percent(share, pictures)
        rest = f"test {metric_name(run.metric)}" + (f", on {plural(pictures, 'picture')}" if pictures else "")
        if pictures and run.metric == "accuracy":
            low, high = interval(share, pictures)
            rest += f" (95 % interval: {percent(low, pictures).removesuffix(' %')} to {percent(high, pictures)})"
    return markup.header(run.title, markup.paragraph(text, "headline"), markup.paragraph(rest))


def _facts(run: Material, own: Callable[[Material], list[tuple[str, str]]]) -> str:
    validation = run.measured.get("validation") or {}
    pairs = [
        ("parameters", count(run.measured.get("parameters"))),
        ("time", duration(run.measured.get("seconds", run.history.total("seconds")))),
        ("processor time", duration(run.measured.get("cpu_seconds", run.history.total("cpu_seconds")))),
        ("epochs", f"{run.measured.get('epochs', len(run.history))} (best: {run.best_epoch or NOT_RECORDED})"),
        ("device", run.run.record.get("device") or NOT_RECORDED),
        ("seed", setting_value(run.settings.get("seed"))),
        (f"validation {metric_name(run.metric)}", percent(validation.get(run.metric), validation.get("pictures"))),
        *own(run),
    ]
    trainable = run.measured.get("trainable_parameters")
    if trainable not in (None, run.measured.get("parameters")):
        pairs.insert(1, ("trainable parameters", count(trainable)))
    return markup.section("In figures", markup.facts(pairs), wide=True)


def _curves(run: Material) -> str:
    heading = "Course of the training"
    if not len(run.history):
        return markup.section(heading, markup.paragraph("No epoch was recorded."))
    draw_curves(run.history, run.metric, run.best_epoch, run.file("curves.png"))
    last = int(run.history.epochs[-1])
    best = run.history.at(run.best_epoch, f"val_{run.metric}")
    ends = run.history.at(last, run.metric)
    alternative = (
        f"Lines of loss, {run.metric} and learning rate over {plural(last, 'epoch')}: validation {run.metric} is best in epoch "
        f"{run.best_epoch} with {percent(best)}"
        + (f", training {run.metric} ends at {percent(ends)}." if ends is not None else ".")
    )
    note = (
        "Training figures are means over an epoch in which the network was still changing, with augmentation, dropout and label "
        "smoothing where they are set, so they can be worse than those of validation. The network of the best epoch was kept."
    )
    return markup.section(heading, markup.image(run.file("curves.png"), alternative), markup.paragraph(note, "quiet"))


def _next_steps(run: Material) -> str:
    folder = shlex.quote(str(_near(run.run.folder)))
    steps = (
        ("Turn the run into a release that phones and servers can run:", f"python -m app export {folder}"),
        ("Ask it about pictures of your own:", f"python -m app predict {folder} picture.jpg"),
        (
            "Set it beside other runs:",
            f"python -m app compare {folder} OTHER_RUN",
        ),
    )
    lines = [markup.paragraph(why) + markup.command(what) for why, what in steps]
    return markup.section("What next", *lines)


def _near(folder: Path) -> Path:
    """As it would be typed: relative, if it is under the current folder."""
    whole = folder.resolve()
    return Path(os.path.relpath(whole)) if whole.is_relative_to(Path.cwd()) else whole


def _data(run: Material) -> str:
    splits, names = run.data.get("splits") or {}, {"train": "training", "val": "validation", "test": "test"}
    rows = [(names.get(split, split), count(pictures)) for split, pictures in splits.items()]
    parts = [markup.table(("split", "pictures"), rows, (1,))] if rows else [markup.paragraph(f"Splits: {NOT_RECORDED}.")]
    parts += [markup.paragraph(_in_two_splits(run.data.get("in_two_splits"))), *_left_out(run.data.get("left_out"))]
    parts.append(markup.paragraph(f"Fingerprint of the data: {run.data.get('fingerprint') or NOT_RECORDED}", "quiet"))
    return markup.section("Data", *parts)


def _in_two_splits(found: Mapping[str, int] | None) -> str:
    if found is None:
        return f"Whether pictures stand in two splits was {NOT_RECORDED}."
    equal, near = found.get("equal", 0), found.get("near", 0)
    if not equal and not near:
        return "No picture was found in two splits."
    return (
        f"In two splits: {plural(equal, 'picture')} with equal pixels, {plural(near, 'picture')} nearly equal. "
        "A test picture that was trained on makes the test figures look better than they are."
    )


def _left_out(items: list[Mapping[str, str]] | None) -> list[str]:
    if items is None:
        return [markup.paragraph(f"What was left out was {NOT_RECORDED}.")]
    if not items:
        return [markup.paragraph("Nothing was left out.")]
    rows = [(item.get("path", ""), item.get("reason", "")) for item in items[:SHOWN_LEFT_OUT]]
    caption = f"the first {SHOWN_LEFT_OUT}" if len(items) > SHOWN_LEFT_OUT else ""
    listed = markup.table(("left out", "because"), rows, caption=caption)
    return [markup.more(f"{plural(len(items), 'file')} left out", listed)]


def _settings(run: Material) -> str:
    if not run.settings:
        return ""
    helps = {field.name: field.metadata["help"] for field in fields(TrainConfig)}
    recipe = recipe_settings(run.settings.get("model", ""), run.settings.get("data", ""))
    rows = [
        (
            name.replace("_", "-"),
            _beside_recipe(value, recipe.get(name, value)),
            helps.get(name) or WHAT.get(name, "option of the network"),
        )
        for name, value in sorted(run.settings.items(), key=lambda item: item[0] not in WHAT)
    ]
    listed = markup.table(("setting", "value", "what it does"), rows, kind="settings")
    return markup.section("Settings", listed, wide=True)


def _beside_recipe(value: Any, recipe: Any) -> str:
    return setting_value(value) + ("" if value == recipe else f" (recipe: {setting_value(recipe)})")


def _versions(run: Material) -> str:
    record = run.run.record
    pairs = [
        ("backend", record.get("backend")),
        ("started", str(record.get("started") or NOT_RECORDED).replace("T", " ")),
        ("git commit", record.get("git_commit")),
    ]
    pairs += list((record.get("versions") or {}).items())
    return markup.section("Made with", markup.facts((name, str(value or NOT_RECORDED)) for name, value in pairs), wide=True)
