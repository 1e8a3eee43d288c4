"""What the service is told when it starts."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Limits:
    """What one client cannot take from the others.

    Args:
        queue: pictures that wait for a model; one more is refused.
        deadline_seconds: from a request's last byte to its answer, unless it asks for less.
        body_bytes: of one request, and of what a compressed one becomes.
        bodies_bytes: of all requests that are being received.
        pixels: of one picture.
        stall_seconds: that a sender may take before its bytes have to come at `sender_bytes_per_second`.
        keep_alive_seconds: that a connection may be quiet between requests.
        connections: open at once.
    """

    queue: int = 512
    deadline_seconds: float = 10.0
    body_bytes: int = 32 * 2**20
    bodies_bytes: int = 256 * 2**20
    pixels: int = 16_000_000
    stall_seconds: float = 5.0
    sender_bytes_per_second: int = 16 * 2**10
    keep_alive_seconds: int = 65
    connections: int = 4096


@dataclass(frozen=True)
class Settings:
    """How releases are served.

    Args:
        sources: folders of releases, of versions, or of a folder of names.
        port, grpc_port: 0 for any that is free; no gRPC for None.
        variant: which ONNX file of a release.
        all_versions: serve every version of a name, not the newest alone.
        poll_seconds: between looks for new versions; 0 for none.
        drain_seconds: from the moment that readiness ends to the end of listening.
        api_key: what every client has to give; empty for none.
        origins: of web pages that may call from other hosts; `*` for all.
        quiet: log what goes wrong alone.
    """

    sources: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = 8001
    workers: int = 1
    variant: str = "onnx-fp32"
    all_versions: bool = False
    poll_seconds: float = 2.0
    drain_seconds: float = 1.0
    api_key: str = ""
    origins: tuple[str, ...] = ()
    quiet: bool = False
    slots: int = field(default_factory=cores)
    limits: Limits = Limits()
