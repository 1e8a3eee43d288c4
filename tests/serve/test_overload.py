"""More than the service can do: what it takes it answers in time, the rest is told at once, and it stays itself."""

import asyncio
import re
import time
from collections import Counter

import numpy as np
import pytest

from tests.serve.clients import Caller, Process, limited, numbers, raw, tensor, together, until, written
from tests.serve.tiny import SHAPE, expected, write_tiny

MB = 2**20
INFER = "/v2/models/tiny/infer"
BODY, HEADERS = tensor(np.arange(48).reshape(1, *SHAPE))
QUEUE = 16


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    root = tmp_path_factory.mktemp("overload")
    write_tiny(root / "slow", work=400)  # a run of tens of milliseconds, a picture at a time
    write_tiny(root / "quick")
    return root


def runs(server):
    """How often the network ran, and on how many pictures."""
    [row] = server.get("/v2/models/tiny/stats").json()["model_stats"]
    return row["execution_count"], sum(
        one["batch_size"] * one["compute_infer"]["count"] for one in row["batch_stats"]
    )  # fmt: skip


def queued(metrics):
    """How many pictures wait."""
    return float(re.search(r"convoy_queue_pictures{.*} (\S+)", metrics.decode())[1])


def test_twice_the_capacity(exported):
    """An open loop: requests come at their times, whether the ones before were answered or not."""
    with limited(exported / "slow", folder=exported, queue=QUEUE) as server:
        process = Process(server.process.pid)
        batch = server.get("/v2/models/tiny/config").json()["dynamic_batching"]["preferred_batch_size"][0]

        async def story():
            callers = [Caller(server.port) for _ in range(8)]

            async def closed(number):
                for _ in range(6):
                    assert (await callers[number].ask("POST", INFER, BODY, **HEADERS)).status == 200

            began = time.perf_counter()
            await together(8, closed)
            capacity = 48 / (time.perf_counter() - began)
            held = process.forget_peak()
            answers, health, queues = [], [], []

            async def one():
                began, caller = time.perf_counter(), Caller(server.port)
                answer = await caller.ask("POST", INFER, BODY, **HEADERS)
                answers.append((answer, time.perf_counter() - began))
                caller.close()

            async def probe():
                caller = Caller(server.port)
                while True:
                    began = time.perf_counter()
                    assert (await caller.ask("GET", "/v2/health/ready")).status == 200
                    health.append(time.perf_counter() - began)
                    queues.append(queued((await caller.ask("GET", "/metrics")).body))
                    await asyncio.sleep(0.02)

            probing = asyncio.ensure_future(probe())
            began, tasks = time.perf_counter(), []
            while (passed := time.perf_counter() - began) < 4.0:
                while len(tasks) < passed * 2 * capacity:
                    tasks.append(asyncio.ensure_future(one()))
                await asyncio.sleep(0.002)
            await asyncio.gather(*tasks)
            probing.cancel()
            return capacity, answers, health, queues, process.peak - held

        capacity, answers, health, queues, grown = asyncio.run(story())
    statuses = Counter(answer.status for answer, _ in answers)
    waited = [seconds for answer, seconds in answers if answer.status == 200]
    bound = (QUEUE + 2 * batch) / capacity
    print(f"\n{capacity:.0f} a second is what it can; at twice that {dict(statuses)}; the slowest taken one in "
          f"{max(waited) * 1000:.0f} ms (a full queue: {bound * 1000:.0f} ms), "
          f"the slowest health in {max(health) * 1000:.1f} ms, "
          f"memory grew by {grown / MB:.1f} MB")  # fmt: skip
    assert set(statuses) == {200, 503}
    assert min(statuses.values()) > 0.1 * len(answers)
    assert QUEUE / 2 < max(queues) <= QUEUE
    assert {answer.headers.get("retry-after") for answer, _ in answers if answer.status == 503} == {"1"}
    assert grown < 12 * MB


def test_a_deadline_is_told_and_its_work_is_dropped(exported):
    with limited(exported / "slow", folder=exported, deadline_seconds=0.25) as server:

        async def one(_):
            return await Caller(server.port).ask("POST", INFER, BODY, **HEADERS)

        statuses = Counter(answer.status for answer in asyncio.run(together(200, one)))
        ran = runs(server)[1]
        print(f"\n200 requests at once: {dict(statuses)}, {ran} pictures ran")
        assert set(statuses) == {200, 504}
        assert statuses[504] > 50
        assert ran <= statuses[200] + 4  # and those that were running when their time was over
        body, headers = tensor(np.arange(48).reshape(1, *SHAPE), timeout=1)
        assert server.post(INFER, body, **headers).status == 504


def test_clients_that_leave_leave_no_work(exported):
    with limited(exported / "slow", folder=exported) as server:
        gone = [raw(server.port, written("POST", INFER, BODY, **HEADERS)) for _ in range(200)]
        until(lambda: queued(server.get("/metrics").body) > 0)
        for connection in gone:
            connection.close()
        assert server.post(INFER, BODY, **HEADERS).status == 200
        until(lambda: queued(server.get("/metrics").body) == 0)
        ran = runs(server)[1]
        print(f"\n200 clients left: {ran} pictures ran")
        assert ran < 100


@pytest.mark.parametrize("kind", ["quick", "slow"])
def test_mixed_batches_reach_their_own_callers(exported, kind):
    """The network that is quick runs in the event loop, the other one in slots."""
    requests = {"quick": 3000, "slow": 100}[kind]
    generator = np.random.default_rng(1)
    images = [generator.integers(0, 256, (count, *SHAPE)) for count in generator.integers(1, 9, requests)]

    with limited(exported / kind, folder=exported, queue=10_000, deadline_seconds=60.0) as server:
        todo = iter(images)

        async def client(_):
            caller, right = Caller(server.port), 0
            for one in todo:
                body, headers = tensor(one)
                right += np.array_equal(numbers(await caller.ask("POST", INFER, body, **headers)), expected(one))
            caller.close()
            return right

        assert sum(asyncio.run(together(32, client))) == requests
        count, pictures = runs(server)
        print(f"\n{requests} requests, {pictures} pictures in {count} runs")
        assert pictures == sum(map(len, images))


def test_64_clients_hold_little_more_than_one(exported):
    with limited(exported / "quick", folder=exported) as server:
        process = Process(server.process.pid)

        async def client(_):
            caller = Caller(server.port)
            for _ in range(40):
                assert (await caller.ask("POST", INFER, BODY, **HEADERS)).status == 200
            return caller

        async def clients(count):
            callers = await together(count, client)
            held = process.resident
            for caller in callers:
                caller.close()
            return held

        alone, many = asyncio.run(clients(1)), asyncio.run(clients(64))
    print(f"\n{alone / MB:.1f} MB with one client, {many / MB:.1f} MB with 64")
    assert many < 1.5 * alone
