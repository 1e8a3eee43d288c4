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
# A process has its virtual devices from its start, so that all of this happens in processes of their own.
START = """
import json, sys
from pathlib import Path
import keras
import numpy as np
from app.config import make_config
from app.train import fit as story
from app.train.callbacks import Log
from app.train.devices import find_devices
from app.train.optimizers import make_optimizer

FLAGS = {"devices": 2, "limit": 301, "epochs": 5, "batch_size": 20, "learning_rate": 5e-3, "ema": 0.8, "augment": "none"}
found = {}

def train(name, said=None, **flags):
    folder = Path(sys.argv[1]) / name
    folder.mkdir(exist_ok=True)
    config = make_config("mlp", "digits", FLAGS | flags)
    return story.fit(config, folder, [].append if said is None else said.append, live=False)
"""
TRAIN = """
found["said"] = said = []
two = train("two", said)
found["device"] = two.record["device"]
found["two"] = two.metrics()["test"]["accuracy"]
held = two.arrays("heldout")
logits = np.asarray(two.network()(held["images"].astype(np.float32)))
found["loaded"] = float((logits.argmax(axis=1) == held["labels"]).mean())
found["one"] = train("one", devices=1).metrics()["test"]["accuracy"]
"""
RESUME = """
whole = train("whole", precision="mixed_float16")
real = Log.on_epoch_end
def cut(self, epoch, logs):
    if epoch == 3:
        raise KeyboardInterrupt
    real(self, epoch, logs)
Log.on_epoch_end = cut
try:
    train("cut", precision="mixed_float16")
except KeyboardInterrupt:
    found["cut"] = True
Log.on_epoch_end = real
resumed = train("cut", precision="mixed_float16")
same = [np.array_equal(a, b) for a, b in zip(whole.network().get_weights(), resumed.network().get_weights(), strict=True)]
states = [dict(np.load(run.state_file)) for run in (whole, resumed)]
found["equal"] = all(same) and all(np.array_equal(states[0][name], states[1][name]) for name in states[0] if name != "progress")
"""
STEP = """
devices = find_devices(2)
with devices.scope():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="only")])
    flags = {"optimizer": "sgd", "weight_decay": 0.1, "clip_norm": 1.0}
    optimizer = make_optimizer(make_config("mlp", "digits", flags), 0.5, network, devices.replicas)
    network.compile(optimizer, keras.losses.MeanSquaredError())
    network.optimizer.build(network.trainable_variables)
kernel, bias = (weight.numpy() for weight in network.weights)
network.fit(np.ones((4, 3), np.float32), np.full((4, 2), 1000.0, np.float32), batch_size=4, verbose=0)
moved = np.concatenate([(kernel * (1 - 0.5 * 0.1) - network.weights[0].numpy()).ravel(), bias - network.weights[1].numpy()])
found["norm"] = float(np.linalg.norm(moved)) / 0.5
"""


def on_two(folder, script):
    command = [sys.executable, "-c", f"{START}{script}print(json.dumps(found))", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_two_devices_train_nearly_as_well_as_one(tmp_path):
    found = on_two(tmp_path, TRAIN)
    assert found["device"].endswith("2 virtual devices")
    assert found["two"] > 0.7
    assert found["two"] == pytest.approx(found["one"], abs=0.06)
    assert found["loaded"] == pytest.approx(found["two"], abs=1e-6)
    assert "train: 1 of 301 pictures left out during the epochs, so that 2 devices share evenly" in found["said"]


def test_decay_and_clipping_are_the_same_on_two_devices(tmp_path):
    assert on_two(tmp_path, STEP)["norm"] == pytest.approx(1, rel=1e-3)


@pytest.mark.slow
def test_a_training_on_two_devices_is_gone_on_with_exactly(tmp_path):
    found = on_two(tmp_path, RESUME)
    assert found["cut"]
    assert found["equal"]


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
