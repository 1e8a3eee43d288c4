"""Auxiliary heads: trained at .3 of the loss, watched apart, absent from what is deployed."""

import csv

import keras
import numpy as np
import pytest

from app.config import make_config
from app.train import fit as story
from app.train.callbacks import MainFigures
from app.train.devices import find_devices
from app.train.network import freeze, start_from

TINY = {"width": 0.0625}


def two_heads():
    image = keras.Input((4, 4, 1), name="image")
    x = keras.layers.Flatten(name="pixels")(image)
    outputs = {name: keras.layers.Dense(3, name=name)(x) for name in ("logits", "auxiliary1", "auxiliary2")}
    return keras.Model(image, outputs)


def test_a_head_counts_for_three_tenths_of_the_loss_and_not_for_the_accuracy():
    network, config = two_heads(), make_config("mlp", "digits", {})
    story._compile(network, config, 1, find_devices(1))
    images = np.random.default_rng(0).uniform(0, 1, (20, 4, 4, 1)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[np.arange(20) % 3]
    found = network.evaluate(images, dict.fromkeys(network.output, targets), verbose=0, return_dict=True)
    answers = {name: np.asarray(values) for name, values in network(images).items()}
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    losses = {name: float(loss(targets, values)) for name, values in answers.items()}
    assert found["loss"] == pytest.approx(losses["logits"] + 0.3 * (losses["auxiliary1"] + losses["auxiliary2"]), rel=1e-5)
    assert found["logits_accuracy"] == pytest.approx((answers["logits"].argmax(1) == np.arange(20) % 3).mean())
    assert not [name for name in found if "auxiliary" in name and "accuracy" in name]


def test_the_main_output_has_the_plain_names():
    logs = {
        "loss": 5.0,
        "logits_loss": 2.0,
        "logits_accuracy": 0.5,
        "auxiliary1_loss": 1.0,
        "val_logits_loss": 3.0,
        "val_loss": 9.0,
    }
    MainFigures().on_epoch_end(0, logs)
    assert logs == {"loss": 2.0, "accuracy": 0.5, "auxiliary1_loss": 1.0, "val_loss": 3.0}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    flags = {"epochs": 2, "warmup": 0.0, "limit": 60, "batch_size": 20, "image_size": 17}
    config = make_config("googlenet", "digits", flags, TINY)
    return story.fit(config, tmp_path_factory.mktemp("run"), lambda line: None)


def test_a_training_watches_the_main_output_and_writes_the_heads_beside_it(trained):
    with trained.history_file.open() as file:
        rows = list(csv.DictReader(file))
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "auxiliary1_loss", "val_auxiliary2_loss"} <= set(rows[0])
    assert not [name for name in rows[0] if "logits" in name]
    probabilities = trained.arrays("heldout")["probabilities"]
    assert probabilities.shape == (60, 10)


def test_what_is_deployed_has_no_head_and_what_is_kept_has(trained):
    network, deployed = trained.network(), trained.inference_model()
    assert [layer for layer in network.layers if layer.name.startswith("auxiliary")]
    inner = deployed.get_layer("googlenet")
    assert not [layer for layer in inner.layers if layer.name.startswith("auxiliary")]
    assert trained.metrics()["parameters"] == inner.count_params() < network.count_params()


def test_other_classes_may_start_from_it_with_new_heads_alone_to_train(trained):
    from models.registry import get_model

    network = get_model("googlenet").build((17, 17, 1), 4, **trained.config.options)
    fresh = start_from(network, trained.best_file, lambda line: None)
    assert set(fresh) == {"logits", "auxiliary1", "auxiliary2"}
    freeze(network, fresh)
    assert {layer.name for layer in network.layers if layer.trainable_weights} == {"logits", "auxiliary1", "auxiliary2"}
