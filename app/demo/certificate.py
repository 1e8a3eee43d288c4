"""A certificate of this machine's own, made by the openssl program: phones give the camera to https pages alone."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from app.data.cache import cached
from app.errors import UserError

DAYS = 820  # phones refuse certificates for more than 825
SETTINGS = """\
[req]
prompt = no
distinguished_name = who
x509_extensions = what
[who]
CN = Convoy demo
[what]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = {names}
"""
ELSEWHERE = ("192.0.2.1", 9)  # an address for documentation: nothing is sent, the system tells only which way it would go


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as files."""

    file: Path
    key: Path


def network_address() -> str:
    """This machine's address in its network; empty where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)
            address = str(probe.getsockname()[0])
        except OSError:
            return ""
    return "" if ipaddress.ip_address(address).is_loopback else address


def own_certificate(hosts: tuple[str, ...]) -> Certificate:
    """A certificate for these names and addresses, and for localhost; the same one for a year.

    Raises:
        UserError: openssl is missing or failed.
    """
    names = sorted({_alternative(host) for host in (*hosts, "localhost", "127.0.0.1")})
    key = hashlib.sha256(" ".join(names).encode()).hexdigest()[:16]
    folder = cached(f"demo/certificate-{datetime.date.today().year}-{key}", lambda folder: _make(folder, names))
    return Certificate(folder / "certificate.pem", folder / "key.pem")


def _alternative(host: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        return f"DNS:{host}"


def _make(folder: Path, names: list[str]) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        raise UserError("openssl is missing, which makes the certificate for --https; install it, or leave --https out")
    (folder / "settings.cnf").write_text(SETTINGS.format(names=",".join(names)), encoding="utf-8")
    files = ("-config", "settings.cnf", "-keyout", "key.pem", "-out", "certificate.pem")
    kind = ("-newkey", "rsa:2048", "-nodes", "-sha256", "-days", str(DAYS))
    (folder / "key.pem").touch(mode=0o600)
    done = subprocess.run([openssl, "req", "-x509", *kind, *files], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"openssl cannot make a certificate ({reason}); leave --https out")
