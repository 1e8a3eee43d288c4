"""Keras, imported at its first use, so that listing networks and checking names costs milliseconds, not seconds."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
else:

    class _Keras:
        """Stands for the module `keras` until an attribute of it is asked for."""

        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module("keras"), name)

    keras = _Keras()

__all__ = ["keras"]
