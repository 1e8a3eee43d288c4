"""Paths that lead nowhere, methods that are not answered, and wishes that a repository does not grant."""

from collections.abc import Iterator

from tests.serve.corpus.case import Case
from tests.serve.corpus.texts import BODY
from tests.serve.test_infer import INFER
from tests.serve.wire import request


def repository() -> Iterator[Case]:
    for name, path, status in (
        ("index", "/v2/repository/index", 400),
        ("load", "/v2/repository/models/tiny/load", 400),
        ("unload", "/v2/repository/models/tiny/unload", 400),
    ):
        for body in (b"[]", b"7", b"{", b'"x"', b"null", b'{"parameters": 7}', b'{"parameters": [1]}', b"\xff", b'{"a": NaN}'):
            yield Case(f"{name} {body!r}", request("POST", path, body), status)
    for value in ("1", '"yes"', "[]", "{}", "null"):
        yield Case(f"index ready={value}", request("POST", "/v2/repository/index", f'{{"ready": {value}}}'.encode()), 400)
    for value in ('{"config": "{}"}', '{"file:1/model.onnx": "AAAA"}'):
        yield Case(
            f"load {value}", request("POST", "/v2/repository/models/tiny/load", f'{{"parameters": {value}}}'.encode()), 400
        )
    for name in ("nobody", "..", "%2e%2e", "..%5c..", "tiny%00", "TINY", "tiny%20", "%2Fetc%2Fpasswd", "*", "a" * 500):
        yield Case(f"load {name[:20]}", request("POST", f"/v2/repository/models/{name}/load"), 404 if "%2F" in name else 400)
        yield Case(f"unload {name[:20]}", request("POST", f"/v2/repository/models/{name}/unload"), 404)


def places() -> Iterator[Case]:
    for path in (
        "/v3", "/V2", "/v2/models/", "/v2//health/live", "//v2", "/v2/../v2", "/v2/./health/live", "/v2/models/tiny/../tiny",
        "/v2/models/%",
        "/page/../routes.py", "/page/..%2froutes.py", "/page/%2e%2e%2froutes.py", "/page/..%5croutes.py", "/page/....//routes.py",
        "/page/",
        "/page/%00", "/page/main.js%00", "/page/main.js%00.html", f"/page/{'a' * 300}.html", "/page/.html",
        "/page/%2f%2fetc%2fpasswd", "/page/.",
        "/page/%ff.js", "/page/%C0%AE.js", "/page/MAIN.JS", "/page/CON", "/page/main.js.", "/docs/", "/openapiXjson", "/metrics/",
        "/.git/config",
        "/etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/v2/models/tiny%0d%0aX-Evil:%201", "/v2/models/tiny;x=1",
        "/v2/models/tiny/versions/", "/v2/models/tiny/versions/0", "/v2/models/tiny/versions/1", "/v2/models/tiny/versions/-2",
        "/v2/models/tiny/versions/2.0", "/v2/models/tiny/versions/x", "/v2/models/tiny/versions/2x",
        "/v2/models/tiny/versions/%00",
        f"/v2/models/tiny/versions/{'9' * 900}", "/v2/models/tiny/versions/1e0", "/v2/models/nobody", "/v2/models/%F0%9F%98%80",
        "/v1/models/tiny", "/v1/models/tiny:classify", "/v1/models/:predict", "/v1/models/tiny/versions/2", "/favicon.ico", "*",
    ):  # fmt: skip
        yield Case(path[:60], request("GET", path), 404)
    for path in (
        f"/{'a' * 2000}",
        f"/v2/models/{'a' * 5000}",
        f"/v2/models/tiny/versions/{'9' * 5000}",
        "/" + "%61" * 1500,
        "/" * 3000,
    ):
        yield Case(f"{path[:30]}, {len(path)} long", request("GET", path), 414)
    for path in ("/v2/models/nobody/infer", "/v1/models/nobody:predict", "/v2/models/tiny/versions/3/infer"):
        yield Case(f"POST {path}", request("POST", path, BODY), 404)


def methods() -> Iterator[Case]:
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "POST", "PROPFIND", "LOCK", "PURGE", "LINK", "M-SEARCH", "QUERY"):
        yield Case(f"{method} of a GET", request(method, "/v2"), 405)
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        yield Case(f"{method} of a POST", request(method, INFER), 405)
    for method in ("FROB", "get", "Get", "G ET", "", " GET", "GET\t", "A" * 1000, "G\0T", "GÉT", "<GET>"):
        yield Case(f"method {method[:10]!r}", request(method, "/v2"), 400)
