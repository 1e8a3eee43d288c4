"""Two networks, grey and in colour, and environments that outlast the session."""

import numpy as np
import pytest

from tests.runtimes.environments import LASTING, SERVING, installed
from tests.runtimes.prove import RUNTIMES

COLOURS = {"red": (255, 40, 40), "grün": (40, 255, 40), "light 青": (120, 160, 255)}
DIGITS = 3


@pytest.fixture(autouse=True)
def lasting_cache(monkeypatch):
    monkeypatch.setenv("CONVOY_CACHE", LASTING)


@pytest.fixture(scope="session")
def install():
    """Makes an environment, or skips the test. Only fixtures of the session call it: a test itself cannot connect."""
    return installed


@pytest.fixture(scope="session")
def runtime(request, install):
    """The runtime that the test names, installed."""
    install(RUNTIMES[request.param].environment)
    return RUNTIMES[request.param]


@pytest.fixture(scope="session")
def serving(install):
    """Installs what a machine has that only serves."""
    install(SERVING)


@pytest.fixture(scope="session")
def colour_run(run, tmp_path_factory):
    """The digits 0, 1 and 2 in three colours: nine classes, of which only red, green and blue in their order tell three apart."""
    import keras
    from sklearn.datasets import load_digits

    from app.deploy import inference_model
    from app.images import resize
    from models.registry import get_model
    from tests.small_run import copy_run

    digits = load_digits(n_class=DIGITS)
    grey = np.stack([resize((picture * 255 / 16).astype(np.uint8), 28, 28) for picture in digits.images])
    pictures = np.concatenate([(grey * (np.array(colour) / 255)).astype(np.uint8) for colour in COLOURS.values()])
    labels = np.concatenate([digits.target + DIGITS * place for place in range(len(COLOURS))])
    order = np.random.default_rng(0).permutation(len(pictures))
    training, heldout = order[:1200], order[1200:]
    keras.utils.set_random_seed(0)
    network = get_model("lenet5").build((28, 28, 3), len(COLOURS) * DIGITS)
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    network.fit(pictures[training], labels[training], batch_size=32, epochs=8, verbose=0)
    network.compile(None)
    classes = [f"{colour} {digit}" for colour in COLOURS for digit in range(DIGITS)]
    made = copy_run(run, tmp_path_factory.mktemp("runs") / "colours", input_shape=(28, 28, 3), classes=classes)
    network.save(made.best_file)
    model = inference_model(network, "classification")
    probabilities = model.predict(pictures[heldout], verbose=0)["probabilities"]
    np.savez_compressed(made.folder / "calibration.npz", images=pictures[training][:100])
    np.savez_compressed(
        made.folder / "heldout.npz", images=pictures[heldout], labels=labels[heldout], probabilities=probabilities
    )
    return made


@pytest.fixture(scope="session")
def colour_release(colour_run, tmp_path_factory):
    from app.export.export import export

    return export(colour_run, tmp_path_factory.mktemp("exported"), say=lambda line: None)


@pytest.fixture(scope="session")
def networks(run, release, colour_run, colour_release):
    return {"grey": (run, release), "colour": (colour_run, colour_release)}
