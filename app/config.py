"""The settings of a training: the network's recipe for the data, changed by the flags that were given.

The fields are the flags: name, type, accepted values, bounds and help of every one come from here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from app.errors import UserError, unknown
from models.registry import all_models, get_model
from models.spec import ModelSpec, Option, Recipe, setting

FIRST_TO_CHANGE = ("epochs", "batch_size", "learning_rate")
MOST_OF_AN_OPTION = 10_000  # units, maps and the like; 0 only where that is the default and means none
WIDEST = 4  # times what the paper has
DROPOUT = "dropout"  # the one option of networks that is a setting of the recipe too


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Recipe):
    """Everything that decides what a training does. Saved in the run folder, and enough to repeat it."""

    model: str = setting("", flag=False)
    data: str = setting("", flag=False)
    weights: str = setting(
        "",
        "start from imagenet (as keras.applications has it), a run, a .keras or a .h5 file; layers are matched by name and shape",
    )
    freeze: bool = setting(False, "train the layer of the logits (and auxiliary heads) alone, with the rest as --weights has it")
    seed: int = setting(0, "decides initial weights, order and augmentation", minimum=0, maximum=2**32 - 1)
    split_seed: int = setting(0, "decides which pictures are held out where the data has no split of its own", minimum=0)
    limit: int = setting(0, "use so many pictures of each split, 0: all", minimum=0)
    strict: bool = setting(False, "refuse data with anything to leave out, instead of listing it")
    qat: bool = setting(False, "train for the int8 file: compute as it will (best after --weights RUN, for a few epochs)")
    devices: int = setting(1, "accelerators or virtual CPU devices to train on", minimum=1)

    @property
    def spec(self) -> ModelSpec:
        """The network's entry in the registry."""
        return find_model(self.model)

    def to_json(self) -> dict[str, Any]:
        """Plain values, the recipe's in their order, then what is being trained on what."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrainConfig:
        """The inverse of `to_json`. Settings that an older version did not have are at their defaults.

        Raises:
            UserError: this version does not know a setting.
        """
        known = {field.name for field in fields(cls)}
        if strange := sorted(set(values) - known):
            raise UserError(f"this configuration has settings of another version ({', '.join(strange)}); train again")
        return cls(**values)


def find_model(name: str) -> ModelSpec:
    """The network of that name.

    Raises:
        UserError: there is none; the nearest names are in the message.
    """
    try:
        return get_model(name)
    except KeyError:
        raise unknown("model", name, all_models(), "(python -m app models lists them)") from None


@cache
def setting_types() -> dict[str, Any]:
    """The type of every setting: int, float, bool, str or a Literal."""
    return get_type_hints(TrainConfig)


def make_config(model: str, data: str, flags: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> TrainConfig:
    """The recipe of `model` for `data`, with what was given over it.

    Args:
        flags: settings by name, of their types; only those that the user gave.
        options: the same of the network's options.
    Raises:
        UserError: a name or value that is not accepted.
    """
    recipe = find_model(model).recipe(data)
    values = {field.name: getattr(recipe, field.name) for field in fields(Recipe)}
    if "image_size" in flags:
        values["image_width"] = 0  # the recipe's belongs to the recipe's height
    config = TrainConfig(**{**values, **flags, "model": model, "data": data, "options": {**recipe.options, **(options or {})}})
    check(config)
    return config


def parse_value(name: str, kind: Any, text: str) -> Any:
    """A flag's text as its type.

    Raises:
        UserError: the text is not of that type.
    """
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise UserError(f"{name} takes {', '.join(map(str, get_args(kind)))}; not '{text}'")
        return text
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise UserError(f"{name} takes true or false; not '{text}'")
        return text.lower() == "true"
    try:
        value = kind(text)
        fits = kind is str or math.isfinite(value)
    except (ValueError, OverflowError):  # the second: more digits than a float has room for
        fits = False
    if not fits:
        raise UserError(f"{name} takes {'a whole number' if kind is int else 'a number'}; not '{text}'")
    return value


def parse_option(spec: ModelSpec, name: str, text: str) -> Any:
    """A `--set name=value` as the network's option.

    Raises:
        UserError: the network has no such option, or the value does not fit.
    """
    options = {other: option for other, option in spec.options.items() if other != DROPOUT}
    if name == DROPOUT and name in spec.options:
        raise UserError(f"--set {name}={text}: the recipe has a setting for it; give --{name} {text}")
    if name not in options:
        raise unknown("option", name, options, f"(of {spec.name})") if options else UserError(f"{spec.name} has no options")
    option: Option = options[name]
    value = parse_value(f"--set {name}", option.type, text)
    if option.choices and value not in option.choices:
        raise UserError(f"--set {name} takes {', '.join(map(str, option.choices))}; not '{text}'")
    if option.type is int and not min(1, option.default) <= value <= MOST_OF_AN_OPTION:
        raise UserError(f"--set {name} takes a whole number from {min(1, option.default)} to {MOST_OF_AN_OPTION:,}; not '{text}'")
    if option.type is float and not 0 < value <= WIDEST:
        raise UserError(f"--set {name} takes a number above 0, at most {WIDEST}; not '{text}'")
    return value


def check(config: TrainConfig) -> None:
    """Refuses settings that cannot work, before anything is downloaded or compiled.

    Raises:
        UserError: the first thing that is wrong.
    """
    for field in fields(config):
        value, name = getattr(config, field.name), f"--{field.name.replace('_', '-')}"
        low, high = field.metadata["minimum"], field.metadata["maximum"]
        if low is not None and value < low:
            raise UserError(f"{name} {value} is too small; the smallest is {low}")
        if high is not None and value > high:
            raise UserError(f"{name} {value} is too large; the largest is {high}")
        kind = setting_types()[field.name]
        if get_origin(kind) is Literal and value not in get_args(kind):
            accepted = config.spec.losses if name == "--loss" else get_args(kind)
            raise UserError(f"{name} takes {', '.join(accepted)}; not '{value}'")
    spec = config.spec
    if config.loss not in spec.losses:
        raise UserError(f"--loss {config.loss} does not fit {spec.name}; it takes {', '.join(spec.losses)}")
    if config.dropout and DROPOUT not in spec.options:
        raise UserError(f"--dropout {config.dropout}: {spec.name} has no dropout; leave the flag out")
    check_size(spec, config.image_size)
    check_size(spec, config.image_width)
    if spec.objective != "classification":
        for flag, given in (("--label-smoothing", config.label_smoothing), ("--qat", config.qat)):
            if given:
                raise UserError(f"{flag} is for classifiers; {spec.name} is for {spec.objective}, leave it out")
    if config.freeze and spec.objective == "detection":
        raise UserError(f"--freeze trains a layer of logits alone, which {spec.name} does not have; leave it out")
    if config.class_weights != "none" and spec.objective == "detection":
        raise UserError(
            f"--class-weights {config.class_weights} weighs pictures or pixels; {spec.name} finds boxes, leave it out"
        )
    if config.warmup and config.schedule == "plateau":
        raise UserError("--schedule plateau has no warm-up; give --warmup 0")
    if config.warmup >= config.epochs:
        raise UserError(f"--warmup {config.warmup:g} leaves nothing of {config.epochs} epochs; give a smaller one")
    if config.batch_size % config.devices:
        multiple = f"--batch-size {config.batch_size // config.devices * config.devices or config.devices}"
        raise UserError(f"--batch-size {config.batch_size} cannot be shared evenly by {config.devices} devices; give {multiple}")
    if config.freeze and not config.weights:
        raise UserError("--freeze trains the last layer of given weights; give --weights imagenet, RUN or FILE too")
    if config.qat and config.precision != "float32":
        raise UserError(f"--qat imitates integers in float32; not in --precision {config.precision}, leave one of them out")


def check_size(spec: ModelSpec, image_size: int) -> None:
    """Refuses pictures that are too small for a network; 0 stands for its own size.

    Raises:
        UserError: with the smallest that pass.
    """
    if image_size and image_size < spec.min_size:
        raise UserError(f"--image-size {image_size} is too small for {spec.name}; the smallest is {spec.min_size}")


def network_options(config: TrainConfig) -> dict[str, Any]:
    """The keyword arguments for the network's `build`."""
    dropout = {DROPOUT: config.dropout} if DROPOUT in config.spec.options else {}
    return dropout | dict(config.options)


def describe(config: TrainConfig) -> str:
    """The settings that one changes first and those that differ from the plainest recipe, as `name=value`, for a screen."""
    plain = Recipe()
    names = [f.name for f in fields(Recipe) if f.name in FIRST_TO_CHANGE or getattr(config, f.name) != getattr(plain, f.name)]
    shown = {name: getattr(config, name) for name in names}
    return " ".join(f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in shown.items())
