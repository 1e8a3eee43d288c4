"""The settings of a run as config.json has them, whatever version wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.runs import Run
from models.registry import all_models

OPTIONS = "options"


def settings(run: Run) -> dict[str, Any]:
    """Name to value; the options of the network stand among them under their own names."""
    return _flat(run.record.get("config", {}))


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in config.items() if name != OPTIONS}
    return plain | dict(config.get(OPTIONS) or {})


def recipe_settings(model: str, data: str) -> dict[str, Any]:
    """What the network's recipe says for the data; empty for a network that is no longer there."""
    spec = all_models().get(model)
    return _flat(vars(spec.recipe(data))) if spec else {}


def differing(runs: Sequence[Run], shown: Sequence[str]) -> list[dict[str, Any]]:
    """For every run, the settings in which the runs differ, but those `shown` elsewhere.

    An option that a run was not given has the default of its network; None is a setting that the run does not have.
    """
    found = [settings(run) for run in runs]
    names = list(dict.fromkeys(name for values in found for name in values if name not in shown))
    values = [{name: _value(one, name) for name in names} for one in found]
    return [{name: one[name] for name in names if any(one[name] != other[name] for other in values)} for one in values]


def _value(values: Mapping[str, Any], name: str) -> Any:
    if name in values:
        return values[name]
    spec = all_models().get(values.get("model", ""))
    return spec.options[name].default if spec and name in spec.options else None
