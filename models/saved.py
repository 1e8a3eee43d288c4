"""Networks from files."""

import importlib
import pkgutil
from pathlib import Path
from typing import Any

from models import layers
from models.lazy import keras


def load_network(file: str | Path) -> Any:
    """The network of a .keras file, uncompiled. Keras is told of our layers first: it knows those alone that were imported.

    Raises:
        ValueError, OSError: there is no network in the file.
    """
    for module in pkgutil.iter_modules(layers.__path__):
        importlib.import_module(f"{layers.__name__}.{module.name}")
    return keras.models.load_model(file, compile=False)
