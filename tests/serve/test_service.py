"""What HTTP and gRPC share: threads that decode, and the log."""

import asyncio
import json
import sys
import time
from types import SimpleNamespace

import pytest

from app.serve.log import Log
from app.serve.peers import Peers
from app.serve.refusal import Refusal
from app.serve.service import WAITING_JOBS, Service
from app.serve.settings import Limits, Settings


def service(**limits):
    return Service(Settings((), limits=Limits(**limits)), Log(quiet=True), Peers())


def test_decoding_that_takes_too_long_is_given_up():
    async def story():
        one = service(deadline_seconds=7)
        with pytest.raises(Refusal, match=r"not decoded within 7 seconds") as refused:
            await one.in_thread(0.05, time.sleep, 0.5)
        assert refused.value.status == 504

    asyncio.run(story())


def test_no_more_wait_for_the_threads_than_are_worth_it():
    async def story():
        one = service()
        waiting = [asyncio.ensure_future(one.in_thread(7, time.sleep, 0.001)) for _ in range(WAITING_JOBS)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as refused:
            await one.in_thread(7, time.sleep, 0.001)
        assert (refused.value.status, refused.value.retry_after_seconds) == (503, 1)
        await asyncio.gather(*waiting)
        assert await one.in_thread(7, abs, -1) == 1, "and there is room again"

    asyncio.run(story())


def test_a_log_that_nobody_reads_any_more_ends_nothing(monkeypatch):
    def gone(lines):
        raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", SimpleNamespace(buffer=SimpleNamespace(write=gone, flush=gone)))
    Log().error("something")


def test_lines_of_requests_wait_for_each_other_and_faults_do_not():
    written: list[bytes] = []
    log = Log(write=written.append)
    log.request(200, {"path": "/a"})
    log.request(404, {"path": "/b"})
    assert written == []
    log.request(500, {"path": "/c"})
    lines = [json.loads(line) for line in written[0].splitlines()]
    assert [(line["level"], line["status"], line["path"]) for line in lines] == [
        ("info", 200, "/a"), ("warning", 404, "/b"), ("error", 500, "/c"),
    ]  # fmt: skip
