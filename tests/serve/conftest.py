"""Servers for the tests of the service."""

from collections.abc import Callable, Iterator

import pytest

from tests.serve.started import Server
from tests.serve.tiny import write_tiny


@pytest.fixture(scope="session")
def server(release, tmp_path_factory) -> Iterator[Server]:
    """One that serves `release` (LeNet-5 on digits); shared: ask it, change nothing that stays."""
    started = Server(str(release.folder.parent), log=tmp_path_factory.mktemp("server") / "log")
    yield started
    assert started.stop() == 0


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Iterator[Server]:
    """One that serves version 2 of the network `tiny`, which gives back what it is shown; shared, as `server` is."""
    folder = tmp_path_factory.mktemp("tiny")
    for version in (1, 2):
        write_tiny(folder / "exported", version=version)
    started = Server(str(folder / "exported" / "tiny"), log=folder / "log")
    yield started
    assert started.stop() == 0


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Server]]:
    """start(RELEASE..., flags..., environment={}) gives a server of the test's own."""
    servers: list[Server] = []

    def started(*arguments: object, environment: dict[str, str] | None = None) -> Server:
        log = tmp_path / f"log-{len(servers)}"
        servers.append(Server(*map(str, arguments), log=log, environment=environment))
        return servers[-1]

    yield started
    for one in servers:
        one.stop()
