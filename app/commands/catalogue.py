"""Commands that tell what there is: models, datasets."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from app.commands.screen import say
from app.config import check_size, find_model
from app.flags import MOST_CLASSES, given_options, height_and_width, whole

FINDS = {
    "classification": "the class of a picture; accuracy",
    "detection": "boxes and their classes; mAP at an IoU of .5",
    "segmentation": "the class of every pixel; mean IoU",
}


def models(given: argparse.Namespace) -> None:
    """Lists the networks, and what they reached here."""
    from app.tables import short, table
    from models.pretrained import PUBLISHED
    from models.registry import all_models

    specs = all_models().values()
    if given.json:
        keys = ("name", "title", "year", "paper", "objective", "input_shape", "min_size", "macs")
        rows = [
            {key: getattr(spec, key) for key in keys}
            | {"parameters": spec.parameters + spec.fixed_parameters, "trainable_parameters": spec.parameters}
            | {"options": list(spec.options), "imagenet": spec.name in PUBLISHED, "reached": dict(spec.reached)}
            for spec in specs
        ]
        print(json.dumps(rows, indent=2))
        return
    for objective, finds in FINDS.items():
        cells = [
            (
                spec.name,
                spec.year,
                short(spec.parameters + spec.fixed_parameters),
                short(spec.macs),
                "x".join(map(str, spec.input_shape)),
                ", ".join(f"{data} {percent:.2f}" for data, percent in spec.reached.items()),
                spec.title + (" *" if spec.name in PUBLISHED else ""),
            )
            for spec in specs
            if spec.objective == objective
        ]
        print(f"{objective}: {finds}")
        print(table(("name", "year", "parameters", "MACs", "input", "reached here, %", "network"), cells), end="\n\n")
    print("* takes --weights imagenet; sources, layers and options: python -m app inspect NAME")


def inspect(given: argparse.Namespace) -> None:
    """Shows a network as a table: sizes, receptive fields, parameters, multiply-adds."""
    from app.explain.plot import check_name

    spec = find_model(given.model)
    options = given_options(given, given.model)
    if given.plot:
        check_name(Path(given.plot))
    for side in given.image_size:
        check_size(spec, side)
    from app.runners.silence import load_keras

    load_keras()
    from app.explain.inspect import inspect as examine
    from app.explain.plot import draw

    inspection = examine(given.model, given.image_size, options, given.classes)
    if given.plot:
        Path(given.plot).parent.mkdir(parents=True, exist_ok=True)
        draw(inspection, Path(given.plot))
    print(json.dumps(inspection.to_json(), indent=2) if given.json else inspection.text)
    if given.plot and not given.json:
        say(f"drawing: {given.plot}")


def add_inspect_flags(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of `inspect` its flags."""
    parser.add_argument("model", metavar="MODEL", help="a name from: python -m app models")
    parser.add_argument(
        "--image-size",
        type=height_and_width("--image-size"),
        default=(),
        metavar="PIXELS",
        help="side of the picture, or height and width as 192x256; default: the paper's",
    )
    parser.add_argument("--classes", type=whole("--classes", MOST_CLASSES), default=0, metavar="N", help="default: the paper's")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of the network")
    parser.add_argument("--plot", metavar="FILE", help="draw it, too")
    add_json_flag(parser)


def kernels(given: argparse.Namespace) -> None:
    """Draws what the classic kernels make of a picture."""
    from app.explain.kernels import draw_kernels

    draw_kernels(given.picture, given.plot)
    say(f"drawing: {given.plot}")


def add_kernels_flags(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of `kernels` its flags."""
    parser.add_argument("picture", nargs="?", metavar="PICTURE", help="default: a photograph that comes with scikit-learn")
    parser.add_argument("--plot", default="runs/kernels.png", metavar="FILE", help="where the drawing goes")


def datasets(given: argparse.Namespace) -> None:
    """Lists the data sets that have a name."""
    from app.data.registry import all_datasets
    from app.tables import table

    specs = all_datasets().values()
    keys = ("name", "title", "objectives", "classes", "pictures", "size", "download", "source", "verified")
    if given.json:
        print(json.dumps([{key: getattr(spec, key) for key in keys} for spec in specs], indent=2))
        return
    plain = [key for key in keys if key not in ("objectives", "verified")]
    shown = [
        [getattr(spec, key) for key in plain] + [", ".join(spec.objectives), "yes" if spec.verified else "not run"]
        for spec in specs
    ]
    print(table((*plain, "for", "tried by us"), shown))
    print("also: tfds:<name> (sets of TensorFlow Datasets), a .npz file, and folders:")
    print("  classification: class/picture.jpg or train|val|test/class/picture.jpg")
    print("  detection:      Pascal VOC, COCO JSON, YOLO (data.yaml)")
    print("  segmentation:   images and masks of class numbers, Pascal VOC, COCO JSON")


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of a command that prints a table `--json`."""
    parser.add_argument("--json", action="store_true", help="for programs")
