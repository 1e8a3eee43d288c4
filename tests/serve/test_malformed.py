"""Requests that are wrong get a sentence, whatever is wrong with them; the service goes on."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.serve.corpus import corpus
from tests.serve.fuzz import fuzzed
from tests.serve.started import Server
from tests.serve.test_infer import INFER
from tests.serve.tiny import write_tiny
from tests.serve.wire import Wire, chunks, request

CASES = list(corpus())
FUZZED, MOST = 10_000, 100_000


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A server for all of them, whose log is looked at when it has stopped."""
    folder = tmp_path_factory.mktemp("attacked")
    server = Server(str(write_tiny(folder / "exported", version=2)), log=folder / "log")
    yield server
    assert server.get("/v2/models/tiny").status == 200
    assert server.stop() == 0
    assert not [line for line in server.lines() if line["level"] == "error"]


def test_no_case_is_there_twice():
    assert len(CASES) >= 500
    assert len({case.sent for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_wrong_request_gets_a_sentence(attacked, case):
    with Wire(attacked) as wire:
        wire.send(case.sent)
        if case.sent.startswith(b"HEAD"):
            assert wire.answer(head=True).status == case.status
            return
        answer = wire.answer()
        assert (answer.status, answer.error) == (case.status, answer.error.strip())
        assert 10 < len(answer.error) < 1000
        if answer.headers.get("connection") == "close":
            assert wire.closed()
        elif answer.status != 413:  # whose body still comes
            wire.send(request("GET", "/v2/health/live"))
            assert wire.answer().status == 200


LATE = {
    "a length that lies": request("POST", INFER, b"{}", {"content-length": "100"}),
    "no last chunk": request("POST", INFER, chunks(b"{}")[:-5], {"transfer-encoding": "chunked"}),
    "half a chunk": request("POST", INFER, b"100\r\n{}", {"transfer-encoding": "chunked"}),
    "half a head": b"POST /v2 HTTP/1.1\r\nhost:",
    "half a line": b"GET /v2",
    "a letter": b"G",
    "nothing": b"",
    "empty lines": b"\r\n" * 10,
    "a body that was asked for": request("POST", INFER, headers={"expect": "100-continue", "content-length": "10"}),
}


def test_what_does_not_go_on_is_told_after_some_seconds(attacked):
    def status(sent):
        with Wire(attacked) as wire:
            wire.send(sent)
            answers = [wire.answer()]
            if answers[0] and answers[0].status == 100:
                answers.append(wire.answer())
            return answers[-1].status, answers[-1].error, wire.closed()

    with ThreadPoolExecutor(len(LATE)) as pool:
        told = "the request did not arrive within 5 seconds and at 16 KB a second"
        assert dict(zip(LATE, pool.map(status, LATE.values()), strict=True)) == dict.fromkeys(LATE, (408, told, True))


def survive(server, seed, count):
    """Sends fuzzed requests, one after the other; gives how many there were of each status."""
    found = {}
    wire = Wire(server)
    for sent in fuzzed(seed, count):
        with_body = not sent.startswith(b"HEAD ")
        wire.send(sent)
        answer = wire.answer(head=not with_body)
        if answer and answer.status == 100:
            answer = wire.answer(head=not with_body)
        assert answer is not None, sent[:2000]
        late = answer.status == 504 and b"timeout" in sent  # a client may wait so little
        assert late or answer.status in (200, 204) or 400 <= answer.status < 500, (answer.body, sent[:2000])
        if answer.status >= 400 and with_body:
            assert answer.error, sent[:2000]
        elif answer.headers.get("content-type") == "application/json" and with_body and "content-encoding" not in answer.headers:
            json.loads(answer.body)
        found[answer.status] = found.get(answer.status, 0) + 1
        if answer.headers.get("connection") == "close":
            wire.__exit__()
            wire = Wire(server)
    wire.__exit__()
    return found


def test_fuzzed_requests_are_survived(attacked):
    found = survive(attacked, 0, FUZZED)
    assert sum(found.values()) == FUZZED
    assert min(found.get(200, 0), found.get(400, 0)) > FUZZED / 20  # neither all nonsense nor all harmless
    assert {404, 405, 413, 415} <= set(found)


@pytest.mark.slow
def test_a_hundred_thousand_fuzzed_requests_are_survived(attacked):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: survive(attacked, seed, MOST // 4), range(1, 5)))
    assert sum(sum(one.values()) for one in found) == MOST
