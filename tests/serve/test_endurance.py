"""A long day, in minutes: what the service holds after a million requests is what it held after a few."""

import asyncio
import time

import numpy as np
import pytest

from tests.serve.clients import Caller, Process, limited, numbers, tensor, together, until, written
from tests.serve.tiny import SHAPE, expected, write_tiny

MB = 2**20
INFER = "/v2/models/tiny/infer"
IMAGES = np.random.default_rng(0).integers(0, 256, (16, 1, *SHAPE))
REQUESTS = 1_000_000
CONNECTIONS, TOGETHER = 16, 32  # requests that are sent in one go on each: the client has the same two cores

pytestmark = pytest.mark.slow


class Holding:
    """What a process holds at one moment."""

    def __init__(self, process):
        self.resident, self.threads, self.descriptors = process.resident, process.threads, process.descriptors

    def __str__(self):
        return f"{self.resident / MB:.1f} MB, {self.threads} threads, {self.descriptors} descriptors"


def test_a_million_requests_leave_nothing_behind(tmp_path):
    write_tiny(tmp_path / "exported")
    asked = [tensor(one) for one in IMAGES]
    burst = b"".join(written("POST", INFER, body, **headers) for body, headers in asked * (TOGETHER // len(asked)))
    with limited(tmp_path / "exported", folder=tmp_path, settings={"quiet": True}) as server:
        process = Process(server.process.pid)

        async def connection(number, bursts):
            """Its answers are all as long as each other, so that they need not be taken apart to be counted."""
            caller = Caller(server.port)
            first = await caller.ask("POST", INFER, asked[0][0], x_request_id="0", **asked[0][1])
            assert np.array_equal(numbers(first), expected(IMAGES[0]))
            answered = 0
            for _ in range(bursts):
                caller._writer.write(burst)
                for _ in range(TOGETHER):
                    head = await caller._reader.readuntil(b"\r\n\r\n")
                    assert head.startswith(b"HTTP/1.1 200 ")
                    length = int(head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
                    await caller._reader.readexactly(length)
                    answered += 1
            caller.close()
            return answered

        def ask(requests):
            bursts = -(-requests // (CONNECTIONS * TOGETHER))
            return sum(asyncio.run(together(CONNECTIONS, lambda number: connection(number, bursts))))

        ask(20_000)
        before, began = Holding(process), time.monotonic()
        answered = ask(REQUESTS)
        until(lambda: process.descriptors <= before.descriptors)
        after = Holding(process)
        print(f"\n{answered} requests in {time.monotonic() - began:.0f} s; before: {before}; after: {after}")
        assert answered >= REQUESTS
        assert after.resident - before.resident < 8 * MB
        assert after.threads == before.threads
        assert after.descriptors <= before.descriptors


@pytest.mark.parametrize("work", [0, 200], ids=["inline", "threads"])
def test_400_reloads_under_load_leave_nothing_behind(tmp_path, work):
    write_tiny(tmp_path / "exported", work=work)
    body, headers = tensor(IMAGES[0])
    with limited(tmp_path / "exported", folder=tmp_path, settings={"quiet": True}) as server:
        process, held = Process(server.process.pid), {}

        async def story():
            over = asyncio.Event()

            async def client(_):
                caller = Caller(server.port)
                while not over.is_set():
                    answer = await caller.ask("POST", INFER, body, **headers)
                    assert np.array_equal(numbers(answer), expected(IMAGES[0]))
                caller.close()

            clients = asyncio.ensure_future(together(4, client))
            caller = Caller(server.port)
            for number in range(1, 401):
                assert (await caller.ask("POST", "/v2/repository/models/tiny/load")).status == 200
                if number in (100, 200, 300, 400):
                    held[number] = Holding(process)
            over.set()
            await clients

        asyncio.run(story())
        print("\n" + "\n".join(f"after {number} reloads: {found}" for number, found in held.items()))
        assert held[400].resident - held[100].resident < 8 * MB


def test_connections_that_come_and_go_leave_nothing_behind(tmp_path):
    write_tiny(tmp_path / "exported")
    body, headers = tensor(IMAGES[0])
    with limited(tmp_path / "exported", folder=tmp_path, settings={"quiet": True}) as server:
        process = Process(server.process.pid)

        async def client(number):
            for turn in range(number, 500, 10):
                caller = Caller(server.port)
                await caller.send("POST", INFER, body, **headers)
                if turn % 3:
                    await caller.receive()
                caller.close()  # a third of them before their answer

        asyncio.run(together(10, client))
        before = Holding(process)
        for _ in range(20):
            asyncio.run(together(10, client))
        until(lambda: process.descriptors <= before.descriptors)
        after = Holding(process)
        print(f"\n10,000 connections; before: {before}; after: {after}")
        assert after.resident - before.resident < 4 * MB
        assert after.threads <= before.threads
