"""Several processes behind one port: they are one service, though one of them dies."""

import asyncio
import os
import signal
import time

import numpy as np
import pytest

from tests.serve.clients import Caller, Process, ended, numbers, raw, tensor, together, until, written
from tests.serve.tiny import SHAPE, expected, write_tiny

INFER = "/v2/models/tiny/infer"
IMAGE = np.arange(48).reshape(1, *SHAPE)
BODY, HEADERS = tensor(IMAGE)
WORK = 200  # a run of some milliseconds, in a slot


@pytest.fixture
def pair(start, tmp_path):
    """A service of two processes."""
    write_tiny(tmp_path / "exported", work=WORK)
    started = start(tmp_path / "exported", "--workers", 2, "--poll-seconds", 0, "--drain-seconds", 0.5)
    started.workers = lambda: sorted(workers(started))
    return started


def workers(server):
    """The numbers of the processes that answer."""
    found = []
    for number in Process(server.process.pid).children:
        with open(f"/proc/{number}/cmdline", "rb") as file:
            if b"spawn_main" in file.read():
                found.append(number)
    return found


def is_right(answer):
    return answer.status == 200 and np.array_equal(numbers(answer), expected(IMAGE))


def asked(server, method, path, times=20):
    """The statuses on as many new connections, which are both processes' turn."""
    return [server.ask(method, path).status for _ in range(times)]


def test_a_process_that_is_killed_is_replaced_and_meanwhile_none_is_ready(pair):
    first, second = pair.workers()
    assert asked(pair, "GET", "/v2/health/ready") == [200] * 20
    os.kill(second, signal.SIGKILL)
    until(lambda: not Process(second).lives)
    until(lambda: pair.get("/v2/health/ready").status == 503)
    answer = pair.post(INFER, BODY, **HEADERS)  # the other answers all the same; the new one says when to come again
    assert is_right(answer) or (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert set(asked(pair, "GET", "/v2/health/live")) == {200}
    until(lambda: pair.get("/v2/health/ready").status == 200)
    assert len(pair.workers()) == 2
    assert first in pair.workers()
    assert second not in pair.workers()
    assert [line["exit_code"] for line in pair.lines() if "exit_code" in line] == [-signal.SIGKILL]
    assert pair.stop() == 0


def test_the_processes_count_together(pair):
    for _ in range(40):
        assert is_right(pair.post(INFER, BODY, **HEADERS))
    for _ in range(5):  # whichever is asked
        [row] = pair.get("/v2/models/tiny/stats").json()["model_stats"]
        assert (row["inference_count"], row["inference_stats"]["success"]["count"]) == (40, 40)
        assert 'convoy_requests_total{model="tiny",status="200",version="1"} 40.0' in pair.get("/metrics").body.decode()


def test_loading_and_unloading_reach_every_process_and_the_next_one_too(pair):
    assert pair.post("/v2/repository/models/tiny/unload").status == 200
    assert set(asked(pair, "POST", INFER)) == {503}
    killed = pair.workers()[0]
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(set(pair.workers()) - {killed}) == 2)
    until(lambda: pair.get("/v2/health/ready").status == 200)
    assert set(asked(pair, "POST", INFER)) == {503}
    assert pair.post("/v2/repository/models/tiny/load").status == 200
    assert all(is_right(pair.post(INFER, BODY, **HEADERS)) for _ in range(20))


def test_a_process_that_dies_while_it_is_asked_is_not_waited_for(pair):
    stopped = pair.workers()[0]
    os.kill(stopped, signal.SIGSTOP)

    async def story():
        callers = [Caller(pair.port) for _ in range(6)]
        tasks = [asyncio.ensure_future(caller.ask("GET", "/metrics")) for caller in callers]
        await asyncio.sleep(0.3)
        assert not any(task.done() for task in tasks)
        os.kill(stopped, signal.SIGKILL)
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(story())
    statuses = [one if isinstance(one, Exception) else one.status for one in found]
    # What waited at the dead process itself is lost with it; all else is answered.
    assert all(status == 200 or isinstance(status, OSError) for status in statuses)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
