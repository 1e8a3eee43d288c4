"""Connections: several requests on one, bodies in pieces, and what clients offer besides."""

import json
import time

import pytest

from tests.serve.test_infer import INFER, expected, numbers, pictures, tensor
from tests.serve.wire import Wire, chunks, request

LIVE = request("GET", "/v2/health/live")
IMAGES = pictures(3)
BODY = json.dumps({"inputs": [tensor(IMAGES)]}).encode()


def is_right(answer):
    return (numbers(answer) == expected(IMAGES, 2)).all()


@pytest.fixture
def wire(tiny):
    with Wire(tiny) as made:
        yield made


def test_a_connection_takes_one_request_after_the_other(wire):
    for _ in range(50):
        wire.send(request("POST", INFER, BODY))
        assert is_right(wire.answer())
        wire.send(request("HEAD", "/v2"))
        assert wire.answer(head=True).status == 200
        wire.send(request("POST", INFER, b"{"))
        assert wire.answer().status == 400


def test_requests_that_come_together_are_answered_in_their_order(wire):
    ids = [f"number-{number}" for number in range(20)]
    wire.send(b"".join(
        request("POST", INFER, BODY, {"x-request-id": one}) if place % 2 else request("GET", "/v2", headers={"x-request-id": one})
        for place, one in enumerate(ids)
    ))  # fmt: skip
    answers = [wire.answer() for _ in ids]
    assert [answer.headers["x-request-id"] for answer in answers] == ids
    assert all(is_right(answer) for answer in answers[1::2])


@pytest.mark.parametrize("pieces", [1, 7, 100])
def test_a_body_may_come_in_chunks(wire, pieces):
    size = -(-len(BODY) // pieces)
    parts = [BODY[start : start + size] for start in range(0, len(BODY), size)]
    wire.send(request("POST", INFER, chunks(*parts), {"transfer-encoding": "chunked"}), LIVE)
    assert is_right(wire.answer())
    assert wire.answer().status == 200


def test_a_request_may_come_a_byte_at_a_time(wire):
    short = request("POST", "/v2/repository/index", b'{"ready": true}')
    wire.send(*(short[place : place + 1] for place in range(len(short))))
    assert wire.answer().status == 200


def test_a_client_may_ask_whether_to_send_its_body(wire):
    asking = {"expect": "100-continue", "content-length": str(len(BODY))}
    wire.send(request("POST", INFER, headers=asking))
    assert wire.answer().status == 100
    wire.send(BODY)
    assert is_right(wire.answer())


def test_a_client_that_asks_to_send_too_much_is_told_before_it_does(wire):
    wire.send(request("POST", INFER, headers={"expect": "100-continue", "content-length": str(33 << 20)}))
    answer = wire.answer()
    assert (answer.status, answer.error) == (413, "the body is larger than the 32 MB that are taken")


@pytest.mark.parametrize("form", ["with a length", "in chunks"])
@pytest.mark.parametrize("packets", ["in one packet", "in two"])
def test_offers_of_other_protocols_are_left_alone(wire, form, packets):
    """Java's client offers h2c with its first request, and curl --http2 does; the body counts all the same."""
    offer = {
        "connection": "Upgrade, HTTP2-Settings",
        "upgrade": "h2c",
        "http2-settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    }
    body = BODY if form == "with a length" else chunks(BODY)
    more = {"content-length": str(len(body))} if form == "with a length" else {"transfer-encoding": "chunked"}
    head = request("POST", INFER, headers=offer | more)
    wire.send(*([head + body] if packets == "in one packet" else [head, body]))
    assert is_right(wire.answer())
    wire.send(request("GET", "/v2", headers={"connection": "Upgrade", "upgrade": "websocket"}) + LIVE)
    assert json.loads(wire.answer().body)["name"] == "convoy"
    assert wire.answer().status == 200
    wire.send(request("GET", "/v2", headers={"connection": "Upgrade, close", "upgrade": "h2c"}))
    assert wire.answer().status == 200
    assert wire.closed()


def test_a_connection_is_closed_if_the_client_wants_it(wire):
    wire.send(request("GET", "/v2", headers={"connection": "close"}))
    assert wire.answer().headers["connection"] == "close"
    assert wire.closed()


def test_clients_of_http_1_0_are_answered(wire):
    wire.send(b"GET /v2 HTTP/1.0\r\n\r\n")
    assert wire.answer().status == 200
    assert wire.closed()


def test_what_is_no_http_is_told_so_even_after_requests_that_were(wire):
    wire.send(LIVE)
    assert wire.answer().status == 200
    wire.send(b"NONSENSE\r\n\r\n")
    answer = wire.answer()
    assert (answer.status, answer.error) == (400, "the request is no HTTP that this service reads")
    assert wire.closed()


@pytest.mark.parametrize("head", [b"GET /v2 HTTP/1.1\r\n" + b"x: %s\r\n" % (b"y" * 1000) * 70, b"GET /" + b"a" * 70_000])
def test_a_head_without_an_end_is_refused(wire, head):
    wire.send(LIVE)
    assert wire.answer().status == 200
    wire.send(head)
    answer = wire.answer()
    assert (answer.status, answer.error) == (431, "the request's head is longer than 64 KB")
    assert wire.closed()


def test_a_request_that_does_not_go_on_is_told_even_after_others_that_did(wire):
    wire.send(LIVE)
    assert wire.answer().status == 200
    began = time.monotonic()
    wire.send(request("POST", INFER, BODY)[:-10])
    assert wire.answer().status == 408
    assert time.monotonic() - began > 4  # not at once: senders may pause
    assert wire.closed()


def test_an_answer_that_came_before_all_of_its_body_is_the_only_one(wire):
    wire.send(request("POST", "/nothing", b"a", {"content-length": "9"}))
    assert wire.answer().status == 404
    assert wire.closed()  # the rest never came; there is no second answer to the same request
