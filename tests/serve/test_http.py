"""The contract of every route, over real connections."""

import json
import re

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.serve.openapi import document
from app.serve.routes import routes
from tests.serve.test_infer import INFER, pictures, tensor
from tests.serve.tiny import NUMBERS, SHAPE, write_tiny

MODEL = "/v2/models/tiny"
METADATA = {
    "name": "tiny", "versions": ["2"], "platform": "onnxruntime_onnx",
    "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, *SHAPE]}],
    "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, NUMBERS]}],
}  # fmt: skip


def test_it_is_live_and_ready(tiny):
    for path in ("/v2/health/live", "/v2/health/ready", f"{MODEL}/ready", f"{MODEL}/versions/2/ready"):
        answer = tiny.get(path)
        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")
        assert "content-type" not in answer.headers


def test_it_says_what_it_is(tiny):
    for path in ("/v2", "/v2/"):
        answer = tiny.get(path)
        assert answer.json()["name"] == "convoy"
        assert {"binary_tensor_data", "classification", "model_repository"} <= set(answer.json()["extensions"])
        assert answer.headers["content-type"] == "application/json"


def test_a_model_tells_its_tensors(tiny):
    for path in (MODEL, f"{MODEL}/versions/2"):
        assert tiny.get(path).json() == METADATA


def test_a_model_tells_its_configuration_in_tritons_words(tiny):
    for path in (f"{MODEL}/config", f"{MODEL}/versions/2/config"):
        config = tiny.get(path).json()
        assert config["max_batch_size"] == 64
        assert config["input"] == [{"name": "image", "data_type": "TYPE_FP32", "dims": list(SHAPE)}]
        assert [(one["name"], one["dims"]) for one in config["output"]] == [("probabilities", [NUMBERS])]


def test_the_catalogue_lists_classes_and_sizes(tiny):
    [row] = tiny.get("/v1/models").json()["models"]
    assert row == {
        "name": "tiny", "version": "2", "versions": ["2"], "objective": "classification", "ready": True,
        "classes": [f"number {number}" for number in range(NUMBERS)], "input": {"height": 4, "width": 4, "channels": 3},
        "threshold": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/v2/models/nobody", "/v2/models/nobody/ready", "/v2/models/nobody/stats"])
def test_an_unknown_model_is_told_with_those_that_there_are(tiny, path):
    answer = tiny.get(path)
    assert (answer.status, answer.error) == (404, "there is no model 'nobody'; there is: tiny")


@pytest.mark.parametrize("path", ["/v3", "/v2/models", "/v2/models/tiny/", "/v2/health", "/openapiXjson", "/page/nothing.js"])
def test_an_unknown_path_is_told(tiny, path):
    answer = tiny.get(path)
    assert (answer.status, answer.error.startswith("there is no")) == (404, True)


def paths():
    return {(route.method, route.path.replace("/?", "")) for route in routes()}


def filled(path):
    return path.format(model="tiny", version="2", file="main.js")


@pytest.mark.parametrize(("method", "path"), sorted(paths()))
def test_other_methods_are_refused_with_those_that_there_are(tiny, method, path):
    own = {"GET": "GET, HEAD, OPTIONS", "POST": "OPTIONS, POST"}[method]
    for other in ("PUT", "DELETE", "PATCH", "TRACE", *({"GET", "POST", "HEAD"} - set(own.split(", ")))):
        answer = tiny.ask(other, filled(path))
        assert (answer.status, answer.headers["allow"]) == (405, own)
        assert other == "HEAD" or answer.error == f"{other} is not answered here; what is: {own}"
    answer = tiny.ask("OPTIONS", filled(path))
    assert (answer.status, answer.headers["allow"], answer.body) == (204, own, b"")
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("path", sorted(path for method, path in paths() if method == "GET"))
def test_head_is_get_without_its_body(tiny, path):
    head, get = tiny.ask("HEAD", filled(path)), tiny.get(filled(path))
    assert (head.status, head.body, get.status) == (200, b"", 200)
    assert set(head.headers) == set(get.headers)
    if "stats" not in path and path != "/metrics":  # which move
        assert head.headers["content-length"] == get.headers["content-length"]


def test_every_answer_has_the_id_of_its_request(tiny):
    assert tiny.get("/v2", x_request_id="abc-123").headers["x-request-id"] == "abc-123"
    assert tiny.get("/nothing", x_request_id="abc-123").headers["x-request-id"] == "abc-123"
    made = {tiny.get("/v2").headers["x-request-id"] for _ in range(20)}
    assert len(made) == 20
    for unfit in ("with space", "é", "x" * 129):  # would break lines of logs
        assert tiny.get("/v2", x_request_id=unfit).headers["x-request-id"] != unfit


def test_the_document_has_every_route_and_no_other(tiny):
    answer = tiny.get("/openapi.json")
    found = {(method.upper(), path) for path, item in answer.json()["paths"].items() for method in item}
    assert found == paths()
    assert answer.json() == json.loads(json.dumps(document()))


@pytest.mark.parametrize("secured", [True, False])
def test_the_document_holds_together(secured):
    found = document(secured)
    text = json.dumps(found)
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        value = found
        for step in reference.split("/"):
            value = value[step]
    operations = [operation for item in found["paths"].values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for path, item in found["paths"].items():
        for operation in item.values():
            assert operation["summary"].endswith(".")
            assert operation["tags"][0] in {tag["name"] for tag in found["tags"]}
            names = {one["$ref"].rsplit("/")[-1].lower() for one in operation["parameters"] if "$ref" in one}
            assert names == set(re.findall(r"\{(\w+)\}", path))
            asks = secured and operation.get("security") != []
            assert ("401" in operation["responses"]) == asks
    opened = {(method.upper(), path) for path, item in found["paths"].items() for method in item
              if item[method].get("security") == []}  # fmt: skip
    assert opened == {(route.method, route.path) for route in routes() if route.open}


def test_the_pages_come_with_their_policy(tiny):
    for path, kind in (
        ("/", "text/html"),
        ("/docs", "text/html"),
        ("/page/main.js", "text/javascript"),
        ("/page/style.css", "text/css"),
    ):
        answer = tiny.get(path)
        assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def counts(server, model="tiny"):
    families = text_string_to_metric_families(server.get("/metrics").body.decode())
    return {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name not in ("model", "version"))): sample.value
        for family in families for sample in family.samples if sample.labels.get("model", model) == model
    }  # fmt: skip


