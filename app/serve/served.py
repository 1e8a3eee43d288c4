"""A version of a release, ready to answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.answers import AnyAnswer
from app.errors import UserError
from app.objectives import OBJECTIVES
from app.release import LARGEST_BATCH, Artifact, Release, check_artifact, check_extras, onnx_file
from app.runners import Outputs, first_line
from app.runners.onnx import CPU, OnnxRunner, available_providers
from app.serve.refusal import malformed, too_large
from app.serve.scheduler import Scheduler
from app.serve.settings import Settings
from app.serve.statistics import Statistics
from app.serve.tuning import Tuning, tune

PLATFORM = "onnxruntime_onnx"
FLOAT, BYTE = "FP32", "UINT8"
PROBABILITIES = "probabilities"  # the output that names classes
JSON_NUMBERS = 2**23  # of outputs that are written as JSON: writing them keeps all others waiting


@dataclass(frozen=True)
class Prepared:
    """A release that was checked, loaded and run; made in a thread, because it takes its time.

    Args:
        slots: how many batches may run at once.
    """

    release: Release
    artifact: Artifact
    runner: OnnxRunner
    tuning: Tuning
    slots: int


def prepare(release: Release, settings: Settings) -> Prepared:
    """Checks the release's hashes, loads its file and warms it up.

    Raises:
        UserError: a file is missing or altered, or there is none of the variant.
    """
    artifact = onnx_file(release, settings.variant, "which the service runs")
    if artifact.tail:
        raise UserError(f"{release.folder / artifact.path} is half of a network; serve a whole one with --variant onnx-fp32")
    check_artifact(release, artifact)
    check_extras(release)
    # On the CPU a run takes one core, and there are as many at once as cores: batches of different requests do not wait for
    # each other, and threads of one run do not spin while they wait.
    path = release.folder / artifact.path
    try:
        runner = OnnxRunner(path, 1, available_providers())
        tuning = tune(runner.run, runner.input_shape)
    except UserError:
        raise
    except Exception as error:  # ONNX Runtime has exceptions of its own
        raise UserError(f"{path} cannot be run by ONNX Runtime: {first_line(error)}; export it again") from error
    return Prepared(release, artifact, runner, tuning, settings.slots if runner.provider == CPU else 1)


class Served:
    """What answers for a version. Made and used in the event loop.

    Args:
        prepared: what runs; it is gone when the last request that holds this is answered.
        statistics: that go on from what was counted before the version was loaded again.
    """

    def __init__(self, prepared: Prepared, settings: Settings, statistics: Statistics) -> None:
        release = prepared.release
        self.release = release
        self.name, self.version = release.name, str(release.version)
        self.objective = OBJECTIVES[release.objective]
        self.picture_shape = prepared.runner.input_shape
        self.input_name = prepared.runner.input_name
        self.output_shapes = {output["name"]: [-1, *output["shape"][1:]] for output in release.outputs}
        self.threshold: float = release.threshold.get("probability", 0.0)
        self.tuning = prepared.tuning
        self.slots = prepared.slots
        self.statistics = statistics
        self.scheduler = Scheduler(
            self.name, prepared.runner.run, prepared.tuning, prepared.slots, settings.limits.queue, self.statistics
        )

    async def infer(self, images: np.ndarray[Any, Any], seconds: float) -> Outputs:
        """The outputs by name.

        Shapes: uint8 or float32 [N, H, W, C] in 0..255 -> float32 [N, ...] each.
        Args:
            seconds: until the answer is of no use.
        Raises:
            Refusal: too many pictures, the queue is full, or the time was over.
        """
        if not 1 <= len(images) <= LARGEST_BATCH:
            raise malformed(f"{len(images)} pictures in one request; {self.name} takes 1 to {LARGEST_BATCH}")
        return await self.scheduler.submit(images, seconds)

    async def infer_unread(self, read: Callable[[], np.ndarray[Any, Any]], seconds: float) -> Outputs:
        """The outputs for one picture that is decoded where it is run. See `infer`."""
        return await self.scheduler.submit_unread(read, seconds)

    def answers(self, outputs: Outputs, top: int | None = None, threshold: float | None = None) -> Sequence[AnyAnswer]:
        """What people are told of every picture.

        Args:
            top: how many classes or boxes of each at most; None for as many as its kind of answer has.
            threshold: that is asked for instead of the release's own.
        """
        return self.objective.answer(outputs, self.release.classes, top, self.threshold if threshold is None else threshold)

    def numbers(self, names: Iterable[str] | None = None) -> int:
        """How many numbers some outputs have for one picture, or all of them."""
        shapes = self.output_shapes
        return sum(math.prod(shapes[name][1:]) for name in (shapes if names is None else names))

    def check_json(self, pictures: int, names: Iterable[str] | None = None) -> None:
        """Refuses outputs that would take too long to write as JSON, before they are worked out.

        Raises:
            Refusal: there are more numbers than `JSON_NUMBERS`.
        """
        if (count := pictures * self.numbers(names)) > JSON_NUMBERS:
            way = "send fewer pictures, or have them as bytes with 'binary_data_output' at /v2"
            raise too_large(f"{count} numbers would be answered as JSON, which has room for {JSON_NUMBERS}; {way}")

    def metadata(self, versions: list[str]) -> dict[str, Any]:
        """Names, types and shapes, as the Open Inference Protocol tells them.

        Args:
            versions: of this name that are served.
        """
        return {
            "name": self.name,
            "versions": versions,
            "platform": PLATFORM,
            "inputs": [{"name": self.input_name, "datatype": FLOAT, "shape": [-1, *self.picture_shape]}],
            "outputs": [{"name": name, "datatype": FLOAT, "shape": shape} for name, shape in self.output_shapes.items()],
        }

    def config(self) -> dict[str, Any]:
        """The same as Triton's model configuration tells it, where the batch is no dimension, and how it runs here."""
        return {
            "name": self.name,
            "platform": PLATFORM,
            "backend": "onnxruntime",
            "max_batch_size": LARGEST_BATCH,
            "input": [{"name": self.input_name, "data_type": "TYPE_FP32", "dims": list(self.picture_shape)}],
            "output": [_configured(name, shape[1:]) for name, shape in self.output_shapes.items()],
            "instance_group": [{"name": self.name, "kind": "KIND_CPU", "count": self.slots}],
            "dynamic_batching": {"preferred_batch_size": [self.tuning.batch], "max_queue_delay_microseconds": 0},
        }

    def close(self) -> None:
        """Takes no more; what waits is still answered."""
        self.scheduler.close()


def _configured(name: str, sides: list[int]) -> dict[str, Any]:
    """An output as Triton configures it, which knows no tensor without dimensions, and labels of classes alone."""
    labels = {"label_filename": "labels.txt"} if name == PROBABILITIES else {}
    return {"name": name, "data_type": "TYPE_FP32", "dims": sides or [1]} | labels | ({} if sides else {"reshape": {"shape": []}})
