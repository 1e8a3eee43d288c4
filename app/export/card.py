"""The model card of a release: what it is, how good each file is and where it fails, and how to run it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from app.config import TrainConfig
from app.data.registry import all_datasets
from app.export.converters import VARIANTS
from app.export.snippets import sections
from app.release import Release

LIBRARIES = {"tflite": "tflite", "onnx": "onnx", "saved_model": "tensorflow"}  # as the Hugging Face Hub calls them
LICENCES = ("apache-2.0", "mit", "bsd-3-clause", "gpl-3.0", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0")
WORST, CONFUSED = 10, 2  # classes in the table of weaknesses, and classes that each is taken for
NAMED = 3  # classes that are named in words
NOT_A_SETTING = ("model", "data", "options", "strict", "devices")
UNSET = ("", "none", 0, None)


def card(release: Release, sample: str) -> str:
    """The README.md of a release.

    Args:
        sample: path of a picture in the release, for the snippets.
    """
    parts = [
        front_matter(release),
        f"# {release.name}",
        *introduction(release),
        "## Files",
        *files(release),
        "## Where it fails",
        *weaknesses(release),
        "## None of these",
        none_of_these(release),
        "## Intended use and limits",
        limits(release),
        "## Use",
        "Every snippet has the names and sizes of this release. How far it was tried stands under its heading: the tests are "
        "those of the program that exported this, which try the snippets on a small release of LeNet-5.",
        *sections(release, sample),
        "## Training",
        *training(release),
        "## Origin",
        *origin(release),
    ]
    return "\n\n".join(parts) + "\n"


def front_matter(release: Release) -> str:
    """What the Hugging Face Hub reads of a card, as YAML: texts of JSON are texts of YAML."""
    found = {file.format for file in release.files}
    libraries = [library for file_format, library in LIBRARIES.items() if file_format in found]
    lines = []
    if release.licence.lower() in LICENCES:
        lines += [f"license: {release.licence.lower()}"]
    elif release.licence:
        lines += ["license: other", f"license_name: {json.dumps(release.licence, ensure_ascii=False)}"]
    lines += [f"library_name: {libraries[0]}", f"pipeline_tag: image-{release.objective}"]
    lines += ["tags:", *(f"- {tag}" for tag in libraries), "metrics:", f"- {release.metric}"]
    return "\n".join(["---", *lines, "---"])


def introduction(release: Release) -> Iterator[str]:
    """What it does, what goes in and what comes out."""
    height, width, _ = release.picture_shape
    spec = TrainConfig.from_json(release.run["config"]).spec
    shown = ", ".join(map(plain, release.classes[:WORST]))
    more = f" and {len(release.classes) - WORST:,} more" if len(release.classes) > WORST else ""
    yield (
        f"{spec.title}, trained on {plain(release.run['data']['name'])}, says which of {len(release.classes):,} classes a "
        f"picture shows: {shown}{more} (`labels.txt`). The network is that of {spec.paper}."
    )
    yield "\n".join(
        (
            f"- Input `{release.input['name']}`: float32 [batch, {height}, {width}, 3], RGB, values 0..255; the whole picture, "
            "upright, stretched to that size. Scaling is inside: send the pixels as they are.",
            f"- Output `{release.outputs[0]['name']}`: float32 [batch, {len(release.classes)}], adding up to 1, in the order of "
            "`labels.txt`.",
            *_other_inputs(release),
        )
    )


def _other_inputs(release: Release) -> Iterator[str]:
    if any(file.format == "tflite" for file in release.files):
        yield "- TFLite files take one picture at a time."
    for file in release.files:
        if file.input_dtype == "uint8":
            yield f"- `{file.path}` takes the same values as uint8."
        if file.input_dtype == "int8":
            channels = "one grey channel" if file.channels == "grey" else "RGB"
            yield f"- `{file.path}` takes {channels} as int8, the values less 128, and answers in int8; for microcontrollers."


def files(release: Release) -> Iterator[str]:
    """The table of what each file was measured to do, and the files that could not be made."""
    rows = [
        (
            f"`{file.path}`",
            file.runtime,
            f"{file.precision}: {file.quantisation}" if file.quantisation else file.precision,
            f"{file.bytes:,}",
            f"{file.metric:.4f}",
            f"{file.agreement:.4f}",
            f"{file.max_difference:.1e}" if file.max_difference else "0",
            f"{file.latency_ms:.2f}",
        )
        for file in release.files
    ]
    yield table(("file", "runtime", "precision", "bytes", release.metric, "agreement", "largest difference", "ms"), rows, left=3)
    yield (
        f"Every file answered the same {release.run['heldout']:,} held-out pictures, as Keras did, which has {release.metric} "
        f"{release.run['metric']:.4f}. *Agreement*: share of the pictures with Keras's answer. *Largest difference*: of any "
        "probability from Keras's. *ms*: median of single pictures on the CPU of the machine that exported; phones differ."
    )
    if release.left_out:
        reasons = (f"- `{VARIANTS[name].path}`: {plain(reason)}" for name, reason in release.left_out.items())
        yield "\n".join(("Left out, because they could not be made:\n", *reasons))


def weaknesses(release: Release) -> Iterator[str]:
    """The classes that are missed most and what for, and how far its probabilities can be believed."""
    figures, confusion = release.run["figures"], release.run["figures"]["confusion"]
    seen = [place for place in range(len(release.classes)) if sum(confusion[place])]
    worst = sorted(seen, key=lambda place: confusion[place][place] / sum(confusion[place]))[:WORST]
    missed = [_missed(release, confusion[place], place) for place in worst if confusion[place][place] < sum(confusion[place])]
    yield f"Missed most often: {'; '.join(missed[:NAMED])}." if missed else "It missed none of the held-out pictures."
    rows = []
    for place in worst:
        figure = figures["classes"][release.classes[place]]
        taken = [f"{plain(release.classes[other])} ({count:,})" for other, count in mistakes(confusion[place], place)]
        shares = (f"{figure[key]:.3f}" for key in ("recall", "precision", "f1"))
        rows.append((plain(release.classes[place]), ", ".join(taken) or "-", f"{figure['pictures']:,}", *shares))
    yield table(("class", "most often taken for", "pictures", "recall", "precision", "F1"), rows, left=2)
    which = f"The {len(rows)} classes with the lowest recall. " if len(rows) < len(seen) else ""
    unseen = len(release.classes) - len(seen)
    unknown = f" Classes without held-out pictures, of which nothing is known: {unseen:,}." if unseen else ""
    yield (
        f"{which}*Recall*: share of a class's pictures that it found. *Precision*: share of its answers of that class that were "
        f"right. These are Keras's answers to the held-out pictures; a few pictures of a class say little.{unknown}"
    )
    yield (
        f"Expected calibration error {figures['calibration_error']:.4f}: so far, on average, are its probabilities from how "
        "often it is right (15 equal bins; Guo et al. 2017)."
    )


def _missed(release: Release, row: Sequence[int], place: int) -> str:
    taken = ", ".join(f"{count:,} taken for **{plain(release.classes[other])}**" for other, count in mistakes(row, place))
    return f"**{plain(release.classes[place])}** ({sum(row) - row[place]:,} of {sum(row):,} pictures; {taken})"


def mistakes(row: Sequence[int], place: int) -> list[tuple[int, int]]:
    """The classes that a class was taken for most often, and how often, from its row of the confusion matrix."""
    others = [(other, count) for other, count in enumerate(row) if other != place and count]
    return sorted(others, key=lambda pair: -pair[1])[:CONFUSED]


def none_of_these(release: Release) -> str:
    """The probability below which an answer is none, and what it does."""
    chosen = release.threshold
    closed = "It answers with one of its classes whatever a picture shows"
    if not chosen:
        return f"{closed}. The run chose no probability below which an answer is to be dropped; the snippets drop none."
    return (
        f"{closed}. Take an answer whose probability is below **{chosen['probability']:.4f}** for none of them, as the snippets "
        f"do. On {chosen['pictures']:,} validation pictures this keeps {percent(chosen['right_kept'])} of the right answers and "
        f"drops {percent(chosen['wrong_refused'])} of the wrong ones. It was chosen on the float32 network and **not** tested on "
        "pictures of other things: how many of those it drops is not known."
    )


def limits(release: Release) -> str:
    """What it is for, and what is not known of it."""
    data = plain(release.run["data"]["name"])
    return "\n".join(
        (
            f"- For pictures like those of {data}, of one of its classes. Elsewhere, measure it first on pictures of your own.",
            "- Not tested: other cameras, light and backgrounds, pictures of other things, and pictures made to mislead it.",
            "- It sees the whole picture at once and finds no places in it. One that is not square is distorted, as in training.",
            f"- What {data} lacks or shows one-sidedly, it does not know. Nothing was measured for groups of people.",
        )
    )


def training(release: Release) -> Iterator[str]:
    """The data and the recipe."""
    config, name = release.run["config"], plain(release.run["data"]["name"])
    spec = all_datasets().get(config["data"])
    about = f" - {spec.title}, {spec.pictures} pictures, {spec.size} ({spec.source})" if spec else ""
    yield f"Data: {name}{about}. Held-out pictures were not trained on."
    rows = [(f"`{setting}`", value, text) for setting, value, text in settings(config)]
    yield table(("setting", "value", "what it is"), rows, left=3)


def settings(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The settings that matter: name, value and meaning of all that are on, and of the seed."""
    for member in fields(TrainConfig):
        value = config.get(member.name)
        if member.name not in NOT_A_SETTING and (value not in UNSET or member.name == "seed"):
            yield member.name, plain(str(value)), member.metadata["help"]
    for name, value in config["options"].items():
        yield name, plain(str(value)), "option of the network"


