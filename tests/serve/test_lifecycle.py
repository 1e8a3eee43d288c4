"""The service's beginning and end: not ready before everything is there, and nothing lost when it goes."""

import asyncio
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.runtimes.environments import ROOT
from tests.serve.clients import Caller, Process, ended, limited, numbers, raw, tensor, together, until, written
from tests.serve.tiny import SHAPE, expected, write_tiny

INFER = "/v2/models/tiny/infer"
IMAGE = np.arange(48).reshape(1, *SHAPE)
BODY, HEADERS = tensor(IMAGE)
WORK = 400  # a run of tens of milliseconds
SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    root = tmp_path_factory.mktemp("lifecycle")
    write_tiny(root, work=WORK)
    return root


@pytest.mark.parametrize("number", SIGNALS)
def test_clients_that_heed_readiness_lose_nothing(exported, number):
    with limited(exported, folder=exported, settings={"drain_seconds": 1.0}) as server:
        answered, after = [], []

        async def story():
            welcome = asyncio.Event()
            welcome.set()

            async def client(_):
                caller = Caller(server.port)
                while welcome.is_set():
                    began = time.monotonic()
                    answer = await caller.ask("POST", INFER, BODY, **HEADERS)
                    answered.append((began, answer.status))
                    assert np.array_equal(numbers(answer), expected(IMAGE))
                caller.close()

            clients = asyncio.ensure_future(together(16, client))
            await asyncio.sleep(0.5)
            server.process.send_signal(number)
            probe = Caller(server.port)
            while (await probe.ask("GET", "/v2/health/ready")).status == 200:
                await asyncio.sleep(0.01)
            unready = time.monotonic()
            await asyncio.sleep(0.3)  # until whoever sends clients here has heard of it
            welcome.clear()
            await clients
            after.extend(status for began, status in answered if began > unready)

        asyncio.run(story())
        assert server.process.wait(20) == 0
    print(f"\n{signal.Signals(number).name}: {len(answered)} requests, {len(after)} of them after readiness ended; all answered")
    assert {status for _, status in answered} == {200}
    assert after


@pytest.mark.parametrize("number", SIGNALS)
def test_what_is_under_way_is_answered_before_the_end(exported, number):
    with limited(exported, folder=exported) as server:
        half = written("POST", INFER, BODY, **HEADERS)
        uploads = [raw(server.port, half[:-20]) for _ in range(4)]
        waiting = [raw(server.port, half) for _ in range(16)]
        idle = raw(server.port, written("GET", "/v2/health/live"))
        assert idle.recv(4096).startswith(b"HTTP/1.1 200 ")
        server.process.send_signal(number)
        assert ended(idle) == b""  # the end of idle connections tells that listening ended
        for connection in uploads:
            connection.sendall(half[-20:])
        said = [ended(connection) for connection in [*uploads, *waiting]]
        assert server.process.wait(20) == 0
    assert [one[:13] for one in said] == [b"HTTP/1.1 200 "] * 20
    assert all(b"connection: close" in one for one in said)


def test_requests_sent_in_one_go_are_all_answered_at_the_end(exported):
    with limited(exported, folder=exported, settings={"drain_seconds": 0.5}) as server:
        connection = raw(server.port, written("POST", INFER, BODY, **HEADERS) * 8)
        assert connection.recv(13) == b"HTTP/1.1 200 "  # the others lie with the server
        server.process.send_signal(signal.SIGTERM)
        rest = ended(connection)
        assert server.process.wait(20) == 0
    assert rest.count(b"HTTP/1.1 200 ") == 7
    assert rest.count(b"connection: close") == 1


def test_a_request_that_comes_as_listening_ends_is_answered(exported):
    """On connections that are quiet, old ones and new ones."""
    with limited(exported, folder=exported) as server:
        old = [raw(server.port, written("GET", "/v2/health/live")) for _ in range(8)]
        assert all(connection.recv(4096).startswith(b"HTTP/1.1 200 ") for connection in old)
        held = raw(server.port, written("POST", INFER, BODY, **HEADERS)[:-20])  # keeps it from its end
        new = [raw(server.port) for _ in range(8)]
        process = Process(server.process.pid)
        until(lambda: process.descriptors >= 17)
        server.process.send_signal(signal.SIGSTOP)  # it reads nothing of what comes now
        for connection in [*old, *new]:
            connection.sendall(written("POST", INFER, BODY, **HEADERS))
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGCONT)
        said = [ended(connection)[:13] for connection in [*old, *new]]
        held.close()
        assert server.process.wait(20) == 0
    assert said == [b"HTTP/1.1 200 "] * 16


