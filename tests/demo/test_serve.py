import http.client
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.cli import main
from app.demo import certificate
from app.demo.certificate import network_address, own_certificate
from app.demo.serve import POLICY, PageServer, open_server
from app.errors import UserError

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@contextmanager
def serving(site, signed=None):
    server = open_server(site, "127.0.0.1", 0, signed)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    (folder / "model").mkdir(parents=True)
    for path in ("index.html", "main.js", "ort.mjs", "ort.wasm", "manifest.webmanifest", "model/model.onnx"):
        (folder / path).write_text(path)
    (tmp_path / "secret.txt").write_text("secret")
    return folder


def ask(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def test_files_come_with_their_types_and_a_strict_policy(site):
    with serving(site) as port:
        for path, kind in (
            ("/", "text/html"),
            ("/main.js?variant=x", "text/javascript"),
            ("/ort.mjs", "text/javascript"),
            ("/ort.wasm", "application/wasm"),
            ("/manifest.webmanifest", "application/manifest+json"),
            ("/model/model.onnx", "application/octet-stream"),
        ):
            status, headers, body = ask(port, path)
            assert status == 200
            assert headers["content-type"].startswith(kind), path
            assert body.decode() == (path.split("?")[0].lstrip("/") or "index.html")
            assert headers["cache-control"] == "no-cache"
            assert headers["content-security-policy"].startswith(POLICY)
            assert headers["x-content-type-options"] == "nosniff"
            assert "Python" not in headers["server"]


def test_an_unchanged_file_is_not_sent_again(site):
    with serving(site) as port:
        _, headers, _ = ask(port, "/ort.wasm")
        status, _, body = ask(port, "/ort.wasm", **{"If-Modified-Since": headers["last-modified"]})
    assert (status, body) == (304, b"")


@pytest.mark.parametrize("path", ["/model/", "/nothing", "/../secret.txt", "/%2e%2e/secret.txt", "//etc/passwd"])
def test_neither_folders_nor_what_lies_outside_can_be_seen(site, path):
    with serving(site) as port:
        status, _, body = ask(port, path)
    assert status == 404
    assert b"secret" not in body.replace(b"secret.txt", b"")


@needs_openssl
def test_https_has_a_certificate_for_the_addresses_that_phones_use(site, tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOY_CACHE", str(tmp_path / "cache"))
    signed = own_certificate(("192.0.2.7",))
    assert own_certificate(("192.0.2.7",)) == signed
    assert own_certificate(("192.0.2.8",)) != signed
    assert signed.key.stat().st_mode & 0o077 == 0
    trusting = ssl.create_default_context(cafile=str(signed.file))
    with serving(site, signed) as port:
        for name in ("localhost", "127.0.0.1", "192.0.2.7"):
            plain = socket.create_connection(("127.0.0.1", port), timeout=20)
            with trusting.wrap_socket(plain, server_hostname=name) as secure:
                secure.sendall(b"GET /main.js HTTP/1.0\r\n\r\n")
                answer = b""
                while part := secure.recv(4096):
                    answer += part
                assert answer.endswith(b"main.js")
        with pytest.raises(ssl.SSLCertVerificationError), socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
            trusting.wrap_socket(plain, server_hostname="192.0.2.8")
    text = subprocess.run(["openssl", "x509", "-in", signed.file, "-noout", "-text"], capture_output=True, text=True).stdout
    assert "TLS Web Server Authentication" in text


@needs_openssl
def test_a_phone_that_hangs_up_does_not_hold_up_the_others(site, tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOY_CACHE", str(tmp_path / "cache"))
    signed = own_certificate(())
    with serving(site, signed) as port, socket.create_connection(("127.0.0.1", port)) as silent:
        with socket.create_connection(("127.0.0.1", port)) as plain:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")  # no TLS
        trusting = ssl.create_default_context(cafile=str(signed.file))
        connection = http.client.HTTPSConnection("localhost", port, context=trusting, timeout=20)
        connection.request("GET", "/main.js")
        assert connection.getresponse().read() == b"main.js"
        connection.close()
        silent.close()


def test_without_openssl_one_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(certificate.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"openssl is missing, .*; install it, or leave --https out"):
        own_certificate(())


def test_a_machine_without_a_network_has_no_address_there():
    assert network_address() == ""  # the tests' guard lets nothing out


def test_a_port_in_use_is_told(site):
    with serving(site) as port, pytest.raises(UserError, match=f"--port {port} is in use on 127.0.0.1; choose another one"):
        open_server(site, "127.0.0.1", port)
    with pytest.raises(UserError, match=r"--host 192.0.2.1 is no IPv4 address of this machine"):
        open_server(site, "192.0.2.1", 0)


def test_the_command_builds_a_folder(small, runtimes, tmp_path, capsys):
    assert main(["demo", str(small.folder), "--build", str(tmp_path / "site")]) == 0
    assert (tmp_path / "site/index.html").is_file()
    assert "any https host can serve it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--build", "x", "--https"], "--build writes a folder and serves nothing"),
        (["--port", "0"], "--port 0 is too small"),
        (["--port", "70000"], "--port 70000 is too large"),
        (["--https", "more"], "one argument too many"),
    ],
)
def test_flags_that_do_not_fit_are_told_in_one_line(small, flags, told, capsys):
    assert main(["demo", str(small.folder), *flags]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_release_that_is_not_there_is_told(tmp_path, capsys):
    assert main(["demo", str(tmp_path / "none")]) == 2
    assert "no release in" in capsys.readouterr().err


@needs_openssl
@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], ["here:   http://localhost:", "for this machine alone; for a phone add --https"]),
        (["--host", "0.0.0.0"], ["here:   http://", "phone:  http://192.0.2.7:", "without --https"]),
        (["--https"], ["here:   https://", "phone:  https://192.0.2.7:", "the phone warns once"]),
    ],
)
def test_the_command_prints_the_addresses_to_open_and_leaves_nothing_behind(
    small, runtimes, tmp_path, flags, told, monkeypatch, capsys
):
    served = []

    def stop(server):
        folder = Path(server.RequestHandlerClass.keywords["directory"])
        served.append((folder, server.server_address[0], (folder / "index.html").is_file()))
        raise KeyboardInterrupt

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("CONVOY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(certificate, "network_address", lambda: "192.0.2.7")
    monkeypatch.setattr(PageServer, "serve_forever", stop)
    assert main(["demo", str(small.folder), "--port", str(port), *flags]) == 0
    printed = capsys.readouterr().out
    for line in told:
        assert line in printed
    ((folder, host, built),) = served
    assert built
    assert host == ("0.0.0.0" if flags else "127.0.0.1")
    assert not folder.exists()
