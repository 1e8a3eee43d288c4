"""The commands. Each is a short function; what is heavy is imported inside, after everything cheap has been checked."""

from __future__ import annotations

import argparse
import errno
import json
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from app.config import TrainConfig, make_config
from app.errors import UserError
from app.flags import Parser, add_training_flags, count, given_options, given_settings, number, refuse_empty

INTERRUPTED = 130  # what shells give for Ctrl-C
MENDABLE = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS,
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit code: 0, 2 for anything the user can mend, 130 when interrupted."""
    try:
        given = _parser().parse_args(arguments)
        refuse_empty(given)
        given.command(given)
        return 0
    except UserError as error:
        print(f"convoy: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in MENDABLE:
            raise
        place = f" ({error.filename})" if error.filename else ""
        print(f"convoy: {error.strerror}{place}; make room or choose another place, then go on", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("convoy: stopped", file=sys.stderr)
        return INTERRUPTED


def train(given: argparse.Namespace) -> None:
    """Trains a network on a data set, or goes on with a run that was stopped."""
    from app.data.augment import find_policy
    from app.data.registry import check_name
    from app.runs import Run, claimed, find_weights, run_folder

    config, folder = _resumed(given) if given.resume else (_new_config(given), None)
    check_name(config.data)
    find_policy(config.augment)
    if config.weights:
        find_weights(config.weights)
    if folder is None:
        folder = run_folder(given.out, config.model, config.data)
        if Run(folder).config_file.exists():
            raise UserError(f"{folder} holds a run already; go on with it by --resume, or choose another --out")
    if given.resume and Run(folder).finished:
        from app.report.page import write_report

        _say(f"{_shown(folder)} has ended already; its figures: {_shown(write_report(Run(folder)))}")
        return
    with claimed(folder), _stoppable(folder):
        from app.runners.silence import load_keras

        load_keras()
        from app.report.page import write_report
        from app.train.fit import fit

        run = fit(config, folder, _say, live=not given.quiet)
        page = write_report(run)
    _say(f"report: {_shown(page)}")
    _say(f"next:   {_command('export', _shown(folder))}      (files for phones, browsers and servers)")
    _say(f"        {_command('predict', _shown(folder))} PICTURE")


def evaluate(given: argparse.Namespace) -> None:
    """Measures a run, or each file of a release, on the test pictures."""
    from app.evaluate import evaluate as measure

    rows = measure(given.source, given.data, _say if not given.json else _nothing)
    if given.json:
        print(json.dumps(rows, indent=2))


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


def export(given: argparse.Namespace) -> None:
    """Turns a run into a verified release."""
    from app.export.export import choose
    from app.export.export import export as make_release
    from app.runners.silence import load_keras
    from app.runs import open_finished_run

    run = open_finished_run(given.run)
    choose(given.variants or ())
    load_keras()
    release = make_release(run, Path(given.out), given.name, given.variants or (), given.tolerance, _say)
    _say(f"released: {_shown(release.folder)}")
    _say(f"next:   {_command('predict', f'{given.out}/{release.name}')} PICTURE")


def verify(given: argparse.Namespace) -> None:
    """Checks a release: hashes, and every file against its samples."""
    from app.export.verify import verify_release
    from app.tables import table

    verdicts = verify_release(given.release)
    print(table(("file", "status", "detail"), [(verdict.path, verdict.status, verdict.detail) for verdict in verdicts]))
    if failed := [verdict.path for verdict in verdicts if verdict.status == "failed"]:
        raise UserError(f"{given.release}: {', '.join(failed)} failed; export it again")


def predict(given: argparse.Namespace) -> None:
    """Asks a run, a release or a lone file about pictures."""
    from app.predict import predict as ask
    from app.predict import write_csv, write_json, write_text

    unread: list[str] = []
    rows = _noting_unread(ask(given.source, given.pictures, given.top), unread)
    if given.csv:
        with open(given.csv, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            write_csv(rows, file, given.top)
        _say(f"answers: {given.csv}")
    else:
        (write_json if given.json else write_text)(rows, sys.stdout)
    if unread:
        raise UserError(f"{len(unread)} of the pictures could not be read, the first: {unread[0]}")


def models(given: argparse.Namespace) -> None:
    """Lists the networks."""
    from app.tables import table
    from models.registry import all_models

    specs = all_models().values()
    if given.json:
        keys = ("name", "title", "year", "paper", "objective", "input_shape", "min_size", "parameters")
        print(json.dumps([{key: getattr(spec, key) for key in keys} for spec in specs], indent=2))
        return
    rows = [(s.name, s.year, f"{s.parameters:,}", "x".join(map(str, s.input_shape)), s.title, s.paper) for s in specs]
    print(table(("name", "year", "parameters", "input", "title", "paper"), rows))


def datasets(given: argparse.Namespace) -> None:
    """Lists the data sets that have a name."""
    from app.data.registry import all_datasets
    from app.tables import table

    specs = all_datasets().values()
    keys = ("name", "title", "classes", "pictures", "size", "download", "source", "verified")
    if given.json:
        print(json.dumps([{key: getattr(spec, key) for key in keys} for spec in specs], indent=2))
        return
    shown = [[getattr(spec, key) for key in keys[:-1]] + ["yes" if spec.verified else "not run"] for spec in specs]
    print(table((*keys[:-1], "tried by us"), shown))
    print("also: tfds:<name> (any classification set of TensorFlow Datasets), a folder class/picture.jpg, a .npz file")


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
            print(f"\nconvoy: go on with: {_command('train', '--resume', '--out', _shown(folder))}", file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _command(*words: str) -> str:
    """A command as it can be typed here: by the Python that runs this, where `python` is another one."""
    ours, found = Path(sys.executable), shutil.which("python")
    same = found is not None and Path(found).parent == ours.parent  # of one folder; links would lead out of both environments
    return shlex.join(["python" if same else _shown(ours), "-m", "app", *words])


def _shown(path: Path) -> str:
    """A path as short as it can be typed from here."""
    return min(os.path.relpath(path), str(path.absolute()), key=len)


def _say(line: str) -> None:
    print(line, flush=True)


def _noting_unread(rows: Iterator[Any], unread: list[str]) -> Iterator[Any]:
    """The rows as they come; those of pictures that could not be read are noted too."""
    for path, answer in rows:
        if isinstance(answer, str):
            unread.append(f"{path}: {answer}")
        yield path, answer


def _nothing(line: str) -> None:
    del line


COMMANDS = {
    "train": train,
    "evaluate": evaluate,
    "compare": compare,
    "export": export,
    "verify": verify,
    "predict": predict,
    "models": models,
    "datasets": datasets,
}


def _parser() -> Parser:
    parser = Parser(COMMANDS, prog="python -m app", description="Convoy: classic CNNs, from pixels to the phone.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    made = {}
    for name, command in COMMANDS.items():
        summary = (command.__doc__ or "").strip()
        made[name] = commands.add_parser(name, help=summary, description=summary)
        made[name].set_defaults(command=command)
    add_training_flags(made["train"])
    made["evaluate"].add_argument("source", metavar="RUN|RELEASE")
    made["evaluate"].add_argument("--data", help="other data than the run's own, with the same classes")
    made["compare"].add_argument("runs", nargs="+", metavar="RUN")
    made["compare"].add_argument("--plot", default="runs/compare.png", help="where the curves go")
    made["export"].add_argument("run", metavar="RUN")
    made["export"].add_argument("--variants", nargs="+", metavar="VARIANT", help="files to make; default: all")
    made["export"].add_argument("--name", help="name of the release; default: <model>-<data>")
    made["export"].add_argument("--out", default="exported", help="folder of releases")
    made["export"].add_argument(
        "--tolerance", type=number, metavar="POINTS", help="points of accuracy an int8 file may lose, dynamic half; default: 1"
    )
    made["verify"].add_argument("release", metavar="RELEASE")
    made["predict"].add_argument("source", metavar="RUN|RELEASE|FILE")
    made["predict"].add_argument("pictures", nargs="+", metavar="PICTURE|FOLDER")
    made["predict"].add_argument("--top", type=count, default=5, help="how many labels; default: 5")
    form = made["predict"].add_mutually_exclusive_group()
    form.add_argument("--csv", metavar="FILE", help="write a table instead")
    form.add_argument("--json", action="store_true", help="an object a line, for programs")
    for name in ("evaluate", "compare", "models", "datasets"):
        made[name].add_argument("--json", action="store_true", help="for programs")
    return parser
