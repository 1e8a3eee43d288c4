"""Many clients at once, clients that misbehave, and what a server's processes hold; standard library only."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.runtimes.environments import ROOT
from tests.serve.started import START_SECONDS, Answer, Server

# The command's flags do not reach every limit.
LIMITED = """
import json, sys
from app.serve.peers import Peers
from app.serve.server import bound, run
from app.serve.settings import Limits, Settings
given = json.loads(sys.argv[1])
settings = Settings(tuple(given.pop("sources")), limits=Limits(**given.pop("limits")), **given)
listener = bound("127.0.0.1", 0)
say = lambda line: print(line, flush=True)
say(f"listening: http://127.0.0.1:{listener.getsockname()[1]}")
run(settings, listener, Peers(), say)
"""


class LimitedServer(Server):
    """A server with limits that have no flag.

    Args:
        wait: until it is ready, not until it listens alone.
        settings: of `Settings`, but the sources and limits.
    """

    def __init__(self, *sources: object, log: Path, limits: dict[str, Any], wait: bool = True, **settings: Any) -> None:
        self.log_file = log
        given = {"grpc_port": None, "drain_seconds": 0.0, "poll_seconds": 0.0} | settings
        given |= {"sources": list(map(str, sources)), "limits": limits}
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LIMITED, json.dumps(given)], cwd=ROOT, stdout=subprocess.PIPE, stderr=file, text=True
            )
        self.said: list[str] = []
        late = threading.Timer(START_SECONDS, self.process.kill)
        late.start()
        try:
            if wait:
                self._read_until_ready()
            else:
                self.said.append(self.process.stdout.readline().strip())
        finally:
            late.cancel()


@contextlib.contextmanager
def limited(
    *sources: object, folder: Path, wait: bool = True, settings: dict[str, Any] | None = None, **limits: Any
) -> Iterator[LimitedServer]:
    """A server with these limits, ended with the block, if not before; its log goes into the folder."""
    log = folder / f"log-{time.monotonic_ns()}"
    server = LimitedServer(*sources, log=log, limits=limits, wait=wait, **(settings or {}))
    try:
        yield server
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.stop()


class Caller:
    """A client on one connection that stays open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """The answer; connects, if there is no connection.

        Raises:
            OSError: nobody listens, or the connection ended before the answer did.
        """
        await self.send(method, path, body, **headers)
        try:
            return await self.receive()
        except asyncio.IncompleteReadError:
            self.close()
            raise ConnectionResetError("the connection ended before the answer") from None

    async def send(self, method: str, path: str, body: bytes = b"", pause: float = 0.0, **headers: str) -> None:
        """A request, without waiting for its answer.

        Args:
            pause: seconds before its last byte.
        """
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        request = written(method, path, body, **headers)
        if pause:
            self._writer.write(request[:-1])
            await asyncio.sleep(pause)
            request = request[-1:]
        self._writer.write(request)
        await self._writer.drain()

    async def receive(self) -> Answer:
        """The next answer."""
        assert self._reader
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return Answer(int(head[0].split()[1]), headers, body)

    def close(self) -> None:
        """Leaves, whatever is on its way."""
        if self._writer:
            self._writer.transport.abort()
        self._reader = self._writer = None


def written(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A request's bytes."""
    lines = [f"{method} {path} HTTP/1.1", "host: here", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def tensor(images: np.ndarray, **parameters: Any) -> tuple[bytes, dict[str, str]]:
    """An infer request with the pictures' bytes behind its JSON, answered in bytes too, and its headers."""
    images = images.astype("<f4")
    raw = images.tobytes()
    one = {"name": "image", "datatype": "FP32", "shape": images.shape, "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [one], "parameters": {"binary_data_output": True} | parameters}).encode()
    return head + raw, {"inference_header_content_length": str(len(head))}


def numbers(answer: Answer) -> np.ndarray:
    """The one output of an answer in bytes."""
    length = int(answer.headers["inference-header-content-length"])
    [output] = json.loads(answer.body[:length])["outputs"]
    return np.frombuffer(answer.body[length:], "<f4").reshape(output["shape"])


async def together(count: int, work: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """What as many clients at once give, each told its number."""
    return await asyncio.gather(*(work(number) for number in range(count)))


def until(check: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What the check gives, once that is true.

    Raises:
        AssertionError: it never was.
    """
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, f"it did not come true within {seconds:g} seconds"
        time.sleep(0.02)
    return found


def raw(port: int, sent: bytes = b"", timeout: float = 30.0) -> socket.socket:
    """A connection on which that was sent."""
    connection = socket.create_connection(("127.0.0.1", port), timeout)
    connection.sendall(sent)
    return connection


def ended(connection: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(2**16):
            parts.append(part)
    connection.close()
    return b"".join(parts)


class Process:
    """What a process holds, as the system knows it."""

    def __init__(self, number: int) -> None:
        self.number = number

    @property
    def resident(self) -> int:
        """Bytes of memory."""
        return self._status("VmRSS") << 10

    @property
    def peak(self) -> int:
        """The most bytes of memory since `forget_peak`."""
        return self._status("VmHWM") << 10

    @property
    def threads(self) -> int:
        return self._status("Threads")

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.number}/fd"))

    @property
    def children(self) -> list[int]:
        """Numbers of the processes that it started, and that live."""
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if folder.name.isdecimal():
                    state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                    if int(parent) == self.number and state != "Z":
                        found.append(int(folder.name))
        return found

    def forget_peak(self) -> int:
        """Begins to measure the peak anew; gives the bytes that are held now."""
        Path(f"/proc/{self.number}/clear_refs").write_text("5")
        return self.resident

    @property
    def lives(self) -> bool:
        try:
            return Path(f"/proc/{self.number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def kill(self) -> None:
        os.kill(self.number, signal.SIGKILL)

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.number}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
        raise KeyError(name)
