"""The service against descriptions of it: its own, and the Open Inference Protocol's as MLServer publishes it."""

import json
import os
import subprocess

import pytest

from tests.runtimes.environments import Environment
from tests.runtimes.environments import installed as install
from tests.serve.tiny import write_tiny

SCHEMATHESIS = Environment("schemathesis", ("schemathesis==4.32.5",))
PUBLISHED = Environment("open-inference", ("--no-deps", "mlserver==1.7.1"))
PACKAGE = "import importlib.util; print(importlib.util.find_spec('mlserver').submodule_search_locations[0])"
SECONDS = 600
EXAMPLES = 50
FAULTS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
          "response_schema_conformance")  # fmt: skip
METHODS = ("unsupported_method", "allow_header_conformance")
# Where we differ from what is published, and why.
DIFFERENCES = {
    # It has no status for a model that does not exist; ours is that of its metadata.
    "dataplane.json": {("Undocumented status code", "GET /v2/models/{model_name}/ready"),
                       ("Undocumented status code", "GET /v2/models/{model_name}/versions/{model_version}/ready")},
    # It has no status for a body that is not as it says.
    "model_repository.json": {("Undocumented status code", "POST /v2/repository/index")},
}  # fmt: skip


@pytest.fixture(scope="module")
def installed():
    """Both environments, or a skipped test."""
    return install(SCHEMATHESIS), install(PUBLISHED)


@pytest.fixture
def served(start, release, tmp_path):
    """A server of `release`, and of `tiny`, which may be unloaded."""
    return start(release.folder.parent, write_tiny(tmp_path / "exported"))


def check(installed, server, description, folder, checks):
    """Schemathesis' report of a description: (title, operation) of every failure, and how many requests it made."""
    python, _ = installed
    (folder / "description.json").write_text(json.dumps(description))
    run = "import schemathesis.cli as cli; cli.schemathesis()"  # the environment's own script was moved
    command = [python, "-c", run, "run", "description.json", "--url", server.url,
               "--phases", "examples,coverage,fuzzing", "--checks", ",".join(checks), "--max-examples", str(EXAMPLES),
               "--generation-deterministic", "--continue-on-failure", "--no-color", "--report", "json",
               "--report-json-path", "report.json"]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, env=os.environ | {"NO_PROXY": "*"}
    )
    report = json.loads((folder / "report.json").read_text())
    assert report["complete"], done.stdout
    assert not report["errors"], done.stdout
    assert report["operations"]["tested"] == report["operations"]["total"], done.stdout
    assert server.get("/v2/health/ready").status == 200
    assert not [line for line in server.lines() if line["level"] == "error"]
    print(done.stdout)
    failures = {(one["title"], operation) for one in report["failures"] for operation in one["operations"]}
    return failures, report["test_cases"]["generated"]


def named(value, names):
    """A copy of a description whose parameters in paths have the values of models that there are."""
    if isinstance(value, list):
        return [named(one, names) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("in") == "path" and (known := names.get(value["name"])):
        return value | {"schema": {"type": "string", "enum": known}}
    return {name: named(inside, names) for name, inside in value.items()}


@pytest.mark.slow
def test_the_service_is_as_its_own_document_says(installed, served, release, tmp_path):
    description = named(served.get("/openapi.json").json(), {"model": [release.name], "version": [str(release.version)]})
    unload = description["paths"]["/v2/repository/models/{model}/unload"]["post"]
    unload["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string", "enum": ["tiny"]}}]
    failures, count = check(installed, served, description, tmp_path, (*FAULTS, *METHODS))
    assert failures == set()
    assert count > 1000


@pytest.mark.slow
def test_no_route_that_asks_for_a_key_does_without(installed, start, release, tmp_path):
    server = start(release.folder.parent, environment={"CONVOY_API_KEY": "secret"})
    description = named(server.get("/openapi.json").json(), {"model": [release.name], "version": [str(release.version)]})
    failures, _ = check(installed, server, description, tmp_path, (*FAULTS, "ignored_auth"))
    assert failures == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", DIFFERENCES)
def test_the_protocols_published_description_holds_but_for_what_is_listed(installed, served, release, name, tmp_path):
    _, python = installed
    place = subprocess.run([python, "-c", PACKAGE], capture_output=True, text=True, check=True).stdout.strip()
    with open(f"{place}/rest/openapi/{name}", encoding="utf-8") as file:
        # Its `bytes` are no type of JSON Schema.
        description = json.loads(file.read().replace('"type": "bytes"', '"type": "string"'))
    description = named(description, {"model_name": [release.name], "model_version": [str(release.version)]})
    description["paths"].pop("/v2/repository/models/{model_name}/unload", None)  # the others need the model
    failures, count = check(installed, served, description, tmp_path, FAULTS)
    assert failures == DIFFERENCES[name]
    assert count > 100
