"""Proves a release again, on any machine: hashes, then every file that can be run here against its recorded outputs.

Needs numpy, Pillow and the runtimes that are installed; never Keras.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from app.errors import UserError
from app.export.bounds import COUNTED, DIFFERENCE, RECORDED, REPEATED
from app.export.samples import read_answers
from app.images import load_picture
from app.objectives import OBJECTIVES
from app.release import MANIFEST, Artifact, Release, check_artifact, check_extras, check_release, find_release, read_release
from app.runners import Outputs, Runner, RuntimeMissing, open_file, run_pictures

Array = np.ndarray[Any, Any]
Status = Literal["passed", "failed", "not executed"]


@dataclass(frozen=True)
class Verdict:
    """What is known of a file of a release now."""

    path: str
    status: Status
    detail: str


def verify_release(folder: str | Path) -> list[Verdict]:
    """A verdict for every file of a release; of a name, for its newest version; or for one file in a release alone.

    Raises:
        UserError: there is no release, or a file is not as it was verified.
    """
    path = Path(folder)
    if path.is_file():
        release, files = _around(path)
    else:
        release = find_release(path)
        check_release(release)
        files = release.files
    paths, recorded = read_answers(release.folder)
    pictures = np.stack([load_picture(release.folder / path, release.picture_shape) for path in paths])
    return [_verdict(artifact, release.folder, pictures, recorded[artifact.path]) for artifact in files]


def _around(file: Path) -> tuple[Release, tuple[Artifact, ...]]:
    """The release that a file lies in, and the file's entry there."""
    if not (file.parent / MANIFEST).is_file():
        raise UserError(f"'{file}' lies in no release: nothing says what it should answer; give a release, or a file in one")
    release = read_release(file.parent)
    artifact = release.file(file.name)
    if artifact is None:
        raise UserError(f"'{file}' is no part of the release; it has {', '.join(one.path for one in release.files)}")
    check_artifact(release, artifact)
    check_extras(release)
    return release, (artifact,)


def _verdict(artifact: Artifact, folder: Path, pictures: Array, recorded: Outputs) -> Verdict:
    try:
        runner: Runner = open_file(folder / artifact.path, artifact.format)
    except RuntimeMissing:
        return Verdict(artifact.path, "not executed", f"hashes match; {artifact.runtime} is not installed here")
    except UserError as error:
        return Verdict(artifact.path, "failed", str(error))
    good, detail = judge(artifact, run_pictures(runner, pictures), recorded)
    return Verdict(artifact.path, "passed" if good else "failed", detail)


def judge(artifact: Artifact, found: Outputs, recorded: Outputs) -> tuple[bool, str]:
    """Whether a file answers the samples as it was recorded to, and by how much it differs."""
    if "probabilities" not in recorded:
        return _same_answers(artifact, found, recorded)
    bound = RECORDED[artifact.precision]
    difference = max(float(np.abs(found[name] - recorded[name]).max()) for name in recorded)
    pictures = len(next(iter(recorded.values())))
    detail = f"{pictures} samples, at most {difference:.1e} from its recorded answers (bound {bound:g})"
    if artifact.precision in DIFFERENCE:
        return difference <= bound, detail
    changed = sum(int(changed_answers(found[name], recorded[name], bound).sum()) for name in recorded)
    return difference <= bound and not changed, f"{detail}, {changed} other answers"


def _same_answers(artifact: Artifact, found: Outputs, recorded: Outputs) -> tuple[bool, str]:
    """The same of boxes, which may change places, and of masks, of which the likeliest classes were recorded."""
    objective = OBJECTIVES["segmentation" if "masks" in recorded else "detection"]
    bound, pictures = REPEATED[artifact.precision], len(next(iter(recorded.values())))
    agreement = objective.agreement(found, recorded) if _finite(found) else 0.0
    detail = f"{pictures} samples, {100 * agreement:.2f} % of the {COUNTED[objective.name]} as recorded (bound {100 * bound:g} %)"
    return agreement >= bound, detail


def _finite(outputs: Outputs) -> bool:
    return all(bool(np.isfinite(values).all()) for values in outputs.values())


def changed_answers(found: Array, recorded: Array, tie: float) -> Array:
    """Which pictures have another likeliest class, where the recorded one was ahead by more than `tie`.

    Shapes: [N, classes] twice -> bool [N].
    """
    likeliest, now = recorded.argmax(axis=-1), found.argmax(axis=-1)
    pictures = np.arange(len(recorded))
    changed: Array = (likeliest != now) & (recorded[pictures, likeliest] - recorded[pictures, now] > tie)
    return changed
