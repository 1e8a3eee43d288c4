"""history.csv as arrays."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app.runs import Run

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class History:
    """A row an epoch, by column. Values that are not there are NaN."""

    epochs: Array
    columns: Mapping[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.epochs)

    def column(self, name: str) -> Array:
        """The values of a column, float64 [epochs]."""
        return self.columns.get(name, np.full(len(self), np.nan))

    def best_epoch(self, metric: str) -> int | None:
        """The first epoch with the best validation metric."""
        values = self.column(f"val_{metric}")
        return None if np.isnan(values).all() else int(self.epochs[np.nanargmax(values)])

    def total(self, name: str) -> float | None:
        """The sum of a column."""
        values = self.column(name)
        return None if np.isnan(values).all() else float(np.nansum(values))

    def at(self, epoch: int | None, name: str) -> float | None:
        """The value of a column in an epoch."""
        values = self.column(name)[self.epochs == epoch]
        return float(values[0]) if len(values) and not np.isnan(values[0]) else None


def read_history(run: Run) -> History:
    """The epochs so far; none if the run has not got that far."""
    if not run.history_file.exists():
        return History(np.zeros(0, int))
    with open(run.history_file, newline="") as file:
        reader = csv.DictReader(file)
        names = list(reader.fieldnames or ())
        rows = [row for row in reader if not np.isnan(_number(row.get("epoch")))]
    columns = {name: np.array([_number(row.get(name)) for row in rows]) for name in names}
    return History(columns.get("epoch", np.zeros(0)).astype(int), columns)


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
