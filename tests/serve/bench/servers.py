"""The servers that are compared: how each is started, where it is asked, and that it answers rightly."""

from __future__ import annotations

import http.client
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.release import Release
from tests.runtimes.environments import ROOT, SERVED, Environment
from tests.serve.bench.processes import Tree
from tests.serve.bench.questions import BINARY, JSON, PICTURE, Question

HOST = "127.0.0.1"
START_SECONDS = 60.0
POLL_SECONDS = 0.005
SCRIPTS = Path(__file__).parent / "rivals"
RIVALS = Environment(
    "rivals",
    (
        "fastapi==0.165.0",
        "pydantic==2.14.3",
        "litserve==0.2.19",
        *(
            SERVED[package]
            for package in ("uvicorn", "uvloop", "httptools", "python-multipart", "onnxruntime", "numpy", "pillow")
        ),
    ),
)


class Unready(Exception):
    """A server that did not start or answers wrongly."""


@dataclass(frozen=True, eq=False)
class Kind:
    """A way to serve a release.

    Args:
        command: to serve the release in a folder on a port.
        paths: where each form of question is asked; `{name}`: the release's.
    """

    key: str
    title: str
    command: Callable[[Path, int], list[str]]
    ready: str
    paths: Mapping[str, str]


def _ours(folder: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "app", "serve", str(folder), "--port", str(port), "--grpc-port", "0", "--quiet"]


def _rival(script: str, *more: str) -> Callable[[Path, int], list[str]]:
    def command(folder: Path, port: int) -> list[str]:
        files = [str(folder / "model.onnx"), str(folder / "labels.txt")]
        return [str(RIVALS.python()), str(SCRIPTS / script), *files, str(port), *more]

    return command


OURS = Kind(
    "ours",
    "Convoy",
    _ours,
    "/v2/health/ready",
    {JSON: "/v2/models/{name}/infer", BINARY: "/v2/models/{name}/infer", PICTURE: "/v1/models/{name}:predict"},
)
FASTAPI_PATHS = {JSON: "/infer", PICTURE: "/predict"}
INLINE_PATHS = {JSON: "/inline/infer", PICTURE: "/inline/predict"}
FASTAPI = Kind("fastapi", "FastAPI, def", _rival("fastapi_server.py"), "/health", FASTAPI_PATHS)
INLINE = Kind("inline", "FastAPI, async def", _rival("fastapi_server.py"), "/health", INLINE_PATHS)
# What those do who measured: one thread a run, and tiny networks on the event loop.
INLINE_TUNED = Kind("tuned", "FastAPI, async def, 1 thread", _rival("fastapi_server.py", "1"), "/health", INLINE_PATHS)
TUNED = Kind("tuned", "FastAPI, def, 1 thread", _rival("fastapi_server.py", "1"), "/health", FASTAPI_PATHS)
# One service of LitServe takes one kind of request; for both it would need twice the processes.
LITSERVE_TENSORS = Kind("litserve", "LitServe", _rival("litserve_server.py", "tensors"), "/health", {JSON: "/predict"})
LITSERVE_PICTURES = Kind("litserve", "LitServe", _rival("litserve_server.py", "pictures"), "/health", {PICTURE: "/predict"})
KEYS = ("ours", "fastapi", "inline", "tuned", "litserve")


class Server:
    """A release being served.

    Args:
        log: a file for what the server prints.
    Raises:
        Unready: it ended, or was not ready in time.
    """

    def __init__(self, kind: Kind, release: Release, log: Path) -> None:
        self.kind, self.release, self.port = kind, release, free_port()
        self.tree = Tree(kind.command(release.folder.resolve(), self.port), log, ROOT if kind is OURS else SCRIPTS)
        try:
            self.ready_seconds = self._wait()
        except BaseException:
            self.tree.stop()
            raise

    def path(self, form: str) -> str:
        """Where a form of question is asked."""
        return self.kind.paths[form].format(name=self.release.name)

    def url(self, form: str) -> str:
        """See `path`."""
        return f"http://{HOST}:{self.port}{self.path(form)}"

    def check(self, form: str, question: Question) -> None:
        """Asks once.

        Raises:
            Unready: the answer is wrong.
        """
        connection = http.client.HTTPConnection(HOST, self.port, timeout=START_SECONDS)
        try:
            connection.request("POST", self.path(form), question.body, dict(question.headers))
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            wrong = question.check(answer.status, headers, answer.read())
        except (OSError, http.client.HTTPException) as error:
            wrong = f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        if wrong:
            raise Unready(f"{self.kind.title}, {form}: {wrong}")

    def _wait(self) -> float:
        """Seconds from the start of its process until it is ready."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.tree.alive:
            if self._is_ready():
                return time.perf_counter() - self.tree.started
            time.sleep(POLL_SECONDS)
        what = "was not ready in time" if self.tree.alive else f"ended with exit code {self.tree.process.returncode}"
        raise Unready(f"{self.kind.title} {what}: {self.tree.log.read_text(errors='replace').strip()[-500:]}")

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=1)
        try:
            connection.request("GET", self.kind.ready)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as tried:
        tried.bind((HOST, 0))
        return int(tried.getsockname()[1])
