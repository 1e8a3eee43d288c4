"""Commands around a release: export, verify, predict."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.commands.screen import command, say, shown
from app.errors import UserError
from app.flags import MOST_LABELS, number, whole

MOST_VERSIONS = 1_000_000


def export(given: argparse.Namespace) -> None:
    """Turns a run into a verified release."""
    from app.export.export import choose
    from app.export.export import export as make_release
    from app.runners.silence import load_keras
    from app.runs import open_finished_run

    run = open_finished_run(given.run)
    choose(given.variants or ())
    load_keras()
    release = make_release(run, Path(given.out), given.name, given.variants or (), given.tolerance, given.licence or "", say)
    say(f"released: {shown(release.folder)}")
    say(f"next:   {command('predict', f'{given.out}/{release.name}')} PICTURE")


def add_export_flags(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of `export` its flags."""
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--variants", nargs="+", metavar="VARIANT", help="files to make; default: all")
    parser.add_argument("--name", help="name of the release; default: <model>-<data>")
    parser.add_argument("--out", default="exported", help="folder of releases")
    parser.add_argument("--licence", metavar="TEXT", help="under which others may use it, written into the files")
    parser.add_argument(
        "--tolerance",
        type=number,
        metavar="POINTS",
        help="points of the metric that an int8 file may lose, dynamic half; default: 1, boxes 3, masks 2",
    )


def verify(given: argparse.Namespace) -> None:
    """Checks a release, or one file in it: hashes, and every file against its samples."""
    from app.export.verify import verify_release
    from app.tables import table

    verdicts = verify_release(given.release)
    print(table(("file", "status", "detail"), [(verdict.path, verdict.status, verdict.detail) for verdict in verdicts]))
    if failed := [verdict.path for verdict in verdicts if verdict.status == "failed"]:
        raise UserError(f"{given.release}: {', '.join(failed)} failed; export it again")


def add_verify_flags(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of `verify` its flags."""
    parser.add_argument("release", metavar="RELEASE|FILE")


def rollback(given: argparse.Namespace) -> None:
    """Makes an earlier version of a release the newest again; later ones are kept under withdrawn/."""
    from app.export.place import roll_back

    version = roll_back(Path(given.name), given.to)
    say(f"{given.name} is version {version} now")


def add_rollback_flags(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of `rollback` its flags."""
    parser.add_argument("name", metavar="NAME", help="the folder of a release's versions, as in exported/lenet5-digits")
    parser.add_argument("--to", type=whole("--to", MOST_VERSIONS), metavar="VERSION", help="default: the one before the newest")


def predict(given: argparse.Namespace) -> None:
    """Asks a run, a release or a lone file about pictures."""
    from app.predict.ask import answers, find_pictures, open_network
    from app.predict.drawn import draw_rows
    from app.predict.written import write_csv, write_json, write_text

    pictures, network = find_pictures(given.pictures), open_network(given.source)
    unread: list[str] = []
    rows = _noting_unread(answers(network, pictures, given.top), unread)
    if given.draw:
        rows = draw_rows(rows, Path(given.draw))
    if given.csv:
        with open(given.csv, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            write_csv(rows, file, network.objective.name, given.top)
        say(f"answers: {given.csv}")
    else:
        (write_json if given.json else write_text)(rows, sys.stdout)
    if given.draw and not given.json:
        say(f"drawn: {given.draw}")
    if unread:
        raise UserError(f"{len(unread)} of the pictures could not be read, the first: {unread[0]}")


def add_predict_flags(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of `predict` its flags."""
    parser.add_argument("source", metavar="RUN|RELEASE|FILE")
    parser.add_argument("pictures", nargs="+", metavar="PICTURE|FOLDER")
    parser.add_argument("--top", type=whole("--top", MOST_LABELS), help="how many labels or boxes; default: 5 labels, all boxes")
    parser.add_argument("--draw", metavar="DIR", help="draw every answer on its picture, a PNG each in this folder")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", metavar="FILE", help="write a table instead")
    form.add_argument("--json", action="store_true", help="an object a line, for programs")


def _noting_unread(rows: Iterator[Any], unread: list[str]) -> Iterator[Any]:
    """The rows as they come; those of pictures that could not be read are noted too."""
    for path, answer in rows:
        if isinstance(answer, str):
            unread.append(f"{path}: {answer}")
        yield path, answer
