"""What a run folder has to say, whatever version wrote it and however far it got."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from app.objectives import OBJECTIVES
from app.report.history import History, read_history
from app.report.settings import settings
from app.runs import Run


@dataclass(frozen=True)
class Material:
    """The files of a run, read once; what an older or unfinished run lacks is empty."""

    run: Run

    @cached_property
    def measured(self) -> dict[str, Any]:
        return self.run.metrics() if self.run.finished else {}

    @cached_property
    def test(self) -> dict[str, Any]:
        return dict(self.measured.get("test") or {})

    @cached_property
    def history(self) -> History:
        return read_history(self.run)

    @cached_property
    def settings(self) -> dict[str, Any]:
        return settings(self.run)

    @cached_property
    def data(self) -> dict[str, Any]:
        return dict(self.run.record.get("data") or {})

    @cached_property
    def heldout(self) -> dict[str, Any]:
        return self._arrays("heldout")

    @cached_property
    def batch(self) -> dict[str, Any]:
        return self._arrays("batch")

    @property
    def objective(self) -> str:
        return str(self.run.record.get("objective", "classification"))

    @property
    def metric(self) -> str:
        return OBJECTIVES[self.objective].metric

    @property
    def best_epoch(self) -> int | None:
        return self.measured.get("best_epoch") or self.history.best_epoch(self.metric)

    @property
    def title(self) -> str:
        data = self.data.get("name") or self.settings.get("data") or "data that was not recorded"
        return f"{self.settings.get('model', 'A network')} on {data}"

    def file(self, name: str) -> Path:
        return self.run.report_folder / name

    def _arrays(self, name: str) -> dict[str, Any]:
        return self.run.arrays(name) if (self.run.folder / f"{name}.npz").exists() else {}
