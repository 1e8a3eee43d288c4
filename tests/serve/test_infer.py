"""Tensors over HTTP: the Open Inference Protocol's inference, with the binary and classification extensions."""

import gzip
import json
import zlib

import numpy as np
import pytest

from tests.serve.tiny import NUMBERS, SHAPE, expected

INFER = "/v2/models/tiny/infer"
VERSION = 2
HEADER = "inference-header-content-length"


def pictures(count=1, dtype=np.float32):
    return np.random.default_rng(count).integers(0, 256, (count, *SHAPE)).astype(dtype)


def tensor(images, **changes):
    datatype = {"float32": "FP32", "uint8": "UINT8"}[images.dtype.name]
    return {"name": "image", "shape": list(images.shape), "datatype": datatype, "data": images.ravel().tolist()} | changes


def binary(images, **changes):
    """JSON with the tensor's bytes behind it, and the header that says where."""
    head = binary_head(images, **changes)
    return head + images.tobytes(), {HEADER: str(len(head))}


def binary_head(images, outputs=None, **changes):

    row = tensor(images, parameters={"binary_data_size": images.nbytes}) | changes
    del row["data"]
    return json.dumps({"inputs": [row]} | ({"outputs": outputs} if outputs else {})).encode()


def numbers(answer):
    """Of the one output of an answer, however they came."""
    assert answer.status == 200, answer.body
    length = answer.headers.get(HEADER)
    if length is None:
        [output] = answer.json()["outputs"]
        return np.array(output["data"], np.float32).reshape(output["shape"])

    [output] = json.loads(answer.body[: int(length)])["outputs"]
    raw = answer.body[int(length) :]
    assert output["parameters"] == {"binary_data_size": len(raw)}
    assert "data" not in output
    return np.frombuffer(raw, "<f4").reshape(output["shape"])


def test_an_answer_says_what_answered_and_repeats_the_id(tiny):
    images = pictures(2)
    answer = tiny.post(INFER, {"id": "mine", "inputs": [tensor(images)]})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "model_name": "tiny", "model_version": "2", "id": "mine",
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [2, NUMBERS],
                     "data": expected(images, VERSION).ravel().tolist()}],
    }  # fmt: skip
    assert "id" not in tiny.post(INFER, {"inputs": [tensor(images)]}).json()


@pytest.mark.parametrize("count", [1, 3, 64])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("form", ["flat", "nested", "half nested", "binary"])
def test_every_form_of_a_tensor_gets_the_same_answer(tiny, count, dtype, form):
    images = pictures(count, dtype)
    if form == "binary":
        body, headers = binary(images)
    else:
        data = {"flat": images.ravel(), "nested": images, "half nested": images.reshape(count, -1, 3)}[form]
        body, headers = {"inputs": [tensor(images, data=data.tolist())]}, {}
    if form == "half nested":  # lists of lists, as the shape is not
        assert tiny.ask("POST", INFER, body, headers).status == 400
    else:
        assert (numbers(tiny.ask("POST", INFER, body, headers)) == expected(images, VERSION)).all()


def test_floats_are_taken_as_they_are(tiny):
    images = pictures() / np.float32(7)
    for body, headers in (({"inputs": [tensor(images)]}, {}), binary(images)):
        assert np.array_equal(numbers(tiny.ask("POST", INFER, body, headers)), expected(images, VERSION))


@pytest.mark.parametrize("count", [0, 65])
def test_a_batch_is_from_1_to_64(tiny, count):
    images = pictures(count)
    body, headers = binary(images)
    for answer in (tiny.post(INFER, {"inputs": [tensor(images)]}), tiny.ask("POST", INFER, body, headers)):
        assert answer.status == (413 if count else 400)
        assert "tiny takes" in answer.error


def test_bytes_alone_are_the_one_input(tiny):
    images = pictures(3)
    answer = tiny.ask("POST", INFER, images.tobytes(), {HEADER: "0", "content-type": "application/octet-stream"})
    assert answer.headers["content-type"] == "application/octet-stream"
    assert (numbers(answer) == expected(images, VERSION)).all()


