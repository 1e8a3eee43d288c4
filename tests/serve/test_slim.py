"""What serving needs: no framework, and nothing that requirements-serve.txt does not name."""

import json
import sys
from importlib.metadata import packages_distributions

from tests.runtimes.environments import SERVED
from tests.serve.tiny import write_tiny
from tests.slim import run_without
from tests.test_architecture import FILES, closure, imports, tops

TRAINING = ("tensorflow", "keras", "jax", "sklearn", "matplotlib", "tensorflow_datasets", "tf2onnx", "onnx", "ai_edge_litert",
"h5py", "tensorboard",
            "scipy", "pandas", "flatbuffers", "hypothesis", "pytest")  # fmt: skip
SERVE = """
import json, os, signal, sys, threading, urllib.request
from app.serve.peers import Peers
from app.serve.server import bound, run
from app.serve.settings import Settings

listener = bound("127.0.0.1", 0)
base = f"http://127.0.0.1:{{listener.getsockname()[1]}}"
body = json.dumps({{"instances": [[[[7] * 3] * 4] * 4]}}).encode()

def ask():
    try:
        for path, data in (("/openapi.json", None), ("/metrics", None), ("/docs", None), ("/v1/models/tiny:predict", body)):
            request = urllib.request.Request(base + path, data, {{"content-type": "application/json"}})
            with urllib.request.urlopen(request, timeout=10) as answer:
                print(answer.status)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)

def say(line):
    if line.startswith("ready"):
        threading.Thread(target=ask).start()

run(Settings(({folder!r},), grpc_port=0, drain_seconds=0, quiet=True), listener, Peers(), say)
print(json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
"""


def test_a_release_is_served_where_there_is_no_framework(tmp_path):
    folder = str(write_tiny(tmp_path / "exported"))
    *statuses, modules = run_without(TRAINING, SERVE.format(folder=folder)).splitlines()
    assert statuses == ["200"] * 4
    assert not set(json.loads(modules)) & set(TRAINING)


def test_the_list_of_packages_is_what_serving_imports():
    ours = {name for name in FILES if name.startswith("app.serve") or name == "app.commands.serving"}
    needed = set().union(*(closure(name) | imports(name) for name in ours))
    needed |= set().union(*(imports(name) for name in needed if name in FILES and name.startswith("app.runners.onnx")))
    outside = tops(needed) - sys.stdlib_module_names - {"app", "models"}
    owners = packages_distributions()
    found = {owners[name][0].lower().replace("_", "-") for name in outside if name != "google"}
    found |= {"protobuf"} & set().union(*(owners[name] for name in outside & {"google"}))  # a name that several share
    assert found == set(SERVED)
