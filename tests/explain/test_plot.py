from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from app.errors import UserError
from app.explain.graph import skeleton
from app.explain.inspect import inspect, rows_of
from app.explain.plot import boxes_of, check_name, draw
from models.spec import ModelSpec


def applications(build, size=224):
    spec = ModelSpec(
        name="given", title="Given", year=2000, paper="", input_shape=(size, size, 3), parameters=0, macs=0,
        build=lambda shape, classes: build(weights=None, input_shape=shape, classes=classes),
    )  # fmt: skip
    return replace(inspect("cnn"), layers=tuple(rows_of(skeleton(spec, spec.input_shape, 1000, {}))))


@pytest.fixture(scope="module")
def resnet50():
    return applications(keras.applications.ResNet50)


def test_a_box_is_what_multiplies_or_pools():
    assert [box.row.name for box in boxes_of(inspect("lenet5").layers)] == [
        "image", "c1", "s2", "c3", "s4", "c5", "f6", "logits",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["lenet5", "gru"])
def test_boxes_leave_no_cost_out(name):
    found = inspect(name)
    boxes = boxes_of(found.layers)
    assert sum(box.parameters for box in boxes) == found.parameters
    assert sum(box.macs for box in boxes) == found.macs


def test_costs_of_a_normalisation_are_its_convolutions(resnet50):
    boxes = {box.row.name: box for box in boxes_of(resnet50.layers)}
    assert sum(box.parameters for box in boxes.values()) == 25_636_712
    assert boxes["conv1_conv"].parameters == 7 * 7 * 3 * 64 + 64 + 4 * 64
    assert len(boxes) == 57, "the picture, 53 convolutions, two poolings and a dense layer"
    assert (boxes["conv1_conv"].kind, boxes["pool1_pool"].kind, boxes["predictions"].kind) == ("convolution", "pooling", "dense")


def test_a_network_is_drawn_in_its_colours(tmp_path):
    found = inspect("lenet5")
    draw(found, tmp_path / "network.png")
    pixels = np.asarray(Image.open(tmp_path / "network.png").convert("RGB"))
    assert pixels.shape[1] >= 1000
    for box in boxes_of(found.layers):
        colour = [int(box.colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (pixels == colour).all(axis=-1).sum() > 500, box.kind


def test_words_say_names_sizes_and_stages(tmp_path, resnet50, monkeypatch):
    monkeypatch.setattr("app.explain.plot.STYLE", {"svg.fonttype": "none"})
    draw(inspect("lenet5"), tmp_path / "few.svg")
    few = (tmp_path / "few.svg").read_text()
    assert all(word in few for word in (">c3<", ">10x10x16<", ">LeNet-5<", "0.42 M multiply-adds", "picture: 32"))
    draw(resnet50, tmp_path / "many.svg")
    many = (tmp_path / "many.svg").read_text()
    assert all(word in many for word in (">14x14<", ">19 layers<", ">256 to 1024 maps<"))
    assert "conv1_conv" not in many


def test_the_same_network_is_the_same_file(tmp_path):
    for name in ("a.svg", "b.svg"):
        draw(inspect("mlp"), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_pictures_of_any_size_and_vectors_alone_are_drawn(tmp_path):
    for found in (inspect("mlp"), inspect("lenet5", 40), inspect("rnn")):
        draw(found, tmp_path / "network.pdf")
        assert (tmp_path / "network.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", ["network", "network.jpg", "png"])
def test_other_endings_are_refused(tmp_path, name):
    with pytest.raises(UserError, match=r"--plot .*\.png, \.svg, \.pdf; give a name that ends so"):
        check_name(tmp_path / name)
    with pytest.raises(UserError):
        draw(inspect("mlp"), tmp_path / name)


@pytest.mark.slow
def test_a_network_of_500_layers_is_drawn(tmp_path):
    draw(applications(keras.applications.ResNet152), tmp_path / "deep.png")
    assert Image.open(tmp_path / "deep.png").width <= 2400
