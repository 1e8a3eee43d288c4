"""The layout of TensorFlow Serving.

Source: TensorFlow Serving's documentation, "TensorFlow Serving Configuration".
"""

from __future__ import annotations

import re
from pathlib import Path

from app.errors import UserError
from app.release import Artifact, Release
from app.repository.place import Layout
from app.repository.plan import Model, served_newest

CONFIG = "models.config"
MOUNT = "/models"  # where the server's container has its models
HEAD, TAIL = "model_config_list {\n", "}\n"
ENTRY = re.compile(r'  config \{\n    name: "(?P<name>[^"]+)"\n(?:    .*\n)*?  \}\n')


def tfserving(models: list[Model], out: Path, mount: str = MOUNT, *, replace: bool = False) -> Layout:
    """Where everything goes: `<name>/<version>/saved_model.pb` and the rest of it, and models.config for all names.

    Args:
        out: the repository; the entries of other names in its models.config are kept.
        mount: what the server calls the repository: TensorFlow Serving takes absolute paths alone.
        replace: give up a models.config that was not written by this program.
    Raises:
        UserError: a release has no SavedModel, or models.config was edited.
    """
    if not mount.startswith("/") and "://" not in mount:
        raise UserError(f"--mount {mount} is no absolute path, as TensorFlow Serving needs it; give one, as in --mount {MOUNT}")
    folders = {}
    for model in models:
        for release in model.releases:
            folder = release.folder / saved_model(release).path
            files = (file for file in sorted(folder.rglob("*")) if file.is_file())
            folders[f"{model.name}/{release.version}"] = {file.relative_to(folder).as_posix(): file for file in files}
    try:
        known = entries(out)
    except UserError:
        if not replace:
            raise
        known = {}
    ours = {model.name: entry(model, mount) for model in models}
    index = {CONFIG: HEAD + "".join((known | ours).values()) + TAIL}
    return Layout(folders, {}, indexes=index, newest=served_newest(models))


def saved_model(release: Release) -> Artifact:
    """The release's SavedModel.

    Raises:
        UserError: it has none.
    """
    found = next((file for file in release.files if file.format == "saved_model"), None)
    if found is None:
        raise UserError(f"{release.folder} has no SavedModel; export it with --variants saved_model")
    return found


def entry(model: Model, mount: str) -> str:
    """The lines of a name in models.config."""
    if model.policy == "latest":
        policy = "latest { num_versions: 1 }"
    elif model.policy == "all":
        policy = "all { }"
    else:
        policy = f"specific {{ {' '.join(f'versions: {number}' for number in model.numbers)} }}"
    lines = [
        "config {",
        f'  name: "{model.name}"',
        f'  base_path: "{mount.rstrip("/")}/{model.name}"',
        '  model_platform: "tensorflow"',
        f"  model_version_policy {{ {policy} }}",
        "}",
    ]
    return "".join(f"  {line}\n" for line in lines)


def entries(out: Path) -> dict[str, str]:
    """The lines of every name in the models.config of a repository; none if there is no such file.

    Raises:
        UserError: it has more than this program writes.
    """
    file = out / CONFIG
    text = file.read_text(encoding="utf-8") if file.is_file() else HEAD + TAIL
    found = {match["name"]: match[0] for match in ENTRY.finditer(text)}
    if text != HEAD + "".join(found.values()) + TAIL:
        raise UserError(f"{file} was written otherwise than by this program; add to it by hand, or give --replace to lose it")
    return found