def test_an_upload_that_stalls_does_not_hold_the_end(exported):
    with limited(exported, folder=exported, stall_seconds=1.0) as server:
        stalled = raw(server.port, written("POST", INFER, BODY, **HEADERS)[:-20])
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        assert time.monotonic() - began < 15  # without its limit it would be what the service waits for at most: 30
        assert ended(stalled).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_ends_the_service_at_once(exported, number):
    with limited(exported, folder=exported, stall_seconds=600.0, settings={"drain_seconds": 60.0}) as server:
        upload = raw(server.port, written("POST", INFER, BODY, **HEADERS)[:-20])
        server.process.send_signal(number)
        until(lambda: server.get("/v2/health/ready").status == 503)
        began = time.monotonic()
        server.process.send_signal(number)
        server.process.wait(20)
        print(f"\nended {time.monotonic() - began:.2f} s after the second {signal.Signals(number).name}")
        upload.close()


def test_nothing_is_ready_before_everything_is(tmp_path):
    for number in range(6):
        write_tiny(tmp_path / "exported", f"tiny-{number}", work=1000)
    with limited(tmp_path / "exported", folder=tmp_path, wait=False) as server:
        assert server.get("/v2/health/live").status == 200
        seen = set()
        while server.get("/v2/health/ready").status == 503:
            missing = server.post("/v2/models/tiny-5/infer", BODY, **HEADERS)
            assert (missing.status, missing.headers.get("retry-after")) in ((503, "1"), (200, None))
            seen.add(missing.status)
        assert 503 in seen
        for number in range(6):
            assert server.get(f"/v2/models/tiny-{number}/ready").status == 200
        assert server.process.stdout.readline().startswith("ready: tiny-0 1, tiny-1 1,")


def test_a_signal_while_it_loads_ends_the_service(tmp_path):
    for number in range(40):
        write_tiny(tmp_path / "exported", f"tiny-{number}", work=1000)
    with limited(tmp_path / "exported", folder=tmp_path, wait=False) as server:
        until(lambda: any(line["event"] == "loaded" for line in server.lines()))
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        loaded = sum(line["event"] == "loaded" for line in server.lines())
        print(f"\nended after {loaded} of 40 releases")
        assert loaded < 20
        assert "ready" not in server.process.stdout.read()


def serve(*arguments):
    """Exit code and lines of a command that is not to start."""
    command = [sys.executable, "-m", "app", "serve", "--port", "0", "--grpc-port", "none", *map(str, arguments)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    lines = [line for line in found.stderr.splitlines() if not line.startswith("{")]
    return found.returncode, lines


def altered(file):
    """The file with one bit another than it was."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    return str(file)


@pytest.mark.parametrize("name", ["model.onnx", "labels.txt", "release.json"])
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_release_that_was_altered_does_not_start(tmp_path, name, workers):
    file = altered(write_tiny(tmp_path) / name)
    code, lines = serve(tmp_path / "tiny", "--workers", workers)
    assert code == 2
    assert len(lines) == 1
    assert file in lines[0]
    assert "altered" in lines[0]


def test_a_folder_without_a_release_and_a_port_that_is_taken_are_told_in_a_line(tmp_path, exported):
    code, [line] = serve(tmp_path)
    assert code == 2
    assert str(tmp_path) in line
    with limited(exported, folder=exported) as server:
        code, [line] = serve(exported, "--port", server.port)
    assert code == 2
    assert str(server.port) in line


def test_its_end_is_in_the_log_and_it_leaves_nothing_running(exported):
    with limited(exported, folder=exported) as server:
        process = Process(server.process.pid)
        assert process.children == []
        assert server.stop() == 0
        assert not process.lives
        assert any(line["event"] == "draining" for line in server.lines())
        assert not re.search("Traceback|Exception", server.log_file.read_text())
