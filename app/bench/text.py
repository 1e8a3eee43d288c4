"""A benchmark for a terminal: a table, and what to know beside it."""

from __future__ import annotations

from app.bench.figures import PASSED, Benchmark, Row
from app.tables import table

MEGABYTE = 2**20
BUSY = 1.5  # times the processor's time, that a picture takes on one thread where others use the machine too


def text(found: Benchmark) -> str:
    """The table, the reasons of what did not pass, the ratios, and the machine."""
    numbers = found.settings["threads"]
    headers = ["file", "runtime", "KiB", "load ms", "memory MiB"]
    headers += [title for count in numbers for title in (f"{_threads(count)}: ms", "p95", "CPU ms")]
    headers += ["pictures/s", "batch", found.metric, "agreement", "status"]
    rows = [_cells(row, numbers) for row in found.rows]
    return "\n".join([table(headers, rows), *_reasons(found), *_ratios(found), *_costs(found), *_remarks(found)])


def _cells(row: Row, numbers: list[int]) -> list[str]:
    timings = {one.threads: one for one in row.timings}
    cells = [row.path, row.runtime, f"{row.bytes / 1024:,.1f}", _number(row.load_ms, ".1f")]
    cells.append(_number(None if row.memory_bytes is None else row.memory_bytes / MEGABYTE, ",.1f"))
    for count in numbers:
        one = timings.get(count)
        cells += ["-"] * 3 if one is None else [milliseconds(value) for value in (one.median_ms, one.p95_ms, one.cpu_ms)]
    best = row.throughput
    cells += ["-", "-"] if best is None else [f"{best.pictures_per_second:,.0f}", str(best.batch)]
    return [*cells, f"{row.metric:.4f}", f"{row.agreement:.4f}", row.status]


def milliseconds(value: float) -> str:
    """To three digits, and no more than three behind the point."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:,.1f}"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _reasons(found: Benchmark) -> list[str]:
    return [f"{row.path} in {row.runtime}: {row.status}: {row.detail}" for row in found.rows if row.status != PASSED]


def _ratios(found: Benchmark) -> list[str]:
    fewest = min(found.settings["threads"])
    return [
        f"{one.path} takes {one.ratio:.2f} of the time of {one.to} in {one.runtime} on {_threads(one.threads)}"
        for one in found.ratios
        if one.threads == fewest
    ]


def _costs(found: Benchmark) -> list[str]:
    return [
        f"finding boxes takes {100 * one.share:.0f} % of the pictures a second of {one.path} in {one.runtime} on "
        f"{_threads(one.threads)}: {milliseconds(one.whole_ms)} ms a picture, {milliseconds(one.body_ms)} ms up to the raw heads"
        for one in found.costs
    ]


def _remarks(found: Benchmark) -> list[str]:
    machine, settings = found.machine, found.settings
    timings = [one for row in found.rows for one in row.timings if one.threads == 1]
    slowed = sum(one.median_ms > BUSY * one.cpu_ms for one in timings)
    busy = f"the machine was busy: {slowed} of {len(timings)} took over {BUSY:g} times their CPU time on 1 thread; measure again"
    return [
        f"medians over {settings['rounds']} rounds of {settings['pictures']} pictures, the files in turns; "
        f"{machine['processor']}, {machine['cores']} cores",
        f"{found.metric} and agreement with Keras are the release's, of its held-out pictures; samples were answered again",
        *([busy] if slowed else []),
    ]
