"""The report of a run: one page that says how good the network is, where it fails and how it came about."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from app.config import TrainConfig
from app.report import markup
from app.report.chance import interval
from app.report.confusion import COUNTED, NAMED, confused_pairs, draw_confusion
from app.report.curves import draw_curves
from app.report.material import Material
from app.report.samples import draw_batch, draw_mistakes, find_mistakes
from app.report.settings import recipe_settings
from app.report.words import NOT_RECORDED, NOT_YET, count, decimal, duration, percent, plural, setting_value
from app.runs import Run
from app.style import writable

PAGE = "index.html"
SHOWN_CLASSES = 25  # rows of the table of classes before the rest is folded
SHOWN_LEFT_OUT = 50
WHAT = {"model": "network", "data": "data set, folder or file"}  # the settings that are no flags and have no help


def write_report(run: Run) -> Path:
    """The page of a run, written from its folder alone, with its pictures beside it."""
    run.report_folder.mkdir(exist_ok=True)
    material = Material(run)
    parts = (_headline, _facts, _curves, _confusion, _mistakes, _batch, _classes, _next_steps, _data, _settings, _versions)
    file = material.file(PAGE)
    file.write_text(markup.page(material.title, [part(material) for part in parts]), encoding="utf-8")
    return file


def _headline(run: Material) -> str:
    pictures = run.test.get("pictures")
    share = run.test.get(run.metric)
    if share is None:
        text = NOT_RECORDED if run.measured else NOT_YET
        rest = f"test {run.metric}"
    else:
        text = percent(share, pictures)
        rest = f"test {run.metric}" + (f", on {plural(pictures, 'picture')}" if pictures else "")
        if pictures and run.metric == "accuracy":
            low, high = interval(share, pictures)
            rest += f" (95 % interval: {percent(low, pictures).removesuffix(' %')} to {percent(high, pictures)})"
    return markup.header(run.title, markup.paragraph(text, "headline"), markup.paragraph(rest))


def _facts(run: Material) -> str:
    validation = run.measured.get("validation") or {}
    pairs = [
        ("parameters", count(run.measured.get("parameters"))),
        ("time", duration(run.measured.get("seconds", run.history.total("seconds")))),
        ("processor time", duration(run.measured.get("cpu_seconds", run.history.total("cpu_seconds")))),
        ("epochs", f"{run.measured.get('epochs', len(run.history))} (best: {run.best_epoch or NOT_RECORDED})"),
        ("device", run.run.record.get("device") or NOT_RECORDED),
        ("seed", setting_value(run.settings.get("seed"))),
        (f"validation {run.metric}", percent(validation.get(run.metric), validation.get("pictures"))),
        ("test loss", decimal(run.test.get("loss"))),
        ("calibration error", percent(run.test.get("calibration_error"))),
        ("mean F1 of the classes", decimal(run.test.get("macro_f1"))),
    ]
    trainable = run.measured.get("trainable_parameters")
    if trainable not in (None, run.measured.get("parameters")):
        pairs.insert(1, ("trainable parameters", count(trainable)))
    if len(run.run.classes) > 5:  # top-5 of five classes is always 100 %
        pairs.append(("among the top 5", percent(run.test.get("top5"), run.test.get("pictures"))))
    return markup.section("In figures", markup.facts(pairs), wide=True)


def _curves(run: Material) -> str:
    heading = "Course of the training"
    if not len(run.history):
        return markup.section(heading, markup.paragraph("No epoch was recorded."))
    draw_curves(run.history, run.metric, run.best_epoch, run.file("curves.png"))
    last = int(run.history.epochs[-1])
    best = run.history.at(run.best_epoch, f"val_{run.metric}")
    alternative = (
        f"Lines of loss, {run.metric} and learning rate over {plural(last, 'epoch')}: validation {run.metric} is best in epoch "
        f"{run.best_epoch} with {percent(best)}, training {run.metric} ends at {percent(run.history.at(last, run.metric))}."
    )
    note = (
        "Training figures are means over an epoch in which the network was still changing, with augmentation, dropout and label "
        "smoothing where they are set, so they can be worse than those of validation. The network of the best epoch was kept."
    )
    return markup.section(heading, markup.image(run.file("curves.png"), alternative), markup.paragraph(note, "quiet"))


def _confusion(run: Material) -> str:
    heading, classes = "What is taken for what", run.run.classes
    if run.confusion is None:
        return markup.section(heading, markup.paragraph(f"The confusion of classes was {NOT_RECORDED}."))
    draw_confusion(run.confusion, classes, run.file("confusion.png"))
    pairs = confused_pairs(run.confusion, classes)
    worst = f"most often, {pairs[0].truth} was taken for {pairs[0].taken_for}" if pairs else "there are no mistakes"
    alternative = f"Confusion of {len(classes)} classes, truth by answer, coloured by the share of the row: {worst}."
    parts = [markup.image(run.file("confusion.png"), alternative)]
    if _numbered(classes):
        note = "A class that the picture cannot name stands there by its number, which Class by class has before the name."
        parts.append(markup.paragraph(note, "quiet"))
    if len(classes) > COUNTED and pairs:
        rows = [(pair.truth, pair.taken_for, count(pair.pictures), percent(pair.share)) for pair in pairs]
        parts.append(markup.table(("is", "was taken for", "pictures", "of its class"), rows, (2, 3), "The most confused pairs"))
    return markup.section(heading, *parts)


def _mistakes(run: Material) -> str:
    heading, classes, file = "The surest mistakes", run.run.classes, run.file("mistakes.png")
    file.unlink(missing_ok=True)  # of a report written before
    if not run.heldout:
        return markup.section(heading, markup.paragraph(f"Held-out pictures were {NOT_RECORDED}."))
    pictures = len(run.heldout["labels"])
    mistakes = find_mistakes(run.heldout["images"], run.heldout["labels"], run.heldout["probabilities"])
    if not mistakes.total:
        return markup.section(heading, markup.paragraph(f"None: all {pictures:,} held-out pictures were told right."))
    draw_mistakes(mistakes, classes, file)
    shown = len(mistakes.truths)
    which = f", the {shown} surest of them here" if shown < mistakes.total else ""
    note = (
        f"{plural(mistakes.total, 'mistake')} on {plural(pictures, 'held-out picture')}{which}, with the network's probability."
    )
    alternative = f"Mistakes: {'; '.join(' '.join(caption.split()) for caption in mistakes.captions(classes))}."
    return markup.section(heading, markup.paragraph(note, "quiet"), markup.image(file, alternative))


def _batch(run: Material) -> str:
    heading, file = "What the network saw", run.file("batch.png")
    if not run.batch:
        return markup.section(heading, markup.paragraph(f"The first batch was {NOT_RECORDED}."))
    draw_batch(run.batch["images"], run.batch["labels"], run.run.classes, run.settings.get("label_smoothing") or 0.0, file)
    augmented = setting_value(run.settings.get("augment"))
    note = f"The start of the first training batch, as it went into the network. Augmentation: {augmented}."
    alternative = f"Training pictures with their labels; augmentation: {augmented}."
    return markup.section(heading, markup.paragraph(note, "quiet"), markup.image(file, alternative))


def _classes(run: Material) -> str:
    measured: Mapping[str, Mapping[str, Any]] = run.test.get("classes") or {}
    if not measured:
        return ""
    numbers = {name: f"{number} \u00b7 " for number, name in enumerate(run.run.classes)} if _numbered(run.run.classes) else {}
    rows = [
        (
            numbers.get(name, "") + name,
            *(percent(row.get(figure)).removesuffix(" %") for figure in ("f1", "precision", "recall")),
            count(row.get("pictures")),
        )
        for name, row in sorted(measured.items(), key=lambda item: item[1].get("f1", 0.0))
    ]
    headers, caption = ("class", "F1", "precision", "recall", "pictures"), "In percent; the class with the lowest F1 first"
    parts = [markup.table(headers, rows[:SHOWN_CLASSES], range(1, 5), caption)]
    if rest := rows[SHOWN_CLASSES:]:
        parts.append(markup.more(f"the other {len(rest)} classes", markup.table(headers, rest, range(1, 5))))
    return markup.section("Class by class", *parts, wide=True)


def _numbered(classes: list[str]) -> bool:
    """Whether plots have numbers of classes in place of names."""
    return len(classes) > NAMED or not all(map(writable, classes))


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
