import json
import re
from dataclasses import fields, replace
from typing import Literal, get_args, get_origin

import pytest

from app.config import TrainConfig, check, describe, make_config, network_options, parse_option, parse_value, setting_types
from app.data.augment.policies import find_policy
from app.data.targets import ENCODERS
from app.errors import UserError
from models.registry import all_models, get_model

RECIPES = [(spec.name, data) for spec in all_models().values() for data in spec.recipes]


@pytest.mark.parametrize(
    "field", [field for field in fields(TrainConfig) if field.metadata["flag"]], ids=lambda field: field.name
)
def test_every_flag_has_a_help_and_a_type_that_text_can_have(field):
    kind = setting_types()[field.name]
    assert field.metadata["help"]
    assert kind in (int, float, bool, str) or get_origin(kind) is Literal


@pytest.mark.parametrize(("model", "data"), RECIPES)
def test_every_recipe_passes_the_checks(model, data):
    config = make_config(model, "anything" if data == "*" else data, {})
    find_policy(config.augment, config.spec.objective)
    assert config.spec.targets in ENCODERS
    assert "dropout" not in config.options, "dropout is a setting of the recipe"
    assert set(config.options) <= set(config.spec.options)
    for name, value in config.options.items():
        assert parse_option(config.spec, name, str(value)) == value
    for field in fields(config):
        kind = setting_types()[field.name]
        if kind in (int, float, bool, str):
            assert type(getattr(config, field.name)) is kind, f"{field.name} of {model} for {data}"


@pytest.mark.parametrize("spec", all_models().values(), ids=lambda spec: spec.name)
def test_every_option_of_a_network_can_be_given_as_text(spec):
    for option in spec.options.values():
        assert option.type in (int, float, bool, str), option.name
        assert option.name == "dropout" or parse_option(spec, option.name, str(option.default)) == option.default
        for choice in option.choices:
            assert parse_option(spec, option.name, str(choice)) == choice


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"epochs": 0}, "--epochs 0 is too small; the smallest is 1"),
        ({"batch_size": 0}, "--batch-size 0 is too small; the smallest is 1"),
        ({"dropout": 0.99}, "--dropout 0.99 is too large; the largest is 0.95"),
        ({"ema": 1.0}, "--ema 1.0 is too large; the largest is 0.99999"),
        ({"seed": 2**32}, "--seed 4294967296 is too large; the largest is 4294967295"),
        ({"learning_rate": -0.1}, "--learning-rate -0.1 is too small; the smallest is 0"),
        ({"optimizer": "lion"}, "--optimizer takes sgd, momentum, nesterov, adagrad, rmsprop, adam, adamw; not 'lion'"),
        ({"loss": "hinge"}, "--loss takes cross_entropy, focal, squared, absolute; not 'hinge'"),
        ({"image_size": 27}, "--image-size 27 is too small for lenet5; the smallest is 28"),
        ({"schedule": "plateau"}, "--schedule plateau has no warm-up; give --warmup 0"),
        ({"epochs": 2, "warmup": 2.0}, "--warmup 2 leaves nothing of 2 epochs; give a smaller one"),
        ({"freeze": True}, "--freeze trains the last layer of given weights; give --weights imagenet, RUN or FILE too"),
        (
            {"devices": 2, "batch_size": 33},
            "--batch-size 33 cannot be shared evenly by 2 devices; give --batch-size 32",
        ),
        ({"devices": 8, "batch_size": 4}, "--batch-size 4 cannot be shared evenly by 8 devices; give --batch-size 8"),
    ],
)
def test_a_setting_that_cannot_work_is_told_with_what_is_accepted(flags, message):
    with pytest.raises(UserError) as error:
        make_config("lenet5", "digits", flags)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (int, "many", "--flag takes a whole number; not 'many'"),
        (int, "1.5", "--flag takes a whole number; not '1.5'"),
        (int, "", "--flag takes a whole number; not ''"),
        (float, "fast", "--flag takes a number; not 'fast'"),
        (float, "nan", "--flag takes a number; not 'nan'"),
        (float, "inf", "--flag takes a number; not 'inf'"),
        (bool, "yes", "--flag takes true or false; not 'yes'"),
        (Literal["max", "average"], "mean", "--flag takes max, average; not 'mean'"),
    ],
)
def test_a_text_of_another_type_is_told_with_what_is_accepted(kind, text, message):
    with pytest.raises(UserError) as error:
        parse_value("--flag", kind, text)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(int, "12", 12), (float, "1e-3", 1e-3), (bool, "True", True), (bool, "false", False), (str, "a b", "a b")],
)
def test_text_becomes_its_type(kind, text, value):
    assert parse_value("--flag", kind, text) == value


