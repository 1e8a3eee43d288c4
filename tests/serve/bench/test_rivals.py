"""What our service is compared with answers the same questions rightly."""

import pytest

from tests.runtimes.environments import LASTING, installed
from tests.serve.bench.material import LENET, find_network
from tests.serve.bench.plan import ASKED
from tests.serve.bench.servers import RIVALS, Server

KINDS = list(dict.fromkeys(kind for kind, _ in ASKED[LENET]))


@pytest.fixture(autouse=True)
def lasting_cache(monkeypatch):
    monkeypatch.setenv("CONVOY_CACHE", LASTING)


@pytest.fixture(scope="session")
def network(release):
    installed(RIVALS)
    return find_network(LENET, str(release.folder), print)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=[f"{kind.title} {'+'.join(kind.paths)}" for kind in KINDS])
def test_every_server_answers_as_onnx_runtime_does(kind, network, tmp_path):
    asked = [case for case in network.checks if case.form in kind.paths]
    assert {case.form for case in asked} == set(kind.paths)
    assert len({case.question.expected.argmax() for case in asked}) > 3  # a server that always says the same would be found
    server = Server(kind, network.release, tmp_path / "log")
    try:
        for case in asked:
            server.check(case.form, case.question)
    finally:
        server.tree.stop()
