"""What goes wrong around the service, and does not end it."""

import io
import os
import signal
import subprocess
import sys

import pytest
from PIL import Image

from app.release import hashes, read_release, write_release
from tests.runtimes.environments import ROOT
from tests.serve.clients import until
from tests.serve.tiny import write_tiny

PREDICT = "/v1/models/tiny:predict"
PICTURE = {"instances": [[[[7] * 3] * 4] * 4]}


def is_served(server):
    return server.post(PREDICT, PICTURE).status == 200


def unusable(root, version):
    """A version with the right hashes, whose file ONNX Runtime does not take."""
    from dataclasses import replace

    folder = write_tiny(root, version=version)
    (folder / "model.onnx").write_bytes(b"no network")
    release = read_release(folder)
    [file] = release.files
    write_release(replace(release, files=(replace(file, sha256=hashes(folder / "model.onnx")),)))
    return folder


def test_a_version_that_the_runtime_does_not_take_is_told_and_the_old_one_serves_on(start, tmp_path):
    write_tiny(tmp_path / "exported")
    server = start(tmp_path / "exported", "--poll-seconds", "0.2")
    folder = unusable(tmp_path / "exported", 2)
    until(lambda: any(line["event"] == "a version cannot be served" for line in server.lines()))
    assert is_served(server)
    [row] = [row for row in server.post("/v2/repository/index").json() if row["state"] == "UNAVAILABLE"]
    assert row["reason"].startswith(f"{folder / 'model.onnx'} cannot be run by ONNX Runtime: ")
    assert server.post("/v2/repository/models/tiny/load").error == row["reason"]
    assert server.stop() == 0


def test_counts_go_on_when_a_version_is_loaded_again_and_when_it_is_gone(start, tmp_path):
    write_tiny(tmp_path / "exported")
    server = start(tmp_path / "exported", "--poll-seconds", "0")

    def counted():
        [line] = [line for line in server.get("/metrics").body.decode().splitlines() if line.startswith("convoy_pictures_total{")]
        return float(line.split()[-1])

    for expected, act in ((3, "load"), (6, "unload"), (6, "load"), (9, "load")):
        for _ in range(3):
            server.post(PREDICT, PICTURE)
        assert counted() == expected
        assert server.post(f"/v2/repository/models/tiny/{act}").status == 200
        assert counted() == expected
    assert server.get("/v2/models/tiny/stats").json()["model_stats"][0]["inference_count"] == 9


@pytest.mark.parametrize("place", ["a pipe that nobody reads", "a full disk"])
def test_a_log_that_cannot_be_written_ends_nothing(tmp_path, place):
    write_tiny(tmp_path / "exported")
    command = [sys.executable, "-m", "app", "serve", str(tmp_path / "exported"), "--port", "0", "--grpc-port", "none"]
    reader, writer = os.pipe() if "pipe" in place else (None, os.open("/dev/full", os.O_WRONLY))
    process = subprocess.Popen([*command, "--drain-seconds", "0"], cwd=ROOT, stdout=subprocess.PIPE, stderr=writer, text=True)
    os.close(writer)
    if reader is not None:
        os.close(reader)
    port = process.stdout.readline().strip().rpartition(":")[2]
    assert process.stdout.readline().startswith("ready: tiny 1")
    import urllib.request

    for _ in range(3):
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/tiny").status == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    process.stdout.close()


def test_a_notification_that_reaches_nobody_ends_nothing(start, tmp_path):
    write_tiny(tmp_path / "exported")
    assert is_served(start(tmp_path / "exported", environment={"NOTIFY_SOCKET": str(tmp_path / "nothing")}))


@pytest.mark.parametrize(
    ("key", "told"),
    [("", "CONVOY_API_KEY is empty"), ("  ", "CONVOY_API_KEY is empty"), ("a b", "CONVOY_API_KEY has characters")],
)
def test_a_key_that_nobody_could_give_is_told(tmp_path, key, told):
    write_tiny(tmp_path / "exported")
    command = [sys.executable, "-m", "app", "serve", str(tmp_path / "exported"), "--port", "0"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"CONVOY_API_KEY": key}, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert told in done.stderr


def test_an_origin_with_a_path_is_told(tmp_path):
    write_tiny(tmp_path / "exported")
    command = [sys.executable, "-m", "app", "serve", str(tmp_path / "exported"), "--cors", "https://a.example/"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--cors https://a.example/ is no origin" in done.stderr


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "{own}"}, 200),
        ({"origin": "https://page.example", "x-forwarded-host": "page.example"}, 200),
        ({"origin": "https://page.example", "sec-fetch-site": "same-origin"}, 200),
        ({"origin": "https://page.example", "sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_pages_of_other_hosts_may_not_send(server, release, headers, status):
    given = {name: value.replace("{own}", server.url) for name, value in headers.items()}
    assert server.ask("POST", "/v2/repository/index", None, given).status == status


def test_a_last_word_has_a_number_and_a_line_in_the_log(start, tmp_path):
    import socket

    write_tiny(tmp_path / "exported")
    server = start(tmp_path / "exported")
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(b"GARBAGE\r\n\r\n")
        answer = connection.makefile("rb").read().decode()
    number = next(line.split()[1] for line in answer.splitlines() if line.lower().startswith("x-request-id:"))
    assert server.stop() == 0
    [line] = [line for line in server.lines() if line.get("request_id") == number]
    assert (line["status"], line["level"]) == (400, "warning")


def test_a_form_without_its_end_is_no_form(server, release):
    picture = (release.folder / "samples" / "00.png").read_bytes()
    part = b'--b\r\ncontent-disposition: form-data; name="a"; filename="a.png"\r\n\r\n' + picture
    kind = {"content-type": "multipart/form-data; boundary=b"}
    path = f"/v1/models/{release.name}:predict"
    assert server.ask("POST", path, part + b"\r\n--b--\r\n", kind).status == 200
    for body in (part, part + b"\r\n", part + b"\r\n" + part):
        answer = server.ask("POST", path, body, kind)
        assert (answer.status, answer.error) == (400, "the form is truncated: its last boundary is missing")


def test_a_network_with_slots_decodes_in_them_and_says_what_it_cannot_read(start, tmp_path):
    write_tiny(tmp_path / "exported", work=400)
    server = start(tmp_path / "exported")
    assert not any(line["inline"] for line in server.lines() if line["event"] == "loaded")

    def png(side):
        file = io.BytesIO()
        Image.new("RGB", (side, side), (9, 9, 9)).save(file, "PNG")
        return file.getvalue()

    kind = {"content-type": "image/png"}
    answer = server.ask("POST", f"{PREDICT}?top=1", png(100), kind)
    assert (answer.status, answer.json()["labels"]) == (200, [{"label": "number 9", "probability": 10.0}])
    assert server.ask("POST", PREDICT, png(100)[:60], kind).error == "the picture cannot be used: the file is truncated"
    assert server.ask("POST", PREDICT, png(4100), kind).status == 413
    assert server.ask("POST", PREDICT, b"", kind).status == 400
    [row] = server.get("/v2/models/tiny/stats").json()["model_stats"]
    assert (row["inference_count"], row["inference_stats"]["fail"]["count"]) == (1, 3)
