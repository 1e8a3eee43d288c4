"""Releases that come, go, and are altered while clients ask: nobody notices but by the answers of the new ones."""

import asyncio
import shutil
import signal

import numpy as np
import pytest

from tests.serve.clients import Caller, Process, limited, numbers, tensor, until
from tests.serve.tiny import SHAPE, expected, write_tiny

MB = 2**20
IMAGE = np.arange(48).reshape(1, *SHAPE)
BODY, HEADERS = tensor(IMAGE)
KINDS = pytest.mark.parametrize("work", [0, 100], ids=["inline", "threads"])


def version_of(answer):
    """Which version gave an answer, if it is right."""
    found = numbers(answer)
    version = round(float(found[0, -1] - IMAGE.reshape(-1)[found.shape[1] - 1]))
    assert np.array_equal(found, expected(IMAGE, version))
    return version


class Load:
    """Clients that ask all the time, one of them sending its bodies in two parts with time between.

    Args:
        seen: which version gave each answer, in their order.
    """

    def __init__(self, server, clients=6):
        self.port, self.clients, self.seen, self._going = server.port, clients, [], True

    async def __aenter__(self):
        self._tasks = [asyncio.ensure_future(self._ask()) for _ in range(self.clients)]
        self._tasks.append(asyncio.ensure_future(self._ask_slowly()))
        return self

    async def __aexit__(self, *error):
        self._going = False
        await asyncio.gather(*self._tasks)

    async def _ask(self):
        caller = Caller(self.port)
        while self._going:
            answer = await caller.ask("POST", "/v2/models/tiny/infer", BODY, **HEADERS)
            assert answer.status == 200, answer.body
            self.seen.append(version_of(answer))
        caller.close()

    async def _ask_slowly(self):
        while self._going:
            caller = Caller(self.port)
            await caller.send("POST", "/v2/models/tiny/infer", BODY, pause=0.1, **HEADERS)
            answer = await caller.receive()
            assert answer.status == 200, answer.body
            self.seen.append(version_of(answer))
            caller.close()


@KINDS
def test_50_reloads_under_load_lose_no_request_and_no_memory(tmp_path, work):
    write_tiny(tmp_path / "exported", work=work)
    with limited(tmp_path / "exported", folder=tmp_path, settings={"quiet": True}) as server:
        process, held = Process(server.process.pid), {}

        async def story():
            async with Load(server) as load:
                caller = Caller(server.port)
                for number in range(1, 51):
                    answer = await caller.ask("POST", "/v2/repository/models/tiny/load")
                    assert answer.status == 200, answer.body
                    held[number] = process.resident
                    if number == 10:
                        threads, descriptors = process.threads, process.descriptors
                caller.close()
            return len(load.seen), threads, descriptors

        answered, threads, descriptors = asyncio.run(story())
        print(f"\n{answered} answers during 50 reloads; {held[10] / MB:.1f} MB after 10, {held[50] / MB:.1f} MB after 50")
        assert answered > 100
        assert held[50] - held[10] < 12 * MB  # forty more of them in memory would be several times that
        until(lambda: process.threads <= threads)
        until(lambda: process.descriptors <= descriptors)


def test_newer_versions_are_picked_up_and_rolled_back_under_load(tmp_path):
    exported = tmp_path / "exported"
    write_tiny(exported)
    with limited(exported / "tiny", folder=tmp_path, settings={"poll_seconds": 0.1}) as server:

        async def served(version):
            caller = Caller(server.port)
            for _ in range(500):
                if version_of(await caller.ask("POST", "/v2/models/tiny/infer", BODY, **HEADERS)) == version:
                    return caller.close()
                await asyncio.sleep(0.02)
            raise AssertionError(f"version {version} was never served")

        async def story():
            async with Load(server) as load:
                for version in range(2, 8):
                    write_tiny(exported, version=version)
                    await served(version)
                (exported / "tiny" / "withdrawn").mkdir()
                shutil.move(exported / "tiny" / "7", exported / "tiny" / "withdrawn" / "7")
                await served(6)
            return load.seen

        seen = asyncio.run(story())
        print(f"\n{len(seen)} answers; versions {sorted(set(seen))}")
        assert set(seen) == set(range(1, 8))
        assert version_of(server.post("/v2/models/tiny/infer", BODY, **HEADERS)) == 6
        assert server.get("/v2/models/tiny").json()["versions"] == ["6"]
        assert server.get("/v2/models/tiny/versions/7").status == 404


