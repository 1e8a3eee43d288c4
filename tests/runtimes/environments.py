"""Environments of their own, each for a runtime that would not go together with ours, made once and kept in the cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.data.cache import cached

ROOT = Path(__file__).parents[2]
# The session has a cache of its own, which goes with it; environments, which take minutes to fetch, lie in the user's.
LASTING = os.environ.get("CONVOY_LASTING_CACHE") or str(Path.home() / ".cache" / "convoy")
INSTALL_SECONDS = 900
# What pip says when it found no index, and not when an index has no such version.
UNREACHABLE = ("from versions: none", "Connection", "Temporary failure in name resolution")


class Unreachable(Exception):
    """No index of packages can be reached from here."""


@dataclass(frozen=True)
class Environment:
    """Packages in exact versions.

    Args:
        name: of its folder, before a digest of the pins.
    """

    name: str
    pins: tuple[str, ...]

    def python(self) -> Path:
        """Its interpreter; the packages are installed the first time.

        Raises:
            Unreachable: they are not here yet, and cannot be fetched.
            RuntimeError: an index has no such version.
        """
        key = "\n".join((sys.version, *self.pins))
        return cached(f"runtimes/{self.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}", self._install) / "bin" / "python"

    def _install(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=INSTALL_SECONDS)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"]
        done = subprocess.run([*pip, *self.pins], capture_output=True, text=True, timeout=INSTALL_SECONDS)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            reason = f"pip cannot install {', '.join(self.pins)}: {errors[0] if errors else done.stderr.strip()[-300:]}"
            raise Unreachable(reason) if any(words in done.stderr for words in UNREACHABLE) else RuntimeError(reason)


@contextmanager
def lasting_cache() -> Iterator[None]:
    """What takes long to fetch outlives the session, whose own cache does not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVOY_CACHE", LASTING)
        yield


def installed(environment: Environment) -> Path:
    """Its interpreter, or a test that is skipped where it cannot be fetched."""
    with lasting_cache():
        try:
            return environment.python()
        except Unreachable as reason:
            pytest.skip(str(reason))


def pins(file: str) -> dict[str, str]:
    """`package==version` by package, as a file of the project's own requirements has them."""
    lines = [line.split("#")[0].strip() for line in (ROOT / file).read_text().splitlines()]
    return {line.split("==")[0]: line for line in lines if "==" in line}


SERVED = pins("requirements-serve.txt")
NUMPY = SERVED["numpy"]
MEDIAPIPE = Environment("mediapipe", ("mediapipe==1.2.2", NUMPY))
OPENVINO = Environment("openvino", ("openvino==2026.4.0", NUMPY))
OPENCV = Environment("opencv", ("opencv-python-headless==5.0.0.93", NUMPY))
MICRO = Environment("micro", ("tflite-micro==0.dev20261023182759", NUMPY))
# As on a machine that only serves: what runs a release, and no framework.
SERVING = Environment("serving", (*SERVED.values(), pins("requirements.txt")["ai-edge-litert"]))