ASKED = {
    "for all outputs": ({"parameters": {"binary_data_output": True}}, True),
    "for one output": ({"outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}]}, True),
    "for all but one": ({"parameters": {"binary_data_output": True},
                         "outputs": [{"name": "probabilities", "parameters": {"binary_data": False}}]}, False),
    "not": ({"outputs": [{"name": "probabilities"}]}, False),
    "for no outputs": ({"outputs": []}, False),
}  # fmt: skip


@pytest.mark.parametrize("asked", ASKED)
def test_binary_answers_come_as_they_are_asked_for(tiny, asked):
    images = pictures()
    request, is_binary = ASKED[asked]
    answer = tiny.post(INFER, {"inputs": [tensor(images)]} | request)
    assert (HEADER in answer.headers) == is_binary
    assert (numbers(answer) == expected(images, VERSION)).all()


def test_the_likeliest_classes_can_be_asked_for(tiny):
    images = np.zeros((2, *SHAPE), np.float32)
    images[0, 0, 0], images[1, 0, 1] = (3, 9, 5), (0, 0, 7.5)
    outputs = [{"name": "probabilities", "parameters": {"classification": 2}}]
    [output] = tiny.post(INFER, {"inputs": [tensor(images)], "outputs": outputs}).json()["outputs"]
    words = ["9.000000:1:number 1", "5.000000:2:number 2", "7.500000:5:number 5", "2.000000:9:number 9"]
    assert output == {"name": "probabilities", "datatype": "BYTES", "shape": [2, 2], "data": words}
    outputs[0]["parameters"]["binary_data"] = True
    answer = tiny.post(INFER, {"inputs": [tensor(images)], "outputs": outputs})
    raw, found = answer.body[int(answer.headers[HEADER]) :], []
    while raw:
        length = int.from_bytes(raw[:4], "little")
        found.append(raw[4 : 4 + length].decode())
        raw = raw[4 + length :]
    assert found == words
    outputs[0]["parameters"]["classification"] = 99  # more than there are
    assert tiny.post(INFER, {"inputs": [tensor(images)], "outputs": outputs}).status == 200


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress),
                                                ("gzip", lambda body: gzip.compress(body[:50]) + gzip.compress(body[50:])),
                                                ("identity", bytes)])  # fmt: skip
def test_bodies_may_be_packed(tiny, encoding, pack):
    images = pictures(5)
    body, headers = binary(images)
    answer = tiny.ask("POST", INFER, pack(body), headers | {"content-encoding": encoding})
    assert (numbers(answer) == expected(images, VERSION)).all()


UNPACK = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip", "gzip"), ("deflate", "deflate"), ("gzip, deflate, br", "gzip"), ("gzip;q=0, deflate", "deflate"), ("br", None),
     ("deflate;q=1.0, gzip; q=0.0", "deflate"), ("identity", None), ("gzip;q=0.5", "gzip"), ("gzip;q=0", None)],
)  # fmt: skip
def test_answers_are_packed_as_the_client_likes(tiny, accepted, encoding):
    images = pictures(64)
    answer = tiny.ask("POST", INFER, {"inputs": [tensor(images)]}, {"accept-encoding": accepted})
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers.get("vary") == ("accept-encoding" if encoding else None)
    assert int(answer.headers["content-length"]) == len(answer.body)
    plain = type(answer)(200, answer.headers, UNPACK[encoding](answer.body))
    assert (numbers(plain) == expected(images, VERSION)).all()
    assert "content-encoding" not in tiny.get("/v2", accept_encoding=accepted).headers  # too short to be worth it


def test_a_version_can_be_asked_for(tiny):
    images = pictures()
    answer = tiny.post("/v2/models/tiny/versions/2/infer", {"inputs": [tensor(images)]})
    assert (numbers(answer) == expected(images, VERSION)).all()
    answer = tiny.post("/v2/models/tiny/versions/1/infer", {"inputs": [tensor(images)]})
    assert (answer.status, answer.error) == (404, "'tiny' has no version 1; there is: 2")


def test_a_client_that_waits_no_time_is_told(tiny):
    body = {"inputs": [tensor(pictures(64))], "parameters": {"timeout": 1}}
    answers = [tiny.post(INFER, body) for _ in range(3)]
    late = [answer for answer in answers if answer.status == 504]
    assert all(answer.status in (200, 504) for answer in answers)  # a network this small may be quicker than the clock
    assert all("had no answer within 1e-06 seconds" in answer.error for answer in late)
    body["parameters"]["timeout"] = 0
    assert tiny.post(INFER, body).status == 200
