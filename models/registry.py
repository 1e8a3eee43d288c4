"""Finds the networks: every module of this package that has SPECS. There is no list to edit."""

import importlib
import pkgutil
from functools import cache

import models
from models.spec import ModelSpec


@cache
def all_models() -> dict[str, ModelSpec]:
    """All networks by name, in the order of their year, the smaller first."""
    found: dict[str, ModelSpec] = {}
    for module in pkgutil.iter_modules(models.__path__):
        for spec in getattr(importlib.import_module(f"models.{module.name}"), "SPECS", []):
            if spec.name in found:
                raise ValueError(f"two networks are called {spec.name}")
            found[spec.name] = spec
    return dict(sorted(found.items(), key=lambda item: (item[1].year, item[1].macs, item[0])))


def get_model(name: str) -> ModelSpec:
    """The network of that name.

    Raises:
        KeyError: there is none.
    """
    return all_models()[name]
