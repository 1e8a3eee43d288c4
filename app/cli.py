"""The command line: which commands there are, and what becomes of their errors."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence

from app.commands.catalogue import add_inspect_flags, add_json_flag, add_kernels_flags, datasets, inspect, kernels, models
from app.commands.demo import add_demo_flags, demo
from app.commands.measuring import add_benchmark_flags, add_repository_flags, benchmark, repository
from app.commands.releases import (
    add_export_flags,
    add_predict_flags,
    add_rollback_flags,
    add_verify_flags,
    export,
    predict,
    rollback,
    verify,
)
from app.commands.serving import add_serve_flags, serve
from app.commands.training import add_compare_flags, add_evaluate_flags, compare, evaluate, train
from app.errors import UserError
from app.flags import Parser, add_training_flags, refuse_empty

INTERRUPTED = 130  # what shells give for Ctrl-C
MENDABLE = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS,
    errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG,
}  # fmt: skip
COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], None], Callable[[argparse.ArgumentParser], None]]] = {
    "train": (train, add_training_flags),
    "evaluate": (evaluate, add_evaluate_flags),
    "compare": (compare, add_compare_flags),
    "export": (export, add_export_flags),
    "verify": (verify, add_verify_flags),
    "rollback": (rollback, add_rollback_flags),
    "predict": (predict, add_predict_flags),
    "serve": (serve, add_serve_flags),
    "demo": (demo, add_demo_flags),
    "benchmark": (benchmark, add_benchmark_flags),
    "repository": (repository, add_repository_flags),
    "models": (models, add_json_flag),
    "inspect": (inspect, add_inspect_flags),
    "kernels": (kernels, add_kernels_flags),
    "datasets": (datasets, add_json_flag),
}


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


def _parser() -> Parser:
    parser = Parser(COMMANDS, prog="python -m app", description="Convoy: classic CNNs, from pixels to the phone.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (command, add_flags) in COMMANDS.items():
        summary = (command.__doc__ or "").strip()
        own = commands.add_parser(name, help=summary, description=summary)
        own.set_defaults(command=command)
        add_flags(own)
    return parser