def test_statistics_and_metrics_agree_with_what_was_asked(start, tmp_path):
    server = start(write_tiny(tmp_path / "exported"))
    before = counts(server)
    assert (before["convoy_ready",], before["convoy_requests_total", "200"]) == (1, 0)
    for count in (1, 1, 3, 64):
        assert server.post(INFER, {"inputs": [tensor(pictures(count))]}).status == 200
    for body in (b"", b"{}", b"{}"):
        assert server.post(INFER, body).status == 400
    assert server.post(INFER, {"inputs": [tensor(pictures(65))]}).status == 413
    after = counts(server)
    assert (after["convoy_requests_total", "200"], after["convoy_pictures_total",]) == (4, 69)
    assert (after["convoy_requests_total", "400"], after["convoy_requests_total", "413"]) == (3, 1)
    assert after["convoy_request_seconds_count",] == after["convoy_request_seconds_bucket", "+Inf"] == 4
    assert after["convoy_batch_pictures_sum",] == 69
    for path in ("/v2/models/stats", f"{MODEL}/stats", f"{MODEL}/versions/1/stats"):
        [row] = server.get(path).json()["model_stats"]
        stats = row["inference_stats"]
        assert (row["name"], row["version"], row["inference_count"]) == ("tiny", "1", 69)
        assert row["execution_count"] == sum(one["compute_infer"]["count"] for one in row["batch_stats"]) == 4
        assert (stats["success"]["count"], stats["fail"]["count"], stats["queue"]["count"]) == (4, 4, 4)
        assert stats["success"]["ns"] > stats["compute_infer"]["ns"] > 0
        assert row["last_inference"] > 1.7e12


def test_metrics_come_in_the_format_that_is_asked_for(tiny):
    assert tiny.get("/metrics").headers["content-type"].startswith("text/plain")
    answer = tiny.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")
    assert tiny.get("/metrics", accept="text/plain; version=none").status == 200


def test_every_request_leaves_a_line_of_json(start, tmp_path):
    server = start(write_tiny(tmp_path / "exported"))
    answers = [server.post(INFER, {"inputs": [tensor(pictures())]}), server.get("/nothing", x_request_id="mine"),
               server.post(INFER, b"{")]  # fmt: skip
    assert server.stop() == 0
    lines = server.lines()
    assert all({"time", "level", "event"} <= set(line) for line in lines)
    requests = [line for line in lines if line["event"] == "request"]
    assert [line["request_id"] for line in requests] == [answer.headers["x-request-id"] for answer in answers]
    assert [line["status"] for line in requests] == [200, 404, 400]
    assert [line["level"] for line in requests] == ["info", "warning", "warning"]
    assert requests[0] | {"method": "POST", "path": INFER, "client": "127.0.0.1", "model": "tiny", "version": "1"} == requests[0]
    assert all(line["ms"] > 0 for line in requests)
    assert {"loaded", "ready", "draining"} <= {line["event"] for line in lines}


