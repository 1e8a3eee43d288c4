"""The command that serves releases: serve."""

from __future__ import annotations

import argparse
import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.commands.screen import say
from app.config import parse_value
from app.errors import UserError
from app.flags import whole

KEY = "CONVOY_API_KEY"
MOST_SECONDS = 3600


def serve(given: argparse.Namespace) -> None:
    """Answers over HTTP and gRPC: the Open Inference Protocol, and pictures straight in."""
    from dataclasses import replace

    from app.serve.peers import Peers
    from app.serve.repository import scan
    from app.serve.server import bound, run
    from app.serve.settings import Limits, Settings

    limits = Limits()
    chosen = {
        "queue": given.max_queue,
        "deadline_seconds": given.deadline_ms and given.deadline_ms / 1000,
        "body_bytes": given.max_body_mb and given.max_body_mb << 20,
        "pixels": given.max_pixels_mp and given.max_pixels_mp * 10**6,
    }
    limits = replace(limits, **{name: value for name, value in chosen.items() if value})
    # One body, packed and unpacked, has to fit.
    limits = replace(limits, bodies_bytes=max(limits.bodies_bytes, 2 * limits.body_bytes))
    settings = Settings(tuple(given.release), host=given.host, port=given.port, grpc_port=given.grpc_port,
                        workers=given.workers, variant=given.variant, all_versions=given.all_versions,
                        poll_seconds=given.poll_seconds, drain_seconds=given.drain_seconds, api_key=_key(given.api_key_file),
                        origins=_origins(given.cors), quiet=given.quiet, limits=limits)  # fmt: skip
    scan(settings)  # what is wrong with the folders is told before anything listens
    listener = bound(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    say(f"listening: http://{f'[{host}]' if ':' in host else host}:{port}")
    if settings.workers == 1:
        run(settings, listener, Peers(), _announce)
        return
    from app.serve.workers import Supervisor, shared

    settings, _holder = shared(settings)
    Supervisor(settings, listener, _announce).run()


def _announce(line: str) -> None:
    """Says a line, and tells systemd, where it started the service, that it is ready.

    Source: sd_notify(3).
    """
    with suppress(OSError):  # who reads it may have left; the service goes on
        say(line)
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address and line.startswith("ready"):
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", address.replace("@", "\0", 1) if address.startswith("@") else address)


def add_serve_flags(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of `serve` its flags."""
    parser.add_argument(
        "release", nargs="+", metavar="RELEASE", help="exported/NAME, exported/NAME/VERSION, or a folder of names"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: 127.0.0.1, this machine alone")
    parser.add_argument("--port", type=_port("--port"), default=8000, help="of HTTP, 0: any that is free; default: 8000")
    parser.add_argument("--grpc-port", type=_grpc_port, default=8001, help="0: any that is free, none: no gRPC; default: 8001")
    parser.add_argument("--workers", type=whole("--workers", 256), default=1, help="processes; default: 1")
    parser.add_argument("--variant", default="onnx-fp32", help="onnx-fp32, onnx-fp16, onnx-int8; default: onnx-fp32")
    parser.add_argument("--all-versions", action="store_true", help="serve every version of a name; default: the newest")
    parser.add_argument("--max-queue", type=whole("--max-queue", 10**6), help="pictures that may wait for a model; default: 512")
    parser.add_argument(
        "--deadline-ms", type=whole("--deadline-ms", 3_600_000), help="after which a request is given up; default: 10000"
    )
    parser.add_argument("--max-body-mb", type=whole("--max-body-mb", 1024), help="of one request; default: 32")
    parser.add_argument(
        "--max-pixels-mp", type=whole("--max-pixels-mp", 1000), help="millions of pixels of one picture; default: 16"
    )
    parser.add_argument(
        "--poll-seconds",
        type=_seconds("--poll-seconds"),
        metavar="S",
        default=2.0,
        help="between looks for new versions, 0: none; default: 2",
    )
    parser.add_argument(
        "--drain-seconds",
        type=_seconds("--drain-seconds"),
        metavar="S",
        default=1.0,
        help="from not ready to not listening; default: 1",
    )
    parser.add_argument("--api-key-file", metavar="FILE", help=f"holds the key that clients have to give; or set {KEY}")
    parser.add_argument("--cors", nargs="+", metavar="ORIGIN", help="web pages of these hosts may call; '*': all")
    parser.add_argument("--quiet", action="store_true", help="log what goes wrong alone")


def _port(flag: str) -> Callable[[str], int]:
    read = whole(flag, 65535)
    return lambda text: 0 if text == "0" else read(text)


def _seconds(flag: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        value: float = parse_value(flag, float, text)
        if not 0 <= value <= MOST_SECONDS:
            raise UserError(f"{flag} {text} is no time from 0 to {MOST_SECONDS} seconds")
        return value

    return read


def _grpc_port(text: str) -> int | None:
    return None if text == "none" else _port("--grpc-port")(text)


def _key(file: str | None) -> str:
    if not file and KEY not in os.environ:
        return ""
    source = f"--api-key-file {file}" if file else KEY
    key = (Path(file).read_text(encoding="utf-8") if file else os.environ[KEY]).strip()
    if not key:  # whoever sets one does not want to be open to all
        raise UserError(f"{source} is empty; give it the key, or leave it out to serve everybody")
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise UserError(f"{source} has characters that a header cannot hold; use letters, digits and signs of ASCII, no blanks")
    return key


def _origins(given: list[str] | None) -> tuple[str, ...]:
    for origin in given or ():
        if origin != "*" and not re.fullmatch(r"https?://[^/\s]+", origin):
            raise UserError(f"--cors {origin} is no origin; give it as in https://example.org, without a path, or '*' for all")
    return tuple(given or ())
