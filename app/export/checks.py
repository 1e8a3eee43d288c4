"""Runs a file that was just converted, and refuses what is not the network that was trained."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.deploy import INPUT
from app.errors import UserError
from app.export.bounds import ANSWERS, CONTINUOUS, COUNTED, DIFFERENCE, SAME_ANSWERS
from app.export.contract import NOTHING, check_outputs
from app.export.graph import Variant
from app.images import with_channels
from app.objectives import Objective
from app.release import Artifact, hashes, size
from app.runners import FORMATS, Outputs, Runner, open_file, run_pictures

WARM_UPS, TIMED_RUNS = 3, 30
BYTES_A_WEIGHT = {"fp32": 4, "fp16": 2, "dynamic": 1, "int8": 1}
OVERHEAD_BYTES = 64 * 1024  # of any file, for its graph
OPERATION_BYTES = 1024  # of every operation, for its name, shape and scales; an unrolled loop has over a thousand
VARIABLES = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")
PIXELS = {"float32": (0.0, 0), "uint8": (1.0, 0), "int8": (1.0, -128)}  # scale and zero point of an input of 0..255
FLOATS_BYTES = 2**26  # of outputs that are compared value by value: masks of all pictures would fill the memory


@dataclass(frozen=True)
class Trial:
    """What the files of a release are compared with.

    Args:
        pictures, labels: the run's held-out ones.
        reference: what Keras answers to these pictures, as far as the objective keeps it.
        exact: all that it answers to the first of them.
        weights: parameters of the inference model.
        operations: of its graph.
        bounds: by precision.
    """

    pictures: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    reference: Outputs
    objective: Objective
    classes: tuple[str, ...]
    weights: int
    operations: int
    bounds: dict[str, float]
    exact: Outputs

    @property
    def metric(self) -> float:
        """Keras's own."""
        return self.measure(self.reference)

    def measure(self, outputs: Outputs) -> float:
        """The objective's metric of some outputs."""
        return float(self.objective.measure(outputs, self.labels, self.classes)[self.objective.metric])


def examine(trial: Trial, variant: Variant, path: Path) -> Artifact:
    """What a file was measured to do on every held-out picture.

    Raises:
        UserError: it is out of bounds, or not what its format and name promise.
    """
    if variant.format == "tflite":
        check_operators(path)
    check_size(trial, variant, path)
    runner = open_file(path, variant.format)
    tail: Path | None = getattr(runner, "tail", None)
    if tail:
        check_operators(tail)
    check_names(trial, variant, runner, run_pictures(runner, trial.pictures[:1]))
    outputs, exact = answers(runner, trial.pictures, trial.objective)
    artifact = Artifact(
        path=variant.path,
        format=variant.format,
        precision=variant.precision,
        runtime=FORMATS[variant.format].runtime,
        input_dtype=getattr(runner, "input_dtype", "float32"),
        channels="RGB" if runner.input_shape[2] == 3 else "grey",
        quantisation="",  # the converter knows
        sha256=hashes(path),
        bytes=size(path) + (size(tail) if tail else 0),
        metric=trial.measure(outputs),
        agreement=trial.objective.agreement(outputs, trial.reference),
        max_difference=largest_difference(exact, trial.exact),
        latency_ms=latency_ms(runner, trial.pictures[0]),
        tail=tail.name if tail else "",
        tail_sha256=str(hashes(tail)) if tail else "",
    )
    check_bounds(trial, artifact)
    return artifact


def answers(runner: Runner, pictures: np.ndarray[Any, Any], objective: Objective) -> tuple[Outputs, Outputs]:
    """What a network answers to pictures as far as the objective keeps it, and all that it answers to the first of them.

    What is no number anywhere is no number in the first answer of what is kept whole.
    """
    whole: list[Outputs] = []
    finite = True

    def kept(outputs: Outputs) -> Outputs:
        nonlocal finite
        finite = finite and all(np.isfinite(values).all() for values in outputs.values())
        if sum(values.nbytes for part in whole for values in part.values()) < FLOATS_BYTES:
            whole.append({name: np.array(values) for name, values in outputs.items()})
        return objective.kept(outputs)

    found = run_pictures(runner, pictures, kept)
    exact = {name: np.concatenate([part[name] for part in whole]) for name in whole[0]}
    return found, exact if finite else {name: np.full_like(values, np.nan) for name, values in exact.items()}


