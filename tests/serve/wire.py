"""Requests byte for byte, and the answers of a connection in their order."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping

from tests.serve.started import Answer, Server

WAIT_SECONDS = 15.0


class Wire:
    """A connection that sends any bytes."""

    def __init__(self, server: Server) -> None:
        self._socket = socket.create_connection((server.host, server.port), WAIT_SECONDS)
        self._held = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, *parts: bytes) -> None:
        """The parts, each in a packet of its own. A server that has closed already is no error: it may have answered."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for part in parts:
                self._socket.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def answer(self, *, head: bool = False) -> Answer | None:
        """The next answer, None at the connection's end.

        Args:
            head: to a HEAD request: without a body, whatever its length says.
        """
        while b"\r\n\r\n" not in self._held:
            if not self._more():
                assert not self._held, f"half an answer: {self._held[:200]!r}"
                return None
        top, _, self._held = self._held.partition(b"\r\n\r\n")
        line, *rows = top.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)}
        status = int(line.split()[1])
        length = 0 if head or status < 200 or status == 204 else int(headers["content-length"])
        while len(self._held) < length:
            assert self._more(), "the connection ended within a body"
        body, self._held = self._held[:length], self._held[length:]
        return Answer(status, headers, body)

    def closed(self) -> bool:
        """Whether the server ends the connection; waits for that."""
        return not self._held and not self._more()

    def _more(self) -> bool:
        try:
            part = self._socket.recv(2**16)
        except ConnectionResetError:
            return False
        self._held += part
        return bool(part)


def request(method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> bytes:
    """A request's bytes; its length is told unless the headers say otherwise."""
    rows = list(headers.items() if isinstance(headers, Mapping) else headers)
    names = {name.lower() for name, _ in rows}
    if body and not names & {"content-length", "transfer-encoding"}:
        rows.append(("content-length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in [("host", "here"), *rows])
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def chunks(*parts: bytes) -> bytes:
    """A body in chunks, and its end."""
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))
