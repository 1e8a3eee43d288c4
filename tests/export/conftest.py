import shutil

import pytest

from app.deploy import inference_model
from app.export.graph import Graph, Notes


@pytest.fixture
def copied(release, tmp_path):
    """A release of its own, to break."""
    return shutil.copytree(release.folder, tmp_path / "lenet5-digits" / "1")


@pytest.fixture(scope="session")
def notes():
    return Notes(
        name="lenet5-digits",
        description="LeNet-5 on digits",
        licence="CC0-1.0",
        objective="classification",
        classes=tuple("0123456789"),
        contract={"name": "image", "range": [0, 255]},
        threshold=0.5,
        versions={"keras": "3"},
    )


@pytest.fixture(scope="session")
def models(run):
    """The small run's inference model, with RGB and with its own one channel."""
    network = run.network()
    return [inference_model(network, "classification", bare=bare) for bare in (False, True)]


@pytest.fixture
def graph(run, models, notes, tmp_path):
    return Graph(*models, run.arrays("calibration")["images"], notes, tmp_path)
