"""What finding boxes costs a detector: its float32 files beside themselves without their ends, in turns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from app.bench.engines import ENGINES, Array
from app.bench.figures import Cost, cost
from app.bench.measure import Settings, Station
from app.bench.worker import Broken, Remote, Task
from app.release import Release

WHOLE = "fp32"


def costs(
    release: Release,
    pictures: Array,
    cut: Callable[[Path, Path], None],
    settings: Settings,
    say: Callable[[str], None] = print,
    start: Callable[[Task], Station] = Remote,
) -> Iterator[Cost]:
    """The cost in every runtime and on every number of threads; nothing for what is no detector.

    Args:
        pictures: the release's samples, uint8 [N, H, W, C].
        cut: writes a file without its end to another place.
        start: makes the process of a file.
    """
    if release.objective != "detection":
        return
    for name in settings.engines:
        engine = ENGINES[name]
        if find_spec(engine.package) is None:
            continue
        for file in release.files:
            if (file.format, file.precision) != (engine.format, WHOLE) or not Path(file.path).suffix:
                continue
            with tempfile.TemporaryDirectory() as place, ExitStack() as processes:
                source = release.folder / file.path
                body = Path(place) / source.name
                cut(source, body)
                for threads in settings.threads:
                    say(f"timing {file.path} in {engine.title} with and without its boxes")
                    try:
                        pair = [_opened(start(Task(path, name, threads, pictures)), processes) for path in (source, body)]
                        yield cost(
                            file.path,
                            engine.title,
                            threads,
                            [_round(pair, number, settings) for number in range(settings.rounds)],
                        )
                    except Broken as error:
                        say(f"{file.path} in {engine.title}: {error}")


def _opened(station: Station, processes: ExitStack) -> Station:
    processes.callback(station.close)
    station.ask("load")
    return station


def _round(pair: list[Station], number: int, settings: Settings) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The seconds of every picture with and without boxes; every other round the other way about."""
    order = pair if number % 2 == 0 else pair[::-1]
    timed = [station.ask("round", settings.pictures).seconds for station in order]
    whole, body = timed if number % 2 == 0 else timed[::-1]
    return whole, body