@pytest.mark.parametrize("whom", ["supervisor", "all"])
def test_a_signal_ends_all_of_them_and_loses_nothing(pair, number, whom):
    everybody = [pair.process.pid, *Process(pair.process.pid).children]
    half = written("POST", INFER, BODY, **HEADERS)
    uploads = [raw(pair.port, half[:-20]) for _ in range(8)]
    waiting = [raw(pair.port, half) for _ in range(16)]
    for one in everybody if whom == "all" else everybody[:1]:  # a terminal and systemd tell every process
        os.kill(one, number)
    time.sleep(0.2)
    for connection in uploads:
        connection.sendall(half[-20:])
    said = [ended(connection) for connection in [*uploads, *waiting]]
    assert pair.process.wait(20) == 0
    assert [one[:13] for one in said] == [b"HTTP/1.1 200 "] * 24
    until(lambda: not any(Process(one).lives for one in everybody))


def test_metrics_that_are_asked_for_at_the_end_do_not_hold_it(pair):
    upload = raw(pair.port, written("POST", INFER, BODY, **HEADERS)[:-20])
    asking = [raw(pair.port, written("GET", "/metrics")[:-2]) for _ in range(8)]
    pair.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    for connection in asking:
        connection.sendall(b"\r\n")
    upload.sendall(written("POST", INFER, BODY, **HEADERS)[-20:])
    began = time.monotonic()
    assert pair.process.wait(40) == 0
    assert time.monotonic() - began < 15  # an answer that never comes would be waited for twice as long
    assert ended(upload).startswith(b"HTTP/1.1 200 ")


def test_a_second_signal_ends_all_of_them_at_once(pair):
    everybody = [pair.process.pid, *Process(pair.process.pid).children]
    upload = raw(pair.port, written("POST", INFER, BODY, **HEADERS)[:-20])
    pair.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert pair.process.poll() is None
    began = time.monotonic()
    pair.process.send_signal(signal.SIGTERM)
    pair.process.wait(20)
    print(f"\nended {time.monotonic() - began:.2f} s after the second SIGTERM")
    assert b" 408 " not in ended(upload)  # the first one alone would have waited until the upload was too slow
    until(lambda: not any(Process(one).lives for one in everybody))


def test_processes_whose_supervisor_is_killed_end_too(pair):
    everybody = Process(pair.process.pid).children
    waiting = [raw(pair.port, written("POST", INFER, BODY, **HEADERS)) for _ in range(16)]
    pair.process.kill()
    assert [ended(connection)[:13] for connection in waiting] == [b"HTTP/1.1 200 "] * 16
    until(lambda: not any(Process(one).lives for one in everybody))
    pair.process.wait(20)


def test_a_process_that_dies_while_it_is_told_to_end_is_not_started_again(pair):
    first, second = pair.workers()
    uploads = []
    for _ in range(16):  # which hold the other one
        uploads.append(raw(pair.port, written("POST", INFER, BODY, **HEADERS)[:-20]))
        time.sleep(0.02)
    os.kill(first, signal.SIGKILL)
    pair.process.send_signal(signal.SIGTERM)
    assert pair.process.wait(20) == 0
    for connection in uploads:
        connection.close()
    assert not Process(second).lives


@pytest.mark.slow
def test_a_process_killed_again_and_again_under_load_costs_its_own_requests_alone(pair):
    lost, right = [], []

    async def story():
        over = asyncio.Event()

        async def client(_):
            while not over.is_set():
                caller = Caller(pair.port)
                try:
                    right.append(is_right(await caller.ask("POST", INFER, BODY, **HEADERS)))
                except OSError:
                    lost.append(1)
                caller.close()

        clients = asyncio.ensure_future(together(8, client))
        for _ in range(5):
            await asyncio.sleep(0.5)
            os.kill(pair.workers()[0], signal.SIGKILL)
            while (await Caller(pair.port).ask("GET", "/v2/health/ready")).status == 200:
                await asyncio.sleep(0.02)
            while len(pair.workers()) < 2 or pair.get("/v2/health/ready").status != 200:
                await asyncio.sleep(0.1)
        over.set()
        await clients

    asyncio.run(story())
    print(f"\n{len(right)} answers, {len(lost)} requests lost with five processes")
    assert all(right)
    assert len(lost) <= 5 * 8