@pytest.mark.parametrize(
    ("model", "option", "value", "message"),
    [
        ("lenet5", "poling", "max", "no option 'poling'; did you mean pooling? (of lenet5)"),
        ("lenet5", "pooling", "median", "--set pooling takes max, average, min; not 'median'"),
        ("mlp", "units", "wide", "--set units takes a whole number; not 'wide'"),
        ("lenet5", "dropout", "0.2", "--set dropout=0.2: the recipe has a setting for it; give --dropout 0.2"),
    ],
)
def test_an_option_that_does_not_fit_is_told_with_what_is_accepted(model, option, value, message):
    with pytest.raises(UserError) as error:
        parse_option(get_model(model), option, value)
    assert str(error.value) == message


def test_a_wrong_model_is_told_with_the_nearest():
    with pytest.raises(UserError, match="no model 'lenet'; did you mean lenet5"):
        make_config("lenet", "digits", {})


def test_dropout_of_a_network_without_it_is_refused(monkeypatch):
    spec = replace(get_model("mlp"), build=lambda input_shape, classes: None)
    monkeypatch.setattr("app.config.find_model", lambda name: spec)
    with pytest.raises(UserError, match=r"--dropout 0.1: mlp has no dropout; leave the flag out"):
        make_config("mlp", "digits", {"dropout": 0.1})
    assert network_options(make_config("mlp", "digits", {"dropout": 0.0})) == {}


def test_flags_go_over_the_recipe_and_options_over_its_options():
    photos = make_config("lenet5", "somewhere", {"epochs": 3}, {"activation": "tanh"})
    assert (photos.epochs, photos.learning_rate) == (3, get_model("lenet5").recipe("somewhere").learning_rate)
    assert photos.options == {"pooling": "max", "activation": "tanh"}
    assert network_options(photos) == {"dropout": 0.0, "pooling": "max", "activation": "tanh"}
    assert make_config("lenet5", "somewhere", {}).options == {"pooling": "max"}, "the recipe itself stays as it is"


def test_a_configuration_comes_back_from_json():
    config = make_config("lenet5", "digits", {"epochs": 3, "weights": "runs/latest", "freeze": True}, {"pooling": "max"})
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_configuration_of_another_version_is_refused():
    values = make_config("lenet5", "digits", {}).to_json() | {"momentum": 0.9}
    with pytest.raises(UserError, match=r"settings of another version \(momentum\); train again"):
        TrainConfig.from_json(values)


def test_the_choices_of_settings_are_those_that_are_implemented():
    from app.train.losses import LOSSES
    from app.train.optimizers import OPTIMIZERS

    types = setting_types()
    assert set(get_args(types["optimizer"])) == set(OPTIMIZERS)
    assert set(get_args(types["loss"])) == {name for losses in LOSSES.values() for name in losses}
    for spec in all_models().values():
        assert set(spec.losses) <= set(LOSSES[spec.objective])


def test_what_differs_from_the_plainest_recipe_is_described():
    config = TrainConfig(model="lenet5", data="digits", epochs=3, augment="crop+flip", options={"pooling": "max"})
    check(config)
    shown = 'epochs=3 batch_size=128 learning_rate=0.002 augment=crop+flip options={"pooling": "max"}'
    assert describe(config) == shown


@pytest.mark.parametrize(
    ("model", "flags", "told"),
    [
        (
            "unet_small",
            {"label_smoothing": 0.1},
            "--label-smoothing is for classifiers; unet_small is for segmentation, leave it out",
        ),
        ("yolo_v5n", {"qat": True}, "--qat is for classifiers; yolo_v5n is for detection, leave it out"),
        (
            "yolo_v5n",
            {"freeze": True, "weights": "runs/a"},
            "--freeze trains a layer of logits alone, which yolo_v5n does not have",
        ),
        ("yolo_v5n", {"class_weights": "balanced"}, "--class-weights balanced weighs pictures or pixels; yolo_v5n finds boxes"),
    ],
)
def test_settings_of_classifiers_are_refused_for_what_finds(model, flags, told):
    with pytest.raises(UserError, match=re.escape(told)):
        make_config(model, "scenes", flags)
