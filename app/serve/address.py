"""Sockets at an address that was asked for by flags."""

from __future__ import annotations

import socket

from app.errors import UserError


def bound(host: str, flag: str, port: int, *options: int) -> socket.socket:
    """A socket at an address; it does not listen yet.

    Args:
        flag: that gave the port.
        options: of the socket, switched on: SO_REUSEADDR, SO_REUSEPORT.
    Raises:
        UserError: it is taken, or none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family, kind, protocol)
        for option in options:
            found.setsockopt(socket.SOL_SOCKET, option, 1)
        found.bind(address)
    except OSError as error:
        raise not_free(host, flag, port, error) from None
    return found


def not_free(host: str, flag: str, port: int, error: object) -> UserError:
    """A port that cannot be had, in the words of the flags."""
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return UserError(f"--host {host} {flag} {port} cannot be listened at ({reason}); choose another, or 0 for any")
