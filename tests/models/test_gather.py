import keras
import numpy as np
import pytest

from models.gather import rows_at


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.parametrize("shared", [True, False])
def test_rows_are_those_of_the_numbers(backend, shared, monkeypatch):
    """Both ways to write it, on whichever backend this is."""
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(9, 4) if shared else (3, 9, 4)).astype(np.float32)
    places = rng.integers(0, 9, (3, 6)).astype(np.int32)
    expected = rows[places] if shared else np.stack([part[place] for part, place in zip(rows, places, strict=True)])
    np.testing.assert_array_equal(rows_at(rows, places), expected)
