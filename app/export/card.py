"""The model card of a release: what it is, how good each file is and where it fails, and how to run it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from app.config import TrainConfig
from app.data.registry import all_datasets
from app.export.converters import VARIANTS
from app.export.failures import WORST, weaknesses
from app.export.markdown import percent, plain, table
from app.export.snippets import sections
from app.release import Release

LIBRARIES = {"tflite": "tflite", "onnx": "onnx", "saved_model": "tensorflow"}  # as the Hugging Face Hub calls them
LICENCES = ("apache-2.0", "mit", "bsd-3-clause", "gpl-3.0", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0")
NOT_A_SETTING = ("model", "data", "options", "strict", "devices")
PIPELINES = {"classification": "image-classification", "detection": "object-detection", "segmentation": "image-segmentation"}
SAYS = {
    "classification": "says which of {count:,} classes a picture shows",
    "detection": "finds objects of {count:,} classes in a picture, with a box around each",
    "segmentation": "says of every pixel of a picture which of {count:,} classes it is of",
}
AGREEMENT = {
    "classification": "share of the pictures with Keras's answer",
    "detection": "share of the boxes with a score of .25 or more that Keras has too, of the same class and with an IoU above .9",
    "segmentation": "share of the pixels with Keras's class",
}
DIFFERENCE = {
    "classification": "of any probability from Keras's",
    "detection": "of the score of any box from that of Keras's box in the same place of the order",
    "segmentation": "of any probability from Keras's, in as many pictures as memory allows",
}
SEES = {
    "classification": "It sees the whole picture at once and finds no places in it.",
    "detection": "It sees the whole picture at its own size: objects of a few pixels there are not found.",
    "segmentation": "It sees the whole picture at its own size, which the mask has too: stretch the mask back for another.",
}
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
        *doubt(release),
        "## Intended use and limits",
        limits(release),
        "## Use",
        "Every snippet has the names and sizes of this release. How far it was tried stands under its heading: the tests are "
        "those of the program that exported this, which try the snippets on a small release.",
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
    lines += [f"library_name: {libraries[0]}", f"pipeline_tag: {PIPELINES[release.objective]}"]
    lines += ["tags:", *(f"- {tag}" for tag in libraries), "metrics:", f"- {release.metric}"]
    return "\n".join(["---", *lines, "---"])


def introduction(release: Release) -> Iterator[str]:
    """What it does, what goes in and what comes out."""
    height, width, _ = release.picture_shape
    spec = TrainConfig.from_json(release.run["config"]).spec
    shown = ", ".join(map(plain, release.classes[:WORST]))
    more = f" and {len(release.classes) - WORST:,} more" if len(release.classes) > WORST else ""
    does = SAYS[release.objective].format(count=len(release.classes))
    yield (
        f"{spec.title}, trained on {plain(release.run['data']['name'])}, {does}: {shown}{more} (`labels.txt`). After: "
        f"{spec.paper}."
    )
    yield "\n".join(
        (
            f"- Input `{release.input['name']}`: float32 [batch, {height}, {width}, 3], RGB, values 0..255; the whole picture, "
            "upright, stretched to that size. Scaling is inside: send the pixels as they are.",
            *outputs(release),
            *_other_inputs(release),
        )
    )


def outputs(release: Release) -> Iterator[str]:
    """A line for every output: its shape and what it means."""
    meaning = {
        "probabilities": "adding up to 1, in the order of `labels.txt`",
        "masks": "of every pixel the probability of every class, adding up to 1, in the order of `labels.txt`",
        "boxes": "ymin, xmin, ymax and xmax as fractions of the picture, 0..1, the surest box first",
        "classes": "of each box the number of its line in `labels.txt`, from 0",
        "scores": "of each box how sure the network is, 0..1",
        "count": "how many of these are boxes; the rest is 0",
    }
    for output in release.outputs:
        shape = ", ".join(map(str, output["shape"]))
        yield f"- Output `{output['name']}`: float32 [{shape}], {meaning[output['name']]}."
    if release.objective == "detection":
        yield "- Boxes of a class that overlap a surer one have been taken out already: no code of yours is needed for that."


def _other_inputs(release: Release) -> Iterator[str]:
    if any(file.format == "tflite" for file in release.files):
        yield "- TFLite files take one picture at a time."
    for file in release.files:
        if file.input_dtype == "uint8":
            yield f"- `{file.path}` takes the same values as uint8."
        if file.tail:
            yield (
                f"- `{file.path}` is the first half of a network; give all that it answers, by their names, to `{file.tail}`, "
                "which has the outputs above."
            )
        if file.input_dtype == "int8":
            channels = "one grey channel" if file.channels == "grey" else "RGB"
            yield f"- `{file.path}` takes {channels} as int8, the values less 128, and answers in int8; for microcontrollers."


def files(release: Release) -> Iterator[str]:
    """The table of what each file was measured to do, and the files that could not be made."""
    rows = [
        (
            f"`{file.path}`" + (f", `{file.tail}`" if file.tail else ""),
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
        f"{release.run['metric']:.4f}. *Agreement*: {AGREEMENT[release.objective]}. *Largest difference*: "
        f"{DIFFERENCE[release.objective]}. *ms*: median of single pictures on the CPU of the machine that exported; phones "
        "differ."
    )
    if release.left_out:
        reasons = (f"- `{VARIANTS[name].path}`: {plain(reason)}" for name, reason in release.left_out.items())
        yield "\n".join(("Left out, because they could not be made:\n", *reasons))


def doubt(release: Release) -> list[str]:
    """From where an answer is to be believed."""
    if release.objective == "classification":
        return ["## None of these", none_of_these(release)]
    return ["## Which boxes to believe", least_score(release)] if release.objective == "detection" else []


def least_score(release: Release) -> str:
    """The score below which a box is not to be told, and what it does."""
    chosen = release.threshold
    if not chosen:
        return "The run chose no score below which a box is to be dropped; the snippets drop none."
    return (
        f"Leave out boxes with a score below **{chosen['probability']:.4f}**, as the snippets do. On {chosen['pictures']:,} "
        f"validation pictures this gives the best balance of boxes that are right and objects that are found: F1 "
        f"{chosen['f1']:.3f}. Another use may want another score: a higher one for fewer false boxes, a lower one to miss less."
    )


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
            f"- For pictures like those of {data}, with its classes. Elsewhere, measure it first on pictures of your own.",
            "- Not tested: other cameras, light and backgrounds, pictures of other things, and pictures made to mislead it.",
            f"- {SEES[release.objective]} One of another shape is distorted, as in training.",
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
