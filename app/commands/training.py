"""Commands around a run: train, evaluate, compare."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from app.commands.screen import command, nothing, say, shown
from app.config import TrainConfig, make_config
from app.errors import UserError
from app.flags import given_options, given_settings, sides


def train(given: argparse.Namespace) -> None:
    """Trains a network on a data set, or goes on with a run that was stopped."""
    from app.data.augment.policies import find_policy
    from app.data.registry import check_name
    from app.runs import Run, claimed, find_weights, run_folder

    config, folder = _resumed(given) if given.resume else (_new_config(given), None)
    check_name(config.data)
    find_policy(config.augment, config.spec.objective)
    if config.weights and not (folder and Run(folder).state_file.exists()):
        find_weights(config.weights, config.model)
    if folder is None:
        folder = run_folder(given.out, config.model, config.data)
        if Run(folder).config_file.exists():
            raise UserError(f"{folder} holds a run already; go on with it by --resume, or choose another --out")
    if given.resume and Run(folder).finished:
        from app.report.page import write_report

        say(f"{shown(folder)} has ended already; its figures: {shown(write_report(Run(folder)))}")
        return
    with claimed(folder), _stoppable(folder):
        from app.runners.silence import load_keras

        load_keras()
        from app.report.page import write_report
        from app.train.fit import fit

        run = fit(config, folder, say, live=not given.quiet)
        page = write_report(run)
    say(f"report: {shown(page)}")
    say(f"next:   {command('export', shown(folder))}      (files for phones, browsers and servers)")
    say(f"        {command('predict', shown(folder))} PICTURE")


def evaluate(given: argparse.Namespace) -> None:
    """Measures a run, or each file of a release, on the test pictures."""
    from app.evaluate import evaluate as measure
    from app.evaluate import evaluate_densely

    told = nothing if given.json else say
    if given.scales and not given.dense:
        raise UserError("--scales are those of --dense; give both")
    if given.dense:
        rows = evaluate_densely(given.source, given.data, given.scales, told)
    else:
        rows = measure(given.source, given.data, told)
    if given.json:
        print(json.dumps(rows, indent=2))


def add_evaluate_flags(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of `evaluate` its flags."""
    parser.add_argument("source", metavar="RUN|RELEASE")
    parser.add_argument("--data", help="other data than the run's own, with the same classes")
    parser.add_argument("--dense", action="store_true", help="slide a run's network over the pictures and average")
    parser.add_argument(
        "--scales",
        type=sides("--scales"),
        default=(),
        metavar="PIXELS,...",
        help="with --dense: sizes to average over, as 256,384,512",
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def compare(given: argparse.Namespace) -> None:
    """Puts runs side by side: a table, and their curves in one plot."""
    from app.report.compare import compare as side_by_side
    from app.runs import open_run

    plot = Path(given.plot)
    if plot.suffix != ".png":
        raise UserError(f"--plot {plot}: the curves are written as PNG; give a name that ends in .png")
    comparison = side_by_side([open_run(path) for path in given.runs], plot)
    if given.json:
        print(json.dumps(comparison.to_json(), indent=2))
    else:
        print(comparison.text)
        print(f"curves: {given.plot}")


def add_compare_flags(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of `compare` its flags."""
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--plot", default="runs/compare.png", help="where the curves go")
    parser.add_argument("--json", action="store_true", help="for programs")


def _resumed(given: argparse.Namespace) -> tuple[TrainConfig, Path]:
    """The configuration and folder to go on with; a new run's, if MODEL and DATA are given and there is none yet."""
    from app.runs import LATEST, RUNS, Run, open_run

    folder = Path(given.out) if given.out else RUNS / LATEST
    if given.model and given.data and given.out and not Run(folder).config_file.exists():
        return _new_config(given), folder
    run = open_run(folder)
    named = {name: getattr(given, name) for name in ("model", "data") if getattr(given, name)}
    asked = {**named, **given_settings(given)}
    options = {name: option.default for name, option in run.config.spec.options.items()} | dict(run.config.options)
    began: dict[str, Any] = options | run.config.to_json()
    for name, value in (asked | given_options(given, run.config.model)).items():
        if value != began[name]:
            raise UserError(f"{folder} was started with {name} {began[name]}, not {value}; --resume goes on as it began")
    return run.config, run.folder


def _new_config(given: argparse.Namespace) -> TrainConfig:
    if not (given.model and given.data):
        raise UserError("train takes a model and a data set, as in: python -m app train lenet5 digits")
    return make_config(given.model, given.data, given_settings(given), given_options(given, given.model))


@contextmanager
def _stoppable(folder: Path) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the training with a word on how to go on."""
    from app.runs import is_run

    def stop(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        if is_run(folder):
            print(f"\nconvoy: go on with: {command('train', '--resume', '--out', shown(folder))}", file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
