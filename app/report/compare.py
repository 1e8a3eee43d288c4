"""Runs side by side: a table, what keeps them from being compared, and their curves in one plot."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.objectives import OBJECTIVES
from app.report.chance import smallest_difference
from app.report.curves import draw_comparison
from app.report.history import History, read_history
from app.report.settings import differing, settings
from app.report.words import NOT_RECORDED, NOT_YET, count, duration, percent, setting_value
from app.runs import Run
from app.tables import table

SHOWN = ("model", "data", "seed", "epochs")  # settings with a column of their own


@dataclass(frozen=True)
class Comparison:
    """A row a run, of plain values (None: not there), and the lines that a reader must know before comparing them."""

    rows: list[dict[str, Any]]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """`{"runs": [{"run", "test", "validation", ..., "settings": {...}}], "notes": [...]}`"""
        return {"runs": self.rows, "notes": self.notes}

    @property
    def text(self) -> str:
        """The table and the notes, for a terminal."""
        metrics = {row["metric"] for row in self.rows}
        test = f"test {metrics.pop()}" if len(metrics) == 1 else "test"
        names = list(self.rows[0]["settings"])
        headers = ["run", "model", "data", test, "validation", "parameters", "epochs", "best epoch", "time", "seed"]
        lines = [_cells(row, names) for row in self.rows]
        return "\n".join([table(headers + [name.replace("_", " ") for name in names], lines), *self.notes])


def compare(runs: Sequence[Run], plot: Path | None) -> Comparison:
    """Runs, one at least, side by side, with their curves in the PNG `plot` if it is given.

    A run need not have ended; one that is given twice (`runs/latest` is another's name) is shown once.
    """
    runs = list({run.folder: run for run in runs}.values())
    names = _names(runs)
    histories = [read_history(run) for run in runs]
    settings_of = differing(runs, SHOWN)
    rows = [
        {"run": name, **_figures(run, history), "settings": values}
        for name, run, history, values in zip(names, runs, histories, settings_of, strict=True)
    ]
    if plot:
        plot.parent.mkdir(parents=True, exist_ok=True)
        draw_comparison(dict(zip(names, histories, strict=True)), rows[0]["metric"], plot)
    return Comparison(rows, [*(_unlike(runs, rows) or _by_chance(rows)), *_unfinished(rows)])


def _names(runs: Sequence[Run]) -> list[str]:
    """Folder names, or paths where two folders have one name."""
    names = [run.name for run in runs]
    return [name if names.count(name) == 1 else os.path.relpath(run.folder) for name, run in zip(names, runs, strict=True)]


def _figures(run: Run, history: History) -> dict[str, Any]:
    measured = run.metrics() if run.finished else {}
    metric = OBJECTIVES[run.record.get("objective", "classification")].metric
    chosen, data = settings(run), run.record.get("data") or {}
    test, validation = measured.get("test") or {}, measured.get("validation") or {}
    best = measured.get("best_epoch") or history.best_epoch(metric)
    return {
        "folder": str(run.folder),
        "finished": run.finished,
        "model": chosen.get("model"),
        "data": data.get("name") or chosen.get("data"),
        "metric": metric,
        "test": test.get(metric),
        "test_pictures": test.get("pictures"),
        "validation": validation.get(metric, history.at(best, f"val_{metric}")),
        "validation_pictures": validation.get("pictures", (data.get("splits") or {}).get("val")),
        "parameters": measured.get("parameters"),
        "epochs": measured.get("epochs", len(history)),
        "epochs_planned": chosen.get("epochs"),
        "best_epoch": best,
        "seconds": measured.get("seconds", history.total("seconds")),
        "seed": chosen.get("seed"),
    }


def _cells(row: dict[str, Any], names: Sequence[str]) -> list[str]:
    absent = NOT_RECORDED if row["finished"] else NOT_YET

    def written(value: Any, write: Any) -> str:
        return absent if value is None else write(value)

    planned = row["epochs_planned"]
    return [
        row["run"],
        row["model"] or NOT_RECORDED,
        row["data"] or NOT_RECORDED,
        written(row["test"], lambda share: percent(share, row["test_pictures"])),
        written(row["validation"], lambda share: percent(share, row["validation_pictures"])),
        written(row["parameters"], count),
        f"{row['epochs']} of {planned}" if planned and planned != row["epochs"] else str(row["epochs"]),
        written(row["best_epoch"], str),
        written(row["seconds"], duration),
        setting_value(row["seed"]),
        *("-" if row["settings"][name] is None else setting_value(row["settings"][name]) for name in names),
    ]


def _unlike(runs: Sequence[Run], rows: Sequence[dict[str, Any]]) -> list[str]:
    """Why the test figures of the runs cannot be set against each other."""
    records = [run.record.get("data") or {} for run in runs]
    name = ", ".join(dict.fromkeys(str(row["data"]) for row in rows))
    accuracies = f"their figures ({rows[0]['metric']}) are not comparable"
    if _differ([row["metric"] for row in rows]):
        return ["These runs answer different kinds of question: their figures are not comparable."]
    if _differ([row["data"] for row in rows]):
        return [f"These runs are on different data ({name}): {accuracies}."]
    prints = [record["fingerprint"] for record in records if record.get("fingerprint")]
    if _differ(prints) and _differ([settings(run).get("split_seed") for run in runs]):
        return [f"These runs have different split seeds: unless {name} has a test split of its own, {accuracies}."]
    if _differ(prints):
        return [f"These runs had different versions of {name} (pictures, labels or splits changed between them): {accuracies}."]
    tests = [(record.get("splits") or {}).get("test") for record in records]
    if _differ(tests):
        sizes = ", ".join(str(size or NOT_RECORDED) for size in tests)
        return [f"These runs were tested on different pictures ({sizes}): {accuracies}."]
    return []


def _differ(values: Sequence[Hashable]) -> bool:
    return len(set(values)) > 1


def _by_chance(rows: Sequence[dict[str, Any]]) -> list[str]:
    """How much of a difference means nothing."""
    tested = [row for row in rows if row["test"] is not None and row["test_pictures"] and row["metric"] == "accuracy"]
    if len(tested) < 2 or _differ([row["test_pictures"] for row in tested]):
        return []
    pictures = tested[0]["test_pictures"]
    points = 100 * smallest_difference(sum(row["test"] for row in tested) / len(tested), pictures)
    if not points:
        return []
    return [f"On {pictures:,} test pictures, differences of less than about {points:.1f} percentage points can be chance."]


def _unfinished(rows: Sequence[dict[str, Any]]) -> list[str]:
    names = [row["run"] for row in rows if not row["finished"]]
    return [f"Not ended yet: {', '.join(names)}."] if names else []
