import subprocess
import sys
from pathlib import Path

import pytest

from app.config import make_config
from app.train.fit import fit

SMALL = {"limit": 100, "epochs": 2, "warmup": 0.5, "augment": "none"}


@pytest.fixture
def train(tmp_path):
    """Trains the MLP on some digits, a second each; gives the run. `said` collects the lines."""

    def trained(*, model="mlp", name="run", options=None, said=None, data="digits", **flags):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        config = make_config(model, data, SMALL | flags, options)
        return fit(config, folder, [].append if said is None else said.append, live=False)

    return trained


@pytest.fixture(scope="session")
def jax_python(tmp_path_factory) -> Path:
    """A Python that has JAX and no TensorFlow."""
    folder = tmp_path_factory.mktemp("jax") / "venv"
    make = ["make", "setup", "BACKEND=jax", f"VENV={folder}", f"PYTHON={sys.executable}"]
    done = subprocess.run(make, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "bin" / "python"