@pytest.mark.parametrize("name", ["model.onnx", "labels.txt", "release.json"])
def test_a_newer_version_that_was_altered_is_refused_and_the_old_one_serves_on(tmp_path, name):
    exported = tmp_path / "exported"
    write_tiny(exported)
    write_tiny(exported, "other")
    with limited(exported, folder=tmp_path, settings={"poll_seconds": 0.05}) as server:
        aside = write_tiny(tmp_path / "aside", version=2)
        data = bytearray((aside / name).read_bytes())
        data[len(data) // 2] ^= 1
        (aside / name).write_bytes(data)
        aside.rename(exported / "tiny" / "2")

        def refusals():
            return [line["reason"] for line in server.lines() if line["level"] in ("error", "warning") and "reason" in line]

        until(refusals)
        write_tiny(exported, "other", version=2)  # others are followed though one cannot be
        until(lambda: server.get("/v2/models/other").json()["versions"] == ["2"])
        assert len(set(refusals())) == len(refusals()) == 1  # told once, not at every look
        assert f"/{name} " in refusals()[0]
        assert "altered" in refusals()[0]
        assert server.get("/v2/health/ready").status == 200
        assert version_of(server.post("/v2/models/tiny/infer", BODY, **HEADERS)) == 1
        rows = server.post("/v2/repository/index").json()
        assert [(row["name"], row["version"], row["state"]) for row in rows if row["reason"]] == [("tiny", "2", "UNAVAILABLE")]
        loaded = server.post("/v2/repository/models/tiny/load")
        assert loaded.status == 400
        assert f"/{name} " in loaded.error
        assert version_of(server.post("/v2/models/tiny/infer", BODY, **HEADERS)) == 1
        write_tiny(exported, version=3)
        until(lambda: server.get("/v2/models/tiny").json()["versions"] == ["3"])


def test_a_signal_makes_it_look_for_new_versions(tmp_path):
    exported = tmp_path / "exported"
    write_tiny(exported)
    with limited(exported, folder=tmp_path) as server:  # it does not look by itself
        write_tiny(exported, version=2)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.get("/v2/models/tiny").json()["versions"] == ["2"])


def test_a_folder_that_is_not_there_for_a_while_changes_nothing(tmp_path):
    exported = tmp_path / "exported"
    write_tiny(exported)
    with limited(exported, folder=tmp_path, settings={"poll_seconds": 0.05}) as server:
        exported.rename(tmp_path / "elsewhere")
        until(lambda: any(line["level"] == "warning" for line in server.lines()))
        assert version_of(server.post("/v2/models/tiny/infer", BODY, **HEADERS)) == 1
        assert server.get("/v2/health/ready").status == 200
        (tmp_path / "elsewhere").rename(exported)
        write_tiny(exported, version=2)
        until(lambda: server.get("/v2/models/tiny").json()["versions"] == ["2"])


def test_unloading_under_load_refuses_and_loading_answers_again(tmp_path):
    write_tiny(tmp_path / "exported", work=20)
    with limited(tmp_path / "exported", folder=tmp_path) as server:
        statuses = []

        async def story():
            over = asyncio.Event()

            async def client():
                caller = Caller(server.port)
                while not over.is_set():
                    answer = await caller.ask("POST", "/v2/models/tiny/infer", BODY, **HEADERS)
                    statuses.append((answer.status, answer.headers.get("retry-after")))
                caller.close()

            clients = [asyncio.ensure_future(client()) for _ in range(4)]
            caller = Caller(server.port)
            for _ in range(10):
                for action in ("unload", "load"):
                    await asyncio.sleep(0.03)
                    assert (await caller.ask("POST", f"/v2/repository/models/tiny/{action}")).status == 200
            over.set()
            await asyncio.gather(*clients)

        asyncio.run(story())
        assert set(statuses) == {(200, None), (503, "1")}
        assert version_of(server.post("/v2/models/tiny/infer", BODY, **HEADERS)) == 1
