"""How good a run, or each file of a release, is on test pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from app.config import TrainConfig
from app.data.registry import is_known, load_data
from app.errors import UserError
from app.objectives import OBJECTIVES
from app.release import Release, check_release, find_release
from app.runners import Runner, RuntimeMissing, open_file, run_pictures
from app.runners.keras import KerasRunner
from app.runs import is_run, open_finished_run

Say = Callable[[str], None]


def evaluate(source: str, data: str | None, say: Say) -> list[dict[str, Any]]:
    """The figures of every network in `source` on the test split of its data, or of other data with the same classes.

    Raises:
        UserError: there is no such run or release, or the data does not fit it.
    """
    if is_run(source):
        run = open_finished_run(source)
        config, objective, classes, side = run.config, run.objective, tuple(run.classes), run.input_shape[0]
        trained_on = run.record["data"]["fingerprint"]
        networks: Iterator[tuple[str, Runner]] = iter([(run.best_file.name, KerasRunner(run.inference_model()))])
    else:
        release = find_release(source)
        check_release(release)
        config, objective = TrainConfig.from_json(release.run["config"]), OBJECTIVES[release.objective]
        classes, side = release.classes, release.picture_shape[0]
        trained_on = release.run["data"]["fingerprint"]
        networks = _files(release, say)
    if data is None and not is_known(config.data):
        raise UserError(f"{source} was trained on '{config.data}', which is not here; say where it is with --data")
    data = data or config.data
    test = load_data(replace(config, data=data, image_size=side), say)
    if test.classes != classes:
        raise UserError(f"{data} has the classes {', '.join(test.classes[:5])}...; {source} knows {', '.join(classes[:5])}...")
    if data == config.data and test.fingerprint != trained_on:
        # Splits are drawn anew from what is there now: what is test today may have been trained on.
        raise UserError(f"{data} is not what {source} was trained on any more; give data of its own with --data")
    found = []
    for name, runner in networks:
        figures = objective.measure(run_pictures(runner, test.test.images), test.test.labels, classes)
        found.append({"file": name, "data": data, **figures})
        say(f"{name:<24} {objective.metric} {100 * figures[objective.metric]:.2f} % of {figures['pictures']:,} test pictures")
    return found


def _files(release: Release, say: Say) -> Iterator[tuple[str, Runner]]:
    """Every file of a release that can be run here."""
    for artifact in release.files:
        try:
            yield artifact.path, open_file(release.folder / artifact.path, artifact.format)
        except RuntimeMissing as error:
            say(str(error))
