"""What is known of a network before it is built: where it comes from, what it takes, and how it is trained.

No Keras in here: names, flags and help must be told within milliseconds.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_type_hints

Optimizer = Literal["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]
Schedule = Literal["constant", "cosine", "step", "exponential", "plateau"]
Loss = Literal[
    "cross_entropy", "focal", "squared", "absolute",
    "dice", "cross_entropy_dice",
    "yolo_v1", "yolo_v5", "faster_rcnn", "overfeat",
]  # fmt: skip
Objective = Literal["classification", "detection", "segmentation"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
ClassWeights = Literal["none", "balanced"]
Shape = tuple[int, int, int]
ENLARGED = 32  # pixels: what pictures too small for a network become


def setting(
    default: Any = None,
    help: str = "",  # noqa: A002 - it becomes the flag's help
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    factory: Callable[[], Any] | None = None,
    flag: bool = True,
) -> Any:
    """A dataclass field that also knows its help and its bounds (both included); `flag=False` keeps it off the command line."""
    metadata = {"help": help, "minimum": minimum, "maximum": maximum, "flag": flag}
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The hyper-parameters of a training. The only place where they have defaults."""

    epochs: int = setting(20, "passes over the training pictures", minimum=1)
    batch_size: int = setting(128, "pictures per step", minimum=1)
    optimizer: Optimizer = setting("adamw", "update rule")
    learning_rate: float = setting(2e-3, "peak learning rate", minimum=0)
    schedule: Schedule = setting("cosine", "course of the learning rate after the warm-up")
    warmup: float = setting(0.5, "epochs in which the learning rate rises from 0 to its peak", minimum=0)
    weight_decay: float = setting(0.005, "decoupled decay of kernels (never of biases or normalisation)", minimum=0)
    clip_norm: float = setting(0.0, "largest norm of the whole gradient, 0: any", minimum=0)
    dropout: float = setting(0.0, "share of units dropped, in networks that have dropout", minimum=0, maximum=0.95)
    loss: Loss = setting("cross_entropy", "training loss")
    image_size: int = setting(
        0, "height and width of the network's input in pixels, or as 192x256; 0: the pictures', or the paper's", minimum=0
    )
    image_width: int = setting(0, minimum=0, flag=False)  # where it is not the height
    label_smoothing: float = setting(0.0, "share of a target spread over all classes", minimum=0, maximum=0.9)
    class_weights: ClassWeights = setting("none", "balanced: rare classes weigh more in the loss")
    augment: str = setting(
        "none", "augmentation: policies and operations of the network's objective joined by +: crop+flip+cutout"
    )
    clean_epochs: float = setting(0.0, "share of the training, at its end, without augmentation", minimum=0, maximum=1)
    ema: float = setting(0.0, "decay of the moving average of weights that is kept, 0: none", minimum=0, maximum=0.99999)
    precision: Precision = setting("float32", "arithmetic of the training; weights stay float32")
    early_stopping: int = setting(0, "stop after so many epochs without a better validation metric, 0: never", minimum=0)
    options: Mapping[str, Any] = setting(None, factory=dict, flag=False)


@dataclass(frozen=True)
class Option:
    """A choice that a network offers through `--set name=value`: its type, default, and accepted values if they are few."""

    name: str
    type: type
    default: Any
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A network of the registry.

    Args:
        build: `build(input_shape, classes, **options) -> keras.Model`; the keyword-only parameters are the network's
            options. A family is one function whose table comes first: `partial(vgg, A)`. It gives, for
            classification: logits [B, classes], or {"logits": ..., and auxiliary heads};
            segmentation: logits [B, H, W, classes];
            detection: predictions [B, P, ...] of a last layer whose `detections(predictions)` are boxes and scores.
        targets: name of the target encoder in `app.data.targets`.
        losses: the losses that fit its outputs.
        input_shape: height, width, channels that the paper states.
        min_size: the smallest height and width that can pass through the network.
        parameters: trainable parameters of what is deployed (no auxiliary heads) at `input_shape` and `classes`, as the
            paper or its figure has them.
        fixed_parameters: those that are not trained: batch normalisation's statistics, fixed kernels.
        auxiliary_parameters: those of heads that are there in training alone.
        macs: multiply-adds of convolutions and dense layers for one picture.
        reached: the objective's metric on test pictures, of `docs/results.md`, in percent, by data set.
    """

    name: str
    title: str
    year: int
    paper: str
    build: Callable[..., Any]
    input_shape: Shape
    parameters: int
    macs: int
    fixed_parameters: int = 0
    auxiliary_parameters: int = 0
    classes: int = 10
    min_size: int = 1
    objective: Objective = "classification"
    targets: str = "one_hot"
    losses: tuple[str, ...] = ("cross_entropy", "focal", "squared", "absolute")
    recipes: Mapping[str, Recipe] = field(default_factory=lambda: MappingProxyType({"*": Recipe()}))
    reached: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def recipe(self, data: str) -> Recipe:
        """The recipe for a data set, or the general one."""
        return self.recipes.get(data, self.recipes["*"])

    @property
    def options(self) -> dict[str, Option]:
        """What `--set` accepts: read from the signature of `build`, the one place where it is written."""
        hints = get_type_hints(getattr(self.build, "func", self.build))  # a partial's own are those of its function
        found = {}
        for name, parameter in inspect.signature(self.build).parameters.items():
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                choices = getattr(hints[name], "__args__", ())
                found[name] = Option(name, type(parameter.default), parameter.default, choices)
        return found

    def size_for(self, native: tuple[int, int] | None) -> tuple[int, int]:
        """Height and width of the input for pictures of a native (height, width).

        Square pictures keep their size; those too small for the network are enlarged to 32 pixels, or to what the
        paper has if that is less. Pictures of many sizes, or not square, get the paper's.
        """
        if native and native[0] == native[1]:
            side = native[0] if native[0] >= self.min_size else min(ENLARGED, self.input_shape[0])
            return side, side
        return self.input_shape[0], self.input_shape[1]
