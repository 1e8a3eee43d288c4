"""The flags of the commands. Those of `train` are the fields of its configuration."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, NoReturn, get_args, get_origin

from app.config import TrainConfig, find_model, parse_option, parse_value, setting_types
from app.errors import UserError, unknown

MOST_LABELS = 1000  # in an answer
MOST_CLASSES = 100_000  # that a network is drawn with
LARGEST_SIDE = 4096  # pixels of a picture for a network


class Parser(argparse.ArgumentParser):
    """Tells a wrong flag or command in one line, with the nearest right one.

    Args:
        commands: the names that may come first.
    """

    def __init__(self, commands: Iterable[str] = (), **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)
        self.commands = commands

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments: "):
            first = message.removeprefix("unrecognized arguments: ").split()[0].split("=")[0]
            known = [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]
            if first.startswith("-"):
                raise unknown("flag", first, known, f"({self.prog} --help)")
            raise UserError(f"'{first}' is one argument too many ({self.prog} --help)")
        if "invalid choice" in message:
            chosen = message.split("invalid choice: ")[1].split("'")[1]
            raise unknown("command", chosen, self.commands, f"({self.prog} --help)")
        raise UserError(f"{message} ({self.prog} --help)")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        # A subcommand's parser knows its flags; the top one, which would report unknown ones otherwise, does not.
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest


def add_training_flags(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of `train` a flag for every setting."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a name from: python -m app models")
    parser.add_argument("data", nargs="?", metavar="DATA", help="a name, tfds:<name>, a folder of pictures, a .npz file")
    for field in fields(TrainConfig):
        if not field.metadata["flag"]:
            continue
        kind, flag, text = setting_types()[field.name], f"--{field.name.replace('_', '-')}", field.metadata["help"]
        if kind is bool:
            parser.add_argument(flag, action="store_const", const=True, help=text)
            continue
        choices = f" ({', '.join(get_args(kind))})" if get_origin(kind) is not None else ""
        parser.add_argument(flag, metavar=flag[2:].upper().replace("-", "_"), help=(text + choices).replace("%", "%%"))
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of the network")
    parser.add_argument("--out", metavar="DIR", help="the run folder; default: runs/<model>-<data>-<time>")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, or with the latest")
    parser.add_argument("--quiet", action="store_true", help="plain lines, also on a terminal")


def number(text: str) -> float:
    """A flag's text as a number."""
    return float(parse_value("--tolerance", float, text))


def whole(flag: str, largest: int) -> Callable[[str], int]:
    """What reads a flag's text as a whole number from 1."""

    def read(text: str) -> int:
        value = int(parse_value(flag, int, text))
        if value < 1:
            raise UserError(f"{flag} {value} is too small; the smallest is 1")
        if value > largest:
            raise UserError(f"{flag} {value} is too large; the largest is {largest}")
        return value

    return read


def sides(flag: str) -> Callable[[str], tuple[int, ...]]:
    """What reads a flag's text as sides of pictures: `256,384`."""
    read = whole(flag, LARGEST_SIDE)
    return lambda text: tuple(read(part) for part in text.split(","))


def height_and_width(flag: str) -> Callable[[str], tuple[int, int]]:
    """What reads a flag's text as the height and width of a picture: `192x256`, or `224` for both."""
    read = whole(flag, LARGEST_SIDE)

    def sizes(text: str) -> tuple[int, int]:
        height, cross, width = text.partition("x")
        width = width if cross else height
        if not (height.isdecimal() and width.isdecimal()):
            raise UserError(f"{flag} takes a side, as 224, or height and width, as 192x256; not '{text}'")
        return read(height), read(width)

    return sizes


def given_settings(given: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given on the command line, in their types."""
    found: dict[str, Any] = {}
    for field in fields(TrainConfig):
        text = getattr(given, field.name, None) if field.metadata["flag"] else None
        if text is not None:
            if field.name == "image_size" and "x" in str(text):
                found |= dict(zip(("image_size", "image_width"), height_and_width("--image-size")(text), strict=True))
                continue
            kind = setting_types()[field.name]
            found[field.name] = parse_value(f"--{field.name.replace('_', '-')}", kind, text) if isinstance(text, str) else text
    return found


def given_options(given: argparse.Namespace, model: str) -> dict[str, Any]:
    """The options of the network that were given by `--set`, in their types.

    Raises:
        UserError: a pair is none, or does not fit the network.
    """
    found = {}
    for pair in given.set:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UserError(f"--set takes OPTION=VALUE; not '{pair}'")
        found[name] = parse_option(find_model(model), name, text)
    return found


def refuse_empty(given: argparse.Namespace) -> None:
    """Refuses empty words: a path or name of nothing would be taken for the current folder, or for none.

    Raises:
        UserError: names the argument.
    """
    for name, value in vars(given).items():
        if value == "" or (isinstance(value, list) and "" in value):
            raise UserError(f"'{name}' is empty; give it a value or leave it out")
