"""The layers that Keras lacks. `layers.MinPooling2D` is the class of that name in `min_pooling2d.py`, imported at its first use.

The rule for the file's name is the class's in snake case, so that there is no list to edit.
"""

import importlib
import re
from typing import Any


def __getattr__(name: str) -> Any:
    if not name[0].isupper():
        raise AttributeError(name)
    module = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    try:
        return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as error:
        raise AttributeError(f"no file models/layers/{module}.py for a layer {name}") from error
