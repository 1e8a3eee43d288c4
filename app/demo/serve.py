"""Hands out a built page on this machine, plainly or by https with a certificate of its own."""

from __future__ import annotations

import errno
import ssl
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from app.demo.certificate import Certificate
from app.errors import UserError

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".png": "image/png",
    ".onnx": "application/octet-stream",
    ".tflite": "application/octet-stream",
}
# index.html has the same policy for hosts that send none.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # asked for again and answered with 304: a new build is seen at once
}
HIGHEST_PORT = 65535


class PageHandler(SimpleHTTPRequestHandler):
    """Files of the site with their right types, and nothing else: no listing of folders, no lines on the screen."""

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **TYPES}  # noqa: RUF012 - as in the base class
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds, after which a silent phone's connection is closed

    def list_directory(self, path: Any) -> None:  # noqa: ARG002 - of the base class
        """Nothing: a folder without a page is not found."""
        self.send_error(404)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        return "convoy"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - of the base class
        """Nothing."""


class PageServer(ThreadingHTTPServer):
    """Serves a site until it is shut down; a thread a connection."""

    daemon_threads = True

    def __init__(self, site: Path, host: str, port: int, certificate: Certificate | None = None) -> None:
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate.file, certificate.key)
        super().__init__((host, port), partial(PageHandler, directory=str(site)))

    def get_request(self) -> Any:
        request, address = super().get_request()
        if self.context:
            # Without the handshake, which comes with the first read: a slow phone holds up its own thread alone.
            request = self.context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        return request, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: phones hang up as they like."""


def open_server(site: Path, host: str, port: int, certificate: Certificate | None = None) -> PageServer:
    """A server that listens already.

    Raises:
        UserError: it cannot listen there.
    """
    try:
        return PageServer(site, host, port, certificate)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"--port {port} is in use on {host}; choose another one") from None
        if error.errno == errno.EACCES:
            raise UserError(f"--port {port} needs rights that you do not have; choose one from 1024 to {HIGHEST_PORT}") from None
        raise UserError(
            f"--host {host} is no IPv4 address of this machine ({error.strerror}); use 127.0.0.1 or 0.0.0.0"
        ) from None
