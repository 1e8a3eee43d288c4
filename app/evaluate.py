"""How good a run, or each file of a release, is on test pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from app.config import TrainConfig
from app.data.augment.pictures import flip
from app.data.augment.policies import find_policy
from app.data.registry import is_known, load_data, load_test
from app.data.spec import Array, Split
from app.deploy import dense_model
from app.errors import UserError
from app.objectives import OBJECTIVES, Objective, Outputs
from app.release import Release, check_release, find_release
from app.runners import Runner, RuntimeMissing, first_line, open_file, run_pictures
from app.runners.keras import KerasRunner
from app.runs import is_run, open_finished_run

Say = Callable[[str], None]


def evaluate_densely(source: str, data: str | None, scales: Sequence[int], say: Say) -> list[dict[str, Any]]:
    """The figures of a run slid over the test pictures at several sizes, and of its probabilities averaged over these.

    Pictures are mirrored too, as the paper does, if the training mirrored them.

    Args:
        scales: sides in pixels; none: the network's own.
    Raises:
        UserError: it is no run, a side is smaller than the network's, or the network has no dense form.
    Source: Simonyan and Zisserman 2014, section 3.2.
    """
    if not is_run(source):
        raise UserError(f"--dense measures a run, whose network can be slid over any size; {source} is none")
    run = open_finished_run(source)
    if run.objective.name != "classification":
        raise UserError(f"--dense averages the classes of one picture; {source} is for {run.objective.name}, leave it out")
    own = run.input_shape[0]
    if small := [side for side in scales if side < own]:
        raise UserError(f"--scales {small[0]} is smaller than the {own} pixels that {source} was trained on; give {own} or more")
    try:
        runner = KerasRunner(dense_model(run.network()))
    except ValueError as error:
        raise UserError(f"{run.config.model} has no dense form: {first_line(error)}; leave --dense out") from None
    test = _test_split(source, run.config, tuple(run.classes), run.record["data"]["fingerprint"], data, (own, own), say)
    mirrored = flip in find_policy(run.config.augment)
    found, views, file = [], [], run.best_file.name
    for side in scales or (own,):
        images = test.images if side == own else load_test(replace(run.config, data=data or run.config.data), side, say).images
        view = run_pictures(runner, images)
        both = [view, run_pictures(runner, images[:, :, ::-1])] if mirrored else [view]
        views.append({name: np.mean([one[name] for one in both], axis=0) for name in view})
        found.append(_row(f"{file} at {side}", data or run.config.data, run.objective, views[-1], test.labels, run.classes, say))
    if len(views) > 1:
        mean = {name: np.mean([view[name] for view in views], axis=0) for name in views[0]}
        name = f"{file} at {', '.join(map(str, scales))} together"
        found.append(_row(name, data or run.config.data, run.objective, mean, test.labels, run.classes, say))
    return found


def evaluate(source: str, data: str | None, say: Say) -> list[dict[str, Any]]:
    """The figures of every network in `source` on the test split of its data, or of other data with the same classes.

    Raises:
        UserError: there is no such run or release, or the data does not fit it.
    """
    if is_run(source):
        run = open_finished_run(source)
        config, objective, classes, size = run.config, run.objective, tuple(run.classes), run.input_shape[:2]
        trained_on, threshold = run.record["data"]["fingerprint"], run.metrics().get("threshold", {})
        networks: Iterator[tuple[str, Runner]] = iter([(run.best_file.name, KerasRunner(run.inference_model()))])
    else:
        release = find_release(source)
        check_release(release)
        config, objective = TrainConfig.from_json(release.run["config"]), OBJECTIVES[release.objective]
        classes, size = release.classes, release.picture_shape[:2]
        trained_on, threshold = release.run["data"]["fingerprint"], release.threshold
        networks = _files(release, say)
    test = _test_split(source, config, classes, trained_on, data, size, say)
    found = []
    for name, runner in networks:
        outputs = run_pictures(runner, test.images, objective.kept)
        found.append(_row(name, data or config.data, objective, outputs, test.labels, classes, say, threshold))
    return found


def _test_split(
    source: str, config: TrainConfig, classes: tuple[str, ...], trained_on: str, data: str | None, size: tuple[int, int], say: Say
) -> Split:
    """The test pictures of the data, or of other data with the same classes, at a size."""
    if data is None and not is_known(config.data):
        raise UserError(f"{source} was trained on '{config.data}', which is not here; say where it is with --data")
    data = data or config.data
    found = load_data(replace(config, data=data, image_size=size[0], image_width=size[1]), say)
    if found.classes != classes:
        raise UserError(f"{data} has the classes {', '.join(found.classes[:5])}...; {source} knows {', '.join(classes[:5])}...")
    if data == config.data and found.fingerprint != trained_on:
        # Splits are drawn anew from what is there now: what is test today may have been trained on.
        raise UserError(f"{data} is not what {source} was trained on any more; give data of its own with --data")
    return found.test


def _row(
    name: str,
    data: str,
    objective: Objective,
    outputs: Outputs,
    labels: Array,
    classes: Sequence[str],
    say: Say,
    threshold: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The figures of some outputs, told and given."""
    figures = objective.measure(outputs, labels, classes, threshold)
    say(f"{name:<24} {objective.metric} {100 * figures[objective.metric]:.2f} % of {figures['pictures']:,} test pictures")
    return {"file": name, "data": data, **figures}


def _files(release: Release, say: Say) -> Iterator[tuple[str, Runner]]:
    """Every file of a release that can be run here."""
    for artifact in release.files:
        try:
            yield artifact.path, open_file(release.folder / artifact.path, artifact.format)
        except RuntimeMissing as error:
            say(str(error))
