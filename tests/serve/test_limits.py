"""What one client cannot take from the others: memory, the event loop, connections."""

import asyncio
import base64
import gzip
import io
import json
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.serve.clients import Caller, Process, ended, limited, raw, tensor, together, until, written
from tests.serve.tiny import SHAPE, write_tiny

MB = 2**20
INFER, PREDICT = "/v2/models/tiny/infer", "/v1/models/tiny:predict"
BODY, HEADERS = tensor(np.arange(48).reshape(1, *SHAPE))
SLACK = 12 * MB  # of what an allocator and a thread more may hold


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    root = tmp_path_factory.mktemp("limits")
    write_tiny(root)
    return root


@pytest.fixture(scope="module")
def server(exported):
    with limited(exported / "tiny", folder=exported) as started:
        assert started.post(INFER, BODY, **HEADERS).status == 200
        yield started
    assert started.process.returncode == 0


def growth(server, act):
    """What the act gave, and by how many bytes the server's memory grew at most while it lasted."""
    process = Process(server.process.pid)
    held = process.forget_peak()
    found = act()
    return found, process.peak - held


def png(width, height):
    """A black picture of one bit a pixel, whole and right."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    data = b"".join(packer.compress(row * 100) for _ in range(height // 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def claimed(kind, width, height):
    """A tiny picture whose header says that it is a large one."""
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, kind)
    data = bytearray(file.getvalue())
    if kind == "JPEG":
        start = data.index(b"\xff\xc0") + 5
        data[start : start + 4] = struct.pack(">HH", height, width)
    elif kind == "GIF":
        data[6:10] = struct.pack("<HH", width, height)
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


@pytest.mark.parametrize("way", ["body", "form", "base64"])
def test_a_picture_of_900_million_pixels_is_refused_by_its_header(server, way):
    bomb = png(30000, 30000)
    headers = {}
    if way == "form":
        bomb = b'--x\r\ncontent-disposition: form-data; name="a"; filename="a.png"\r\n\r\n' + bomb + b"\r\n--x--\r\n"
        headers = {"content_type": "multipart/form-data; boundary=x"}
    elif way == "base64":
        bomb = {"instances": [{"b64": base64.b64encode(bomb).decode()}]}
    answer, grown = growth(server, lambda: server.post(PREDICT, bomb, **headers))
    print(f"\n{way}: {answer.status} {answer.error}; memory grew by {grown / MB:.1f} MB")
    assert answer.status == 413
    assert "16 million pixels" in answer.error
    assert grown < SLACK


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP"])
def test_a_small_file_that_claims_to_be_large_costs_nothing(server, kind):
    answer, grown = growth(server, lambda: server.post(PREDICT, claimed(kind, 30000, 30000)))
    assert answer.status == 413
    assert grown < SLACK


def test_the_most_pixels_are_taken_and_one_row_more_is_not(server):
    assert server.post(PREDICT, png(4000, 4000)).status == 200
    assert server.post(PREDICT, png(4000, 4100)).status == 413


def test_pictures_of_one_request_are_bounded_together(server):
    """Each may be taken; all of them would keep a thread busy for many seconds."""
    body = {"instances": [{"b64": base64.b64encode(png(4000, 4000)).decode()}] * 5}
    answer, grown = growth(server, lambda: server.post(PREDICT, body))
    assert (answer.status, answer.error) == (413, "the pictures have more than 64 million pixels together; send fewer at once")
    assert grown < SLACK


def test_json_longer_than_any_pictures_of_a_model_is_not_read(server):
    """Reading it would keep all others waiting, for a refusal."""
    answer = server.post(INFER, b"[" + b"0," * 10**6 + b"0]")
    assert answer.status == 413
    assert answer.error.startswith("2000003 bytes of JSON; 64 pictures of tiny have less than ")


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_body_that_grows_to_200_mb_is_refused_while_others_are_answered(server, encoding, pack):
    bomb = pack(bytes(200 * MB), 9)

    async def attack():
        async def one(_):
            return await Caller(server.port).ask("POST", INFER, bomb, content_encoding=encoding)

        attacks = asyncio.ensure_future(together(4, one))
        healthy, longest, caller = 0, 0.0, Caller(server.port)
        while not attacks.done():
            began = time.perf_counter()
            assert (await caller.ask("GET", "/v2/health/ready")).status == 200
            longest = max(longest, time.perf_counter() - began)
            healthy += 1
        caller.close()
        return await attacks, healthy, longest

    (answers, healthy, longest), grown = growth(server, lambda: asyncio.run(attack()))
    print(f"\n{encoding}: {len(bomb) >> 10} KB a body, memory grew by {grown / MB:.1f} MB, "
          f"{healthy} answers of health meanwhile, the slowest in {longest * 1000:.1f} ms")  # fmt: skip
    assert {answer.status for answer in answers} == {413}
    assert {answer.error for answer in answers} == {"the body grows beyond the 32 MB that are taken"}
    assert healthy >= 5
    assert grown < 2 * 33 * MB + SLACK  # as many are unpacked at once as there are threads for it: cores
    assert server.post(INFER, BODY, **HEADERS).status == 200


def test_a_body_of_many_packed_parts_costs_no_more_than_its_bytes(server):
    parts = gzip.compress(b"") * 100_000
    answer, grown = growth(server, lambda: server.post(INFER, parts, content_encoding="gzip"))
    assert answer.status == 400
    assert grown < 2 * len(parts) + SLACK


def test_a_length_beyond_the_limit_is_refused_before_anything_is_read(server):
    def refused():
        connection = raw(server.port, f"POST {INFER} HTTP/1.1\r\nhost: here\r\ncontent-length: {32 * MB + 1}\r\n\r\n".encode())
        said = connection.recv(4096)
        connection.close()
        return said

    said, grown = growth(server, refused)
    assert said.startswith(b"HTTP/1.1 413 ")
    assert b"32 MB" in said
    assert grown < SLACK


def test_a_body_without_a_length_is_read_to_the_limit_and_not_further(server):
    def refused():
        connection = raw(server.port, f"POST {INFER} HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        connection.settimeout(0.01)
        chunk, sent, said = b"10000\r\n" + bytes(2**16) + b"\r\n", 0, b""
        try:
            while sent < 200 * MB and not said:
                rest = memoryview(chunk)
                while rest:  # a write that gives up half way would make it another body
                    try:
                        rest = rest[connection.send(rest) :]
                    except TimeoutError:
                        continue
                sent += 2**16
                if sent > 31 * MB:
                    try:
                        said = connection.recv(4096)
                    except TimeoutError:
                        continue
        finally:
            connection.close()
        return said, sent

    (said, sent), grown = growth(server, refused)
    print(f"\nrefused after {sent / MB:.0f} MB; memory grew by {grown / MB:.1f} MB")
    assert said.startswith(b"HTTP/1.1 413 ")
    assert grown < 32 * MB + SLACK


def test_a_refused_body_without_an_end_is_not_read_for_ever(exported):
    with limited(exported / "tiny", folder=exported, body_bytes=MB) as server:
        connection = raw(server.port, f"POST {INFER} HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        connection.settimeout(1.0)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            connection.sendall((b"10000\r\n" + bytes(2**16) + b"\r\n") * 1024)  # 64 MB
        connection.close()


@pytest.mark.parametrize("what", [b"x-%d: " + b"y" * 1000 + b"\r\n", b"y" * 1000])
def test_headers_without_an_end_are_refused(server, what):
    def endless():
        connection = raw(server.port, b"GET / HTTP/1.1\r\nx: ")
        try:
            for number in range(40_000):
                connection.sendall(what % number if b"%d" in what else what)
        except (BrokenPipeError, ConnectionResetError):
            return number
        finally:
            connection.close()
        return None

    sent, grown = growth(server, endless)
    assert sent is not None, "40 MB of headers were taken"
    assert grown < SLACK


def test_an_address_without_an_end_is_not_kept(server):
    def ask():
        for number in range(300):
            name = f"{number:x}".rjust(60_000, "m")
            assert server.get(f"/v2/models/{name}").status == 414

    _, grown = growth(server, ask)
    assert grown < SLACK


def test_bodies_together_are_bounded(exported):
    with limited(exported / "tiny", folder=exported, body_bytes=4 * MB, bodies_bytes=8 * MB) as server:
        assert server.post(INFER, BODY, **HEADERS).status == 200
        head = f"POST {INFER} HTTP/1.1\r\nhost: here\r\ncontent-length: {4 * MB}\r\n\r\n".encode()

        def crowd():
            connections = [raw(server.port, head) for _ in range(40)]
            for connection in connections:
                connection.sendall(bytes(4 * MB - 1))
            time.sleep(0.5)  # what could be held is held
            said = []
            for connection in connections:
                connection.setblocking(False)
                try:
                    said.append(connection.recv(4096))
                except BlockingIOError:
                    said.append(b"")
                connection.close()
            return said

        said, grown = growth(server, crowd)
        refused = [one for one in said if one.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in one]
        print(f"\n{len(refused)} of {len(said)} bodies of 4 MB refused, memory grew by {grown / MB:.1f} MB")
        assert len(refused) == 38  # two of the others are all that has room
        assert grown < 8 * MB + 40 * 0.4 * MB + SLACK  # and what lies in the connections' own buffers
        until(lambda: server.post(INFER, BODY, **HEADERS).status == 200)  # the room is there again


def test_200_stalled_uploads_are_closed_within_10_seconds_while_others_are_answered(server):
    head = f"POST {INFER} HTTP/1.1\r\nhost: here\r\ncontent-length: {8 * MB}\r\n\r\n".encode()
    kinds = {"silent": b"", "in the header": head[:40], "in the body": head + bytes(100),
             "late in the body": head, "a byte a second": head}  # fmt: skip

    async def attack():
        began = time.monotonic()

        async def stalled(number):
            kind = list(kinds)[number % len(kinds)]
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(kinds[kind])
            reading = asyncio.ensure_future(reader.read())
            if kind == "late in the body":  # what came quickly does not buy time to be silent
                await asyncio.sleep(1.0)
                writer.write(bytes(4 * MB))
            while not reading.done():
                if kind == "a byte a second" and not writer.is_closing():
                    writer.write(b"x")
                await asyncio.wait([reading], timeout=1.0)
            said = b"" if reading.exception() else reading.result()
            writer.close()
            return kind, time.monotonic() - began, said

        attacks = asyncio.ensure_future(together(200, stalled))
        good = 0
        while not attacks.done():
            answer = await Caller(server.port).ask("POST", INFER, BODY, **HEADERS)
            assert answer.status == 200
            good += 1
            await asyncio.sleep(0.05)
        return await attacks, good

    # Forty of them send 4 MB before they stall: within the room that all bodies have.
    found, good = asyncio.run(attack())
    for kind in kinds:
        times = [seconds for other, seconds, _ in found if other == kind]
        print(f"\n{kind}: closed after {min(times):.1f} to {max(times):.1f} s", end="")
    print(f"\n{good} ordinary requests were answered meanwhile")
    assert good >= 20
    # A byte that meets the connection's end resets it, and what was said before may be lost with that.
    wrong = {(kind, said[:60]) for kind, _, said in found if not said.startswith(b"HTTP/1.1 408 ")}
    assert wrong <= {("a byte a second", b"")}
    assert max(seconds for _, seconds, _ in found) <= 10.0


def test_a_sender_that_is_slow_and_steady_is_served(exported):
    with limited(exported / "tiny", folder=exported, stall_seconds=1.0, sender_bytes_per_second=1024) as server:
        body = b" " * 8000 + BODY
        length = int(HEADERS["inference_header_content_length"]) + 8000
        request = written("POST", INFER, body, inference_header_content_length=str(length), connection="close")
        connection = raw(server.port)
        for start in range(0, len(request), 400):  # 4 KB a second: more than two of its stall times
            connection.sendall(request[start : start + 400])
            time.sleep(0.1)
        assert ended(connection).startswith(b"HTTP/1.1 200 ")


def test_one_connection_too_many_is_told_so_and_the_others_live_on(exported):
    with limited(exported / "tiny", folder=exported, connections=8) as server:
        held = [raw(server.port, written("GET", "/v2/health/live")) for _ in range(8)]
        assert all(connection.recv(4096).startswith(b"HTTP/1.1 200 ") for connection in held)
        said = ended(raw(server.port))
        assert said.startswith(b"HTTP/1.1 503 ")
        assert b"8 connections are open already" in said
        for connection in held:
            connection.sendall(written("POST", INFER, BODY, **HEADERS))
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        held.pop().close()
        until(lambda: server.post(INFER, BODY, **HEADERS).status == 200)


def test_a_quiet_connection_ends_also_after_a_refused_body(exported):
    with limited(exported / "tiny", folder=exported, body_bytes=MB, keep_alive_seconds=1) as server:
        quiet = raw(server.port, written("GET", "/v2/health/live"))
        refused = raw(server.port, written("POST", INFER, bytes(MB + 1)))
        assert ended(quiet).startswith(b"HTTP/1.1 200 ")
        assert ended(refused).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_never_reads_is_let_go(exported):
    with limited(exported / "tiny", folder=exported, stall_seconds=1.0) as server:
        process = Process(server.process.pid)
        before = process.descriptors
        request = written("POST", INFER, *_many_pictures())
        connections = [raw(server.port) for _ in range(2)]
        for connection in connections:
            connection.settimeout(0.3)
            try:
                for _ in range(20_000):
                    connection.sendall(request)
            except (TimeoutError, ConnectionResetError, BrokenPipeError):
                pass
        until(lambda: process.descriptors == before)
        assert server.post(INFER, BODY, **HEADERS).status == 200
        for connection in connections:
            connection.close()


def _many_pictures():
    """A short request with a long answer: numbers as text."""
    body = json.dumps({"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, *SHAPE], "data": [7] * 48}]})
    return (body.encode(),)


def test_what_is_no_http_is_a_line_of_json_in_the_log_and_an_answer(exported):
    with limited(exported / "tiny", folder=exported) as server:
        assert ended(raw(server.port, b"\x16\x03\x01 no HTTP at all\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        answer = server.get("/v2/health/live", connection="Upgrade", upgrade="h2c")
        assert answer.status == 200
        assert server.stop() == 0
        assert server.lines()  # each is JSON