def origin(release: Release) -> Iterator[str]:
    """Licence, run, commit, data and versions, and how to see that the files are those."""
    run = release.run
    yield "\n".join(
        (
            f"- Licence: {plain(release.licence) or 'not stated'}. The training data have terms of their own.",
            f"- Run: {plain(run['name'])}. Commit of the program: {run['git_commit'] or 'not recorded'}.",
            f"- Data: {plain(run['data']['name'])}, fingerprint {run['data']['fingerprint']}.",
            f"- Versions: {', '.join(f'{name} {version}' for name, version in release.versions.items())}.",
        )
    )
    yield (
        "`release.json` has the sha256 of every file. `samples/` has pictures and, in `samples.json`, what every file answers to "
        "them, so that any client can test itself. `python -m app verify` and this folder's path, in a checkout of the program, "
        "checks both."
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """A table in Markdown.

    Args:
        left: how many columns are text; the others are numbers, and stand to the right.
    """
    line = ["---" if place < left else "---:" for place in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, line, *rows))


def plain(text: str) -> str:
    """A text that Markdown shows as it is, also in a table; an underscore between letters means nothing to it."""
    marked = re.sub(r"[\\`*\[\]]|(?<![^\W_])_|_(?![^\W_])", lambda found: f"\\{found[0]}", text)
    return re.sub(r"[&<>|~$]", lambda found: f"&#{ord(found[0])};", marked)


def percent(share: float) -> str:
    """`98.6 %`; 100 % only if it is all."""
    text = f"{100 * share:.1f}"
    return "99.9 %" if share < 1 and text == "100.0" else f"{text} %"