def check_bounds(trial: Trial, artifact: Artifact) -> None:
    """Refuses a file whose answers are too far from Keras's.

    Raises:
        UserError: says which file, which figure, and which bound.
    """
    bound = trial.bounds[artifact.precision]
    end = f"{NOTHING} (--variants can leave {artifact.path} out)"
    # A difference that is not a number is no `>` of anything: ask for what must hold.
    if not np.isfinite(artifact.max_difference):
        raise UserError(f"{artifact.path} gives outputs that are no numbers{end}")
    if artifact.precision in DIFFERENCE and trial.objective.name in CONTINUOUS:
        if not artifact.max_difference <= bound:
            figure = f"{artifact.max_difference:.2g} from Keras; the bound for {artifact.precision} is {bound:g}"
            raise UserError(f"{artifact.path}: an output is {figure}{end}")
        return
    lost = trial.metric - artifact.metric
    end = f"{NOTHING} (--tolerance POINTS accepts more, --variants can leave {artifact.path} out)"
    if not lost <= bound + 1e-9:
        figure = f"loses {100 * lost:.2f} points of {trial.objective.metric} ({trial.metric:.4f} to {artifact.metric:.4f})"
        raise UserError(f"{artifact.path} {figure}; the bound for {artifact.precision} is {100 * bound:g}{end}")
    changes = ANSWERS * bound
    if artifact.precision in SAME_ANSWERS:
        changes = 1 - SAME_ANSWERS[artifact.precision]
        end = f"{NOTHING} (--variants can leave {artifact.path} out)"
        if not -lost <= bound + 1e-9:
            figure = f"gains {-100 * lost:.2f} points of {trial.objective.metric}, so it is another network"
            raise UserError(f"{artifact.path} {figure}; the bound for {artifact.precision} is {100 * bound:g}{end}")
    if not 1 - artifact.agreement <= changes + 1e-9:
        figure = f"answers {100 * (1 - artifact.agreement):.2f}% of the {COUNTED[trial.objective.name]} otherwise than Keras"
        raise UserError(f"{artifact.path} {figure}; the bound for {artifact.precision} is {100 * changes:g}%{end}")


def check_size(trial: Trial, variant: Variant, path: Path) -> None:
    """Refuses a file too small for the weights, which are then missing, or so large that they are not in its precision.

    Raises:
        UserError: says how large the file is and what was expected.
    """
    found = size(path)
    expected = trial.weights * BYTES_A_WEIGHT[variant.precision]
    least = expected // 2  # batch normalisation is folded away
    most = 3 * expected // 2 + OVERHEAD_BYTES + OPERATION_BYTES * trial.operations
    if not least <= found <= most:
        problem = "too small to hold" if found < least else "too large for"
        raise UserError(f"{path.name} has {found:,} bytes: {problem} {trial.weights:,} weights in {variant.precision}{NOTHING}")


def check_operators(path: Path) -> None:
    """Refuses a TFLite file that reads variables, which it does not have, needs more than the built-in operators, or leaves
    the size of its input open.

    Raises:
        UserError: names the operator, or the sizes.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    signature = graph.Tensors(graph.Inputs(0)).ShapeSignatureAsNumpy()
    if (np.asarray(signature) < 0).any():  # plain 0 where every size is fixed
        raise UserError(f"{path.name} takes {signature.tolist()}, -1 being any; phones and browsers need a fixed size{NOTHING}")
    for name, operator in operators(model):
        if name in VARIABLES:
            raise UserError(f"{path.name} has the operator {name}: its weights are missing{NOTHING}")
        if name == "CUSTOM":
            raise UserError(f"{path.name} needs the operator {operator.CustomCode().decode()}, which phones do not have{NOTHING}")


def operators(model: Any) -> Iterator[tuple[str, Any]]:
    """The operators that a TFLite model uses, each with the schema's name for it; empty where this schema has none."""
    from ai_edge_litert import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    for place in range(model.OperatorCodesLength()):
        operator = model.OperatorCodes(place)
        yield names.get(max(operator.BuiltinCode(), operator.DeprecatedBuiltinCode()), ""), operator


def check_names(trial: Trial, variant: Variant, runner: Runner, outputs: Outputs) -> None:
    """Refuses a file whose tensors are not called and shaped as the release's contract has them.

    Raises:
        UserError: names the tensor.
    """
    name = variant.path
    if runner.input_name != INPUT:
        raise UserError(f"{name} calls its input '{runner.input_name}'; it has to be '{INPUT}'{NOTHING}")
    kind = getattr(runner, "input_dtype", "float32")
    if (scale := getattr(runner, "input_scale", PIXELS["float32"])) != PIXELS.get(kind):
        raise UserError(f"{name} takes {kind} with scale and zero point {scale}; a picture's are {PIXELS.get(kind)}{NOTHING}")
    if set(outputs) != set(trial.objective.outputs):
        raise UserError(f"{name} has the outputs {sorted(outputs)}, not {sorted(trial.objective.outputs)}{NOTHING}")
    check_outputs(name, trial.objective.name, outputs, len(trial.classes), integers=variant.precision == "int8")


def largest_difference(ours: Outputs, theirs: Outputs) -> float:
    """The largest difference of any probability, or score of the box at the same place; not a number if one is not.

    Boxes themselves are none of it: two that are as sure change places.
    """
    compared = ["scores"] if "scores" in theirs and "boxes" in theirs else list(theirs)
    differences = [float(np.abs(ours[name] - theirs[name]).max()) for name in compared]
    return max(differences) if np.isfinite(differences).all() else float("nan")


def latency_ms(runner: Runner, picture: np.ndarray[Any, Any]) -> float:
    """The median time for one picture, when the file has run a few times already.

    Shapes: uint8 [H, W, C].
    """
    image = with_channels(picture[None], runner.input_shape[2]).astype(np.float32)
    seconds = []
    for _ in range(WARM_UPS + TIMED_RUNS):
        start = time.perf_counter()
        runner.run(image)
        seconds.append(time.perf_counter() - start)
    return round(1000 * statistics.median(seconds[WARM_UPS:]), 4)