def test_a_quiet_server_logs_what_goes_wrong_alone(start, tmp_path):
    server = start(write_tiny(tmp_path / "exported"), "--quiet")
    server.get("/v2")
    server.get("/nothing")
    assert server.stop() == 0
    assert [line["status"] for line in server.lines()] == [404]


def test_a_key_guards_all_but_health_and_pages(start, tmp_path):
    server = start(write_tiny(tmp_path / "exported"), environment={"CONVOY_API_KEY": "secret"})
    for route in routes():
        path = filled(route.path.replace("/?", ""))
        for headers in ({}, {"authorization": "Bearer wrong"}, {"x-api-key": "wrong"}, {"authorization": "Basic secret"}):
            assert (server.ask(route.method, path, headers=headers).status != 401) == route.open
    for headers in ({"authorization": "Bearer secret"}, {"authorization": "bearer  secret"}, {"x-api-key": "secret"}):
        assert server.ask("GET", MODEL, headers=headers).status == 200
        assert server.ask("POST", INFER, {"inputs": [tensor(pictures())]}, headers).status == 200
    assert "secret" not in server.log_file.read_text()
    assert server.get("/openapi.json").json()["components"]["securitySchemes"]


def test_pages_of_named_origins_may_call(start, tmp_path):
    folder = write_tiny(tmp_path / "exported")
    server = start(folder, "--cors", "https://one.example", "https://two.example")
    for origin, allowed in (("https://two.example", "https://two.example"), ("https://three.example", None)):
        answer = server.get("/v2", origin=origin)
        assert answer.headers.get("access-control-allow-origin") == allowed
        assert answer.headers["vary"] == "origin"
    asked = {
        "origin": "https://one.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-api-key",
    }
    answer = server.ask("OPTIONS", INFER, headers=asked)
    assert answer.status == 204
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert answer.headers["access-control-allow-headers"] == "x-api-key"
    assert start(folder, "--cors", "*").get("/v2", origin="https://x.example").headers["access-control-allow-origin"] == "*"


def test_without_the_flag_no_page_of_others_may_call(tiny):
    assert "access-control-allow-origin" not in tiny.get("/v2", origin="https://one.example").headers


def test_all_versions_answer_if_asked_to(start, tmp_path):
    for version in (1, 2, 10):
        write_tiny(tmp_path / "exported", version=version)
    server = start(tmp_path / "exported", "--all-versions")
    assert server.get(MODEL).json()["versions"] == ["1", "2", "10"]
    images = pictures()
    for path, version in ((INFER, 10), *((f"{MODEL}/versions/{version}/infer", version) for version in (1, 2, 10))):
        answer = server.post(path, {"inputs": [tensor(images)]}).json()
        assert answer["model_version"] == str(version)
        assert answer["outputs"][0]["data"][-1] == np.float32(images.ravel()[NUMBERS - 1] + version)
    assert [row["version"] for row in server.get("/v2/models/stats").json()["model_stats"]] == ["1", "2", "10"]


def test_the_index_lists_what_answers(start, tmp_path):
    for name in ("one", "two"):
        write_tiny(tmp_path / "exported", name)
    server = start(tmp_path / "exported")
    both = [{"name": name, "version": "1", "state": "READY", "reason": ""} for name in ("one", "two")]
    for body in (None, {}, {"ready": False}, {"ready": True}):
        assert server.post("/v2/repository/index", body).json() == both
    assert server.post("/v2/repository/models/two/unload").json() == {}
    gone = {"name": "two", "version": "", "state": "UNAVAILABLE", "reason": "unloaded"}
    assert server.post("/v2/repository/index", {}).json() == [both[0], gone]
    assert server.post("/v2/repository/index", {"ready": True}).json() == both[:1]


def test_a_model_is_unloaded_and_loaded_again(start, tmp_path):
    server = start(write_tiny(tmp_path / "exported"))
    assert server.post("/v2/repository/models/tiny/unload", {}).status == 200
    for answer in (server.get(MODEL), server.get(f"{MODEL}/ready"), server.post(INFER, {"inputs": [tensor(pictures())]})):
        assert (answer.status, answer.error, answer.headers["retry-after"]) == (503, "'tiny' is not loaded", "1")
    assert server.post("/v2/repository/models/tiny/load", {}).status == 200
    assert server.post(INFER, {"inputs": [tensor(pictures())]}).status == 200
    answer = server.post("/v2/repository/models/nobody/load")
    assert (answer.status, answer.error) == (400, "there is no release 'nobody' in the folders that are served")
    assert server.post("/v2/repository/models/nobody/unload").status == 404
    answer = server.post("/v2/repository/models/tiny/load", {"parameters": {"config": "{}"}})
    assert (answer.status, "without parameters (config)" in answer.error) == (400, True)
