"""Commands that measure a release, and lay it out for other servers: benchmark, repository."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from app.commands.catalogue import add_json_flag
from app.commands.screen import nothing, say
from app.errors import UserError, unknown
from app.flags import whole

if TYPE_CHECKING:
    from app.bench.engines import Array
    from app.bench.measure import Judge
    from app.release import Release

LAYOUTS = ("triton", "tfserving")
MOST_ROUNDS, MOST_PICTURES, MOST_THREADS = 1000, 100_000, 1024


def benchmark(given: argparse.Namespace) -> None:
    """Measures every file of a release: size, load, latency, throughput, memory."""
    from app.bench.engines import USUAL
    from app.bench.measure import Settings, all_threads
    from app.release import check_extras, find_release

    threads = tuple(sorted(set(given.threads or all_threads())))
    settings = Settings(given.pictures, given.rounds, threads, tuple(dict.fromkeys(given.runtimes or USUAL)))
    if given.plot:
        from app.bench.plot import check_name

        check_name(Path(given.plot))
        Path(given.plot).parent.mkdir(parents=True, exist_ok=True)  # before the minutes that measuring takes
    release = find_release(given.release)
    check_extras(release)
    from app.bench.measure import benchmark as measure
    from app.bench.text import text

    pictures, judge = _samples(release)
    found = measure(release, pictures, judge, settings, nothing if given.json else say)
    from dataclasses import replace

    from app.bench.boxes import costs
    from app.export.body import write_body

    found = replace(found, costs=tuple(costs(release, pictures, write_body, settings, nothing if given.json else say)))
    print(json.dumps(found.to_json(), indent=2) if given.json else text(found))
    if given.plot:
        from app.bench.plot import draw

        draw(found, Path(given.plot))
        if not given.json:
            say(f"plot: {given.plot}")
    if failed := [f"{row.path} in {row.runtime}" for row in found.rows if row.status == "failed"]:
        raise UserError(f"{given.release}: {', '.join(failed)} failed; export it again")


def add_benchmark_flags(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of `benchmark` its flags."""
    parser.add_argument("release", metavar="RELEASE")
    parser.add_argument("--pictures", type=whole("--pictures", MOST_PICTURES), default=20, help="a round; default: 20")
    parser.add_argument("--rounds", type=whole("--rounds", MOST_ROUNDS), default=10, help="of every file; default: 10")
    parser.add_argument(
        "--threads",
        type=whole("--threads", MOST_THREADS),
        nargs="+",
        metavar="N",
        help="numbers of threads to measure; default: 1 and all cores",
    )
    parser.add_argument(
        "--runtimes",
        nargs="+",
        metavar="RUNTIME",
        help="onnxruntime, litert, litert-compiled, tensorflow; default: all but litert-compiled",
    )
    parser.add_argument("--plot", metavar="FILE", help="draw it, too: a PNG")
    add_json_flag(parser)


def repository(given: argparse.Namespace) -> None:
    """Lays releases out for Triton, KServe or TensorFlow Serving."""
    from app.repository.place import kept, write
    from app.repository.plan import choose

    if given.layout not in LAYOUTS:
        raise unknown("layout", given.layout, LAYOUTS)
    if given.mount and given.layout != "tfserving":
        raise UserError("--mount is for --layout tfserving; Triton's files name no path")
    if given.variant and given.layout != "triton":
        raise UserError("--variant is for --layout triton; TensorFlow Serving takes the SavedModel")
    out, models = Path(given.out), choose(given.releases, given.all_versions)
    if given.layout == "triton":
        from app.repository.triton import USUAL, triton

        layout = triton(models, given.variant or USUAL)
    else:
        from app.repository.tfserving import MOUNT, tfserving

        layout = tfserving(models, out, given.mount or MOUNT, replace=given.replace)
    written = write(layout, out, replace=given.replace)
    for path in kept(layout, out):
        say(f"kept:    {out / path} (it was edited, or written for other versions; --replace writes it anew)")
    for path in written:
        say(f"written: {out / path}")
    say(f"repository: {given.out}" + ("" if written else " (as it was: all of it was there already)"))


def add_repository_flags(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of `repository` its flags."""
    parser.add_argument(
        "releases", nargs="+", metavar="RELEASE", help="exported/NAME: its newest version; exported/NAME/2: that one"
    )
    parser.add_argument("--layout", required=True, help=f"{' or '.join(LAYOUTS)}; KServe reads triton's")
    parser.add_argument("--out", required=True, metavar="DIR", help="the repository; what is there already stays")
    parser.add_argument("--all-versions", action="store_true", help="of a name, and serve all")
    parser.add_argument("--variant", help="triton: onnx-fp32 (default), onnx-fp16 or onnx-int8")
    parser.add_argument("--mount", metavar="PATH", help="tfserving: where the server finds DIR; default: /models")
    parser.add_argument("--replace", action="store_true", help="replace what is there and differs")


def _samples(release: Release) -> tuple[Array, Judge]:
    """The release's samples, and what tells whether a file still answers them as recorded."""
    import numpy as np

    from app.export.samples import read_answers
    from app.export.verify import judge
    from app.images import load_picture

    paths, recorded = read_answers(release.folder)
    pictures = np.stack([load_picture(release.folder / path, release.picture_shape) for path in paths])
    return pictures, lambda artifact, found: judge(artifact, found, recorded[artifact.path])
