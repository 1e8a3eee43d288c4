"""Everything that resuming needs, in one file that is replaced whole at the end of every epoch.

Weights alone do not reproduce an uninterrupted run: the optimizer's moments, the states of all random generators, the
averaged weights, and what the callbacks have counted belong to it. The order and augmentation of batches need nothing:
they follow from the seed and the epoch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from app.errors import UserError
from app.runs import replacing


def save_state(file: Path, network: Any, progress: dict[str, Any]) -> None:
    """Writes the state of a compiled network and JSON-able progress, whole or not at all."""
    arrays = {f"variable{i}": keras.ops.convert_to_numpy(variable.value) for i, variable in enumerate(_variables(network))}
    with replacing(file) as partial:
        np.savez(partial, progress=np.array(json.dumps(progress)), **arrays)


def load_state(file: Path, network: Any) -> dict[str, Any]:
    """Puts a written state into a compiled network, and gives the progress that was written with it.

    Raises:
        UserError: the file is of another network.
    """
    with np.load(file) as arrays:
        variables = _variables(network)
        saved = len(arrays.files) - 1
        if saved != len(variables) or any(arrays[f"variable{i}"].shape != tuple(v.shape) for i, v in enumerate(variables)):
            raise UserError(f"{file} is of another network or version; start a new run")
        for i, variable in enumerate(variables):
            variable.assign(arrays[f"variable{i}"])
        return dict(json.loads(str(arrays["progress"])))


def _variables(network: Any) -> list[Any]:
    """Weights, statistics, states of random generators, and the optimizer's variables, in a fixed order."""
    return [*network.variables, *network.optimizer.variables]
