"""ONNX Runtime alone in a process, which no server can beat.

`python -m tests.serve.bench.ceiling MODEL` answers lines of `SESSIONS THREADS SECONDS`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.runtimes.environments import ROOT


class Ceiling:
    """The process, seen from here. It sleeps until it is asked."""

    def __init__(self, model: Path) -> None:
        command = [sys.executable, "-m", "tests.serve.bench.ceiling", str(model)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def measure(self, sessions: int, threads: int, seconds: float) -> tuple[float, float]:
        """Pictures a second, and CPU seconds of a picture; one picture a run, so many runs at once."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{sessions} {threads} {seconds}\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        return told["rate"], told["cpu_seconds"]

    def stop(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Answers until its input ends."""
    import onnxruntime

    @cache
    def session(number: int, threads: int) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])

    for line in sys.stdin:
        sessions, threads, seconds = line.split()
        chosen = [session(number, int(threads)) for number in range(int(sessions))]
        print(json.dumps(_run(chosen, float(seconds))), flush=True)


def _run(sessions: list[Any], seconds: float) -> dict[str, float]:
    [image] = sessions[0].get_inputs()
    picture = np.random.default_rng(0).integers(0, 256, (1, *image.shape[1:])).astype(np.float32)
    counts = [0] * len(sessions)

    def work(number: int) -> None:
        while time.perf_counter() < end:
            sessions[number].run(None, {image.name: picture})
            counts[number] += 1

    for session in sessions:
        session.run(None, {image.name: picture})
    start, busy = time.perf_counter(), time.process_time()
    end = start + seconds
    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(sessions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - start
    return {"rate": sum(counts) / took, "cpu_seconds": (time.process_time() - busy) / sum(counts)}


if __name__ == "__main__":
    main()
