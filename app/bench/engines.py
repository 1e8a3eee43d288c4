"""What runs a file to be timed. A row each; the runtime's package is imported when its first file is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.release import is_body, tail_of
from app.runners import FORMATS, Outputs, Runner

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Session:
    """An open file, in three steps, so that what a client does only once is not in the runtime's time.

    Args:
        input_shape: height, width and channels of a picture.
        store: pixels, float32 [N, H, W, C], as the file takes them.
        answer: what is timed: stored pixels in, outputs by name out.
        read: outputs as real numbers.
    """

    input_shape: tuple[int, int, int]
    store: Callable[[Array], Array]
    answer: Callable[[Array], Outputs]
    read: Callable[[Outputs], Outputs]


@dataclass(frozen=True)
class Engine:
    """A runtime that opens files of one format.

    Args:
        title: its name for people.
        format: a row of `app.runners.FORMATS`.
        package: has to be there.
        module: is imported before memory is counted, so that a file is not charged for its runtime.
        batches: whether it takes several pictures at a time.
        open: a file for a number of threads.
    """

    title: str
    format: str
    package: str
    module: str
    batches: bool
    open: Callable[[Path, int], Session]


def _onnx(path: Path, threads: int) -> Session:
    from app.runners.onnx import OnnxRunner

    return _plain(OnnxRunner(path, threads))


def _tensorflow(path: Path, threads: int) -> Session:
    """The threads are the process's: see `app.bench.worker`."""
    del threads
    from app.runners.saved_model import SavedModelRunner

    return _plain(SavedModelRunner(path))


def _plain(runner: Runner) -> Session:
    return Session(runner.input_shape, lambda images: images, runner.run, lambda outputs: outputs)


def _litert(path: Path, threads: int) -> Session:
    from app.runners.litert import LiteRtRunner

    runner = LiteRtRunner(path, threads)
    return Session(runner.input_shape, runner.store, runner.answer, runner.read)


def _compiled(path: Path, threads: int) -> Session:
    from app.runners.litert import LiteRtRunner, signature_of

    runner = LiteRtRunner(path)  # knows scales, which the compiled one does not tell
    first = _compile(path, signature_of(path), threads)
    if not is_body(signature_of(path).get_output_details()):
        return Session(runner.input_shape, runner.store, lambda stored: first({runner.input_name: stored}), runner.read)
    second = _compile(tail_of(path), signature_of(tail_of(path)), threads)
    return Session(runner.input_shape, runner.store, lambda stored: second(first({runner.input_name: stored})), runner.read)


def _compile(path: Path, signature: Any, threads: int) -> Callable[[Outputs], Outputs]:
    """What runs a file: tensors by name in and out, as they are stored.

    Args:
        signature: the same file's in the interpreter, which tells shapes and types.
    """
    from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, Options

    outputs = signature.get_output_details()
    compiled = CompiledModel.from_file(str(path), options=Options(cpu_options=CpuOptions(num_threads=threads)))
    (key,) = compiled.get_signature_list()
    taken = {name: compiled.create_input_buffer_by_name(key, name) for name in signature.get_input_details()}
    given = {name: compiled.create_output_buffer_by_name(key, name) for name in outputs}

    def answer(tensors: Outputs) -> Outputs:
        for name, values in tensors.items():
            taken[name].write(values)
        compiled.run_by_name(key, taken, given)
        return {
            name: buffer.read(int(np.prod(outputs[name]["shape"])), outputs[name]["dtype"]).reshape(outputs[name]["shape"])
            for name, buffer in given.items()
        }

    return answer


ENGINES = {
    "onnxruntime": Engine(FORMATS["onnx"].runtime, "onnx", "onnxruntime", "app.runners.onnx", True, _onnx),
    "litert": Engine(FORMATS["tflite"].runtime, "tflite", "ai_edge_litert", "app.runners.litert", False, _litert),
    "litert-compiled": Engine(
        "LiteRT CompiledModel", "tflite", "ai_edge_litert", "ai_edge_litert.compiled_model", False, _compiled
    ),
    "tensorflow": Engine(
        FORMATS["saved_model"].runtime, "saved_model", "tensorflow", "app.runners.saved_model", True, _tensorflow
    ),
}
USUAL = ("onnxruntime", "litert", "tensorflow")  # the compiled LiteRT answers and takes as long as the other on a CPU
