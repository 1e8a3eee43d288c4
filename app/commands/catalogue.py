"""Commands that tell what there is: models, datasets."""

from __future__ import annotations

import argparse
import json


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


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of a command that prints a table `--json`."""
    parser.add_argument("--json", action="store_true", help="for programs")
