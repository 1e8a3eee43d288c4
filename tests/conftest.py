"""Every test runs offline, with a cache of its own and no prepared data sets."""

import atexit
import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SCRATCH = Path(tempfile.mkdtemp(prefix="convoy-session-"))
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)
(SCRATCH / "tfds").mkdir()
# Before anything imports Keras; processes that tests start inherit them.
os.environ |= {
    "CONVOY_LASTING_CACHE": os.environ.get("CONVOY_CACHE", ""),  # for environments that take minutes to install
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CONVOY_CACHE": str(SCRATCH / "cache"),
    "TFDS_DATA_DIR": str(SCRATCH / "tfds"),
}
# A run that fails has to fail again; and no time is asserted, which a busy machine would break.
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")
LOOPBACK = ("127.", "localhost", "::1", "::ffff:127.", "0.0.0.0")


@pytest.fixture(autouse=True)
def offline(request, monkeypatch):
    """Refuses every connection that leaves this machine, and the look-up of names before it."""
    if request.node.get_closest_marker("network"):
        return

    def guarded(connect):
        def only_here(self, address):
            if self.family != socket.AF_UNIX and not str(address[0]).startswith(LOOPBACK):
                raise OSError(f"a test wanted to connect to {address}")
            return connect(self, address)

        return only_here

    def found_here(host, *more, **named):
        name = host.decode() if isinstance(host, bytes) else host
        if name and not name.startswith((*LOOPBACK, socket.gethostname())):
            raise socket.gaierror(f"a test wanted to look up {name}")
        return look_up(host, *more, **named)

    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
    monkeypatch.setattr(socket, "getaddrinfo", found_here)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def run():
    from tests import small_run  # loads Keras, which most tests do without

    return small_run.small_run()


@pytest.fixture(scope="session")
def release():
    from tests import small_run

    return small_run.small_release()


@pytest.fixture(scope="session")
def detection_release():
    from tests import small_run

    return small_run.detection_release()


@pytest.fixture(scope="session")
def segmentation_release():
    from tests import small_run

    return small_run.segmentation_release()
