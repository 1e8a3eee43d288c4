"""A server of our own in a process of its own, and a client that says exactly what it is told to."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.runtimes.environments import ROOT

START_SECONDS = 60
STOP_SECONDS = 30
ANSWER_SECONDS = 30


@dataclass(frozen=True)
class Answer:
    """What came back; header names in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence of an error, which is all that such a body has."""
        assert self.headers["content-type"] == "application/json"
        [(name, sentence)] = self.json().items()
        assert name == "error"
        return sentence


class Server:
    """`python -m app serve`, ready to be asked.

    Args:
        arguments: of the command; ports are any free ones, unless they are given.
        log: a file for its lines.
    """

    host = "127.0.0.1"

    def __init__(self, *arguments: str, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log_file = log
        ports = [part for flag in ("--port", "--grpc-port") if flag not in arguments for part in (flag, "0")]
        drain = [] if "--drain-seconds" in arguments else ["--drain-seconds", "0"]
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", "serve", *arguments, *ports, *drain],
                cwd=ROOT, env=os.environ | (environment or {}), stdout=subprocess.PIPE, stderr=file, text=True,
            )  # fmt: skip
        self.said: list[str] = []
        late = threading.Timer(START_SECONDS, self.process.kill)
        late.start()
        try:
            self._read_until_ready()
        finally:
            late.cancel()

    def _read_until_ready(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(line.strip())
            if line.startswith("ready:"):
                return
        raise RuntimeError(f"the server ended with {self.process.wait()}: {self.log_file.read_text()[-2000:]}")

    @property
    def port(self) -> int:
        """Of HTTP."""
        return int(self._told(r"listening: http://.*:(\d+)"))

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def grpc(self) -> str:
        """The address for gRPC, as the server says it."""
        return self._told(r"grpc: (.+)")

    def _told(self, pattern: str) -> str:
        return next(found[1] for line in self.said if (found := re.fullmatch(pattern, line)))

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer on a connection of its own; a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=ANSWER_SECONDS)
        try:
            return ask(connection, method, path, body, headers)
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})

    def lines(self) -> list[dict[str, Any]]:
        """What it logged until now; lines of requests come within a second, all of them once it has stopped."""
        return [json.loads(line) for line in self.log_file.read_bytes().splitlines()]  # of text it would part lines elsewhere too

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            assert self.process.stdout
            self.process.stdout.close()


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """The next answer on a connection."""
    if body is not None and not isinstance(body, bytes):
        body, headers = json.dumps(body).encode(), {"content-type": "application/json"} | dict(headers or {})
    connection.request(method, path, body, dict(headers or {}))
    response = connection.getresponse()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
