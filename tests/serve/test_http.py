"""The contract of every route, over a real connection."""


def test_it_is_live_and_ready(server):
    for path in ("/v2/health/live", "/v2/health/ready"):
        answer = server.get(path)
        assert (answer.status, answer.body) == (200, b"")
