import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from app.config import make_config
from app.errors import UserError
from app.train import devices, fit
from app.train.devices import find_devices

ROOT = Path(__file__).parents[2]
# A process has its virtual devices from its start, so that all of this happens in one of its own.
ON_TWO = """
import json, sys
from pathlib import Path
import keras
import numpy as np
from app.config import make_config
from app.errors import UserError
from app.train import fit as story
from app.train.callbacks import Log
from app.train.devices import find_devices
from app.train.optimizers import make_optimizer

FOLDER = Path(sys.argv[1])
FLAGS = {"devices": 2, "limit": 301, "epochs": 6, "batch_size": 20, "learning_rate": 5e-3, "ema": 0.8, "augment": "none"}
found = {}

def train(name, said=None, **flags):
    folder = FOLDER / name
    folder.mkdir(exist_ok=True)
    config = make_config("mlp", "digits", FLAGS | flags)
    return story.fit(config, folder, [].append if said is None else said.append, live=False)

def weights(run):
    return run.network().get_weights()

said = []
two = train("two", said)
found["said"] = said
found["device"] = two.record["device"]
found["two"] = two.metrics()["test"]["accuracy"]
network, held = keras.models.load_model(two.best_file, compile=False), two.arrays("heldout")
logits = np.asarray(network(held["images"].astype(np.float32)))
found["loaded"] = float((logits.argmax(axis=1) == held["labels"]).mean())

real = Log.on_epoch_end
def cut(self, epoch, logs):
    if epoch == 3:
        raise KeyboardInterrupt
    real(self, epoch, logs)
Log.on_epoch_end = cut
try:
    train("cut")
except KeyboardInterrupt:
    found["cut"] = True
Log.on_epoch_end = real
resumed = train("cut")
found["resumed is equal"] = all(np.array_equal(a, b) for a, b in zip(weights(two), weights(resumed), strict=True))
states = [dict(np.load(run.state_file)) for run in (two, resumed)]
found["state is equal"] = all(np.array_equal(states[0][name], states[1][name]) for name in states[0] if name != "progress")

half = train("half", precision="mixed_float16", epochs=2)
found["half"] = bool(np.isfinite(half.metrics()["test"]["loss"]))
one = train("one", devices=1)
found["one"] = one.metrics()["test"]["accuracy"]

setup = find_devices(2)
found["replicas"] = setup.replicas
import tensorflow as tf
with setup.scope():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="only")])
    config = make_config("mlp", "digits", {"optimizer": "sgd", "weight_decay": 0.1, "clip_norm": 1.0})
    network.compile(make_optimizer(config, 0.5, network, setup.replicas), keras.losses.MeanSquaredError())
    network.optimizer.build(network.trainable_variables)
kernel = network.get_layer("only").kernel
before = np.array(kernel)
x = np.zeros((4, 3), np.float32)
network.fit(x, np.asarray(network(x)), batch_size=4, verbose=0)
found["decay"] = float(np.abs(np.array(kernel) - before * (1 - 0.5 * 0.1)).max())
network.optimizer.weight_decay = None
before = network.get_weights()
network.make_train_function(force=True)
network.fit(np.ones((4, 3), np.float32), np.full((4, 2), 1000.0, np.float32), batch_size=4, verbose=0)
moved = np.concatenate([(old - new).ravel() for old, new in zip(before, network.get_weights())])
found["clipped step"] = float(np.linalg.norm(moved))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    done = subprocess.run([sys.executable, "-c", ON_TWO, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_two_devices_train_nearly_as_well_as_one(on_two):
    assert on_two["device"].endswith("2 virtual devices")
    assert on_two["two"] > 0.7
    assert on_two["two"] == pytest.approx(on_two["one"], abs=0.06)
    assert on_two["half"]


def test_the_best_network_of_two_devices_loads_as_any_other(on_two):
    assert on_two["loaded"] == pytest.approx(on_two["two"], abs=1e-6)


def test_pictures_that_two_devices_cannot_share_are_told(on_two):
    assert "train: 1 of 301 pictures left out during the epochs, so that 2 devices share evenly" in on_two["said"]


def test_a_training_on_two_devices_is_gone_on_with_exactly(on_two):
    assert on_two["cut"]
    assert on_two["resumed is equal"]
    assert on_two["state is equal"]


def test_decay_and_clipping_are_the_same_on_two_devices(on_two):
    assert on_two["replicas"] == 2
    assert on_two["decay"] < 1e-6
    assert on_two["clipped step"] == pytest.approx(0.5, rel=1e-3), "a rate of .5 times a norm of 1"


def test_devices_that_came_too_late_are_told_in_one_line(monkeypatch):
    keras.ops.ones(1)  # TensorFlow is in use from here on
    with pytest.raises(UserError, match=r"^--devices 3: virtual devices must be set up before TensorFlow is used \([^\n]*\)$"):
        find_devices(3)


def test_more_accelerators_than_there_are_is_told():
    with pytest.raises(UserError, match="--devices 4: this machine has 2; ask for at most that many"):
        devices._check_count(4, 2)
    devices._check_count(4, 0)


def test_a_backend_that_does_not_train_here_is_told(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(UserError, match="KERAS_BACKEND=torch does not train here; use tensorflow or jax"):
        find_devices(1)


def test_devices_are_looked_for_before_data_is_read(monkeypatch, tmp_path):
    def refuse(count):
        raise UserError("no devices")

    monkeypatch.setattr(fit, "find_devices", refuse)
    monkeypatch.setattr(fit, "load_data", None)
    with pytest.raises(UserError, match="no devices"):
        fit.fit(make_config("mlp", "digits", {}), tmp_path, print)


def test_fewer_pictures_than_devices_are_told():
    split = fit.Split(np.zeros((3, 2, 2, 1), np.uint8), np.zeros(3, np.int64))
    with pytest.raises(UserError, match="--devices 4: there are 3 pictures for val; ask for at most that many devices"):
        fit._shared("val", split, 4, print)
    assert len(fit._shared("val", split, 2, lambda line: None)) == 2
    assert fit._shared("val", split, 3, print) is split
