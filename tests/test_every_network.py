"""Every classifier learns scikit-learn's digits at 32 pixels by its own recipe, and its release agrees with it."""

import keras
import pytest

from app.config import make_config
from app.explain.inspect import inspect
from app.export.converters import VARIANTS
from app.export.export import export
from app.export.verify import verify_release
from app.train.fit import fit
from models.registry import all_models

HEAVY = 2e8  # multiply-adds at 32 pixels; networks that need more are tried at a quarter of their width

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", [name for name, spec in all_models().items() if spec.objective == "classification"])
def test_a_network_learns_digits_and_is_released(name, tmp_path):
    narrow = {"width": 0.25} if inspect(name, image_size=32, classes=10).macs > HEAVY else {}
    config = make_config(name, "digits", {"image_size": 32}, narrow)
    run = fit(config, tmp_path, print)
    assert run.metrics()["test"]["accuracy"] >= 0.95
    release = export(run, tmp_path / "exported", say=print)
    assert {file.path for file in release.files} == {variant.path for variant in VARIANTS.values()}
    assert {verdict.status for verdict in verify_release(str(release.folder))} == {"passed"}
    keras.backend.clear_session()
