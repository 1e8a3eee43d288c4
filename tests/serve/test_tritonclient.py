"""NVIDIA's own clients, unchanged and in an environment of their own, get from the service what they get from Triton."""

import json
import re

import numpy as np
import onnxruntime
import pytest

from app.serve.grpc import NAME
from app.serve.messages import ENUMS, MESSAGES, PACKAGE, inference
from app.serve.rpcs import RPCS
from tests.runtimes.environments import NUMPY, ROOT, Environment, installed, lasting_cache
from tests.runtimes.prove import finish
from tests.serve.inside.fields import fields
from tests.serve.started import Server
from tests.serve.tiny import write_tiny

TRITON = Environment("tritonclient", ("tritonclient[all]==2.73.0", NUMPY))
INSIDE = ROOT / "tests" / "serve" / "inside"
KINDS = ("http", "http.aio", "grpc", "grpc.aio")
LONG = 1000  # multiplications; a tenth of a second and more
STATUS = {"404": "NOT_FOUND", "400": "INVALID_ARGUMENT", "413": "RESOURCE_EXHAUSTED", "401": "UNAUTHENTICATED",
          "503": "UNAVAILABLE", "504": "DEADLINE_EXCEEDED"}  # fmt: skip
# Of which the service fills a part.
SUBSETS = {"ModelConfig", "ModelInput", "ModelOutput", "ModelInstanceGroup", "ModelDynamicBatching", "ModelStatistics"}

pytestmark = pytest.mark.slow


class Told:
    """What a client got: arrays, and everything else by its case."""

    def __init__(self, kind, file):
        self.http = kind.startswith("http")
        self.asynchronous = kind.endswith("aio")
        with np.load(file) as found:
            self.note = json.loads(str(found["note"]))
            self.arrays = {name: found[name] for name in found.files if name != "note"}

    def rows(self, case, name):
        """A list of objects, which gRPC has in a field and HTTP by itself."""
        return self.note[case] if isinstance(self.note[case], list) else self.note[case][name]

    def error(self, case):
        """Status as HTTP has it, and sentence."""
        found = self.note[case]
        status = found["status"]
        if not self.http:
            [status] = [number for number, name in STATUS.items() if f"StatusCode.{name}" == status]
        return int(status), found["error"]


@pytest.fixture(scope="module", autouse=True)
def environment():
    with lasting_cache():
        installed(TRITON)
        yield


@pytest.fixture(scope="module")
def pictures(run):
    from app.images import with_channels

    return with_channels(run.arrays("heldout")["images"][:6], 3)


@pytest.fixture(scope="module")
def answers(release, pictures):
    """ONNX Runtime's own."""
    session = onnxruntime.InferenceSession(release.folder / "model.onnx")
    return session.run(["probabilities"], {"image": pictures.astype(np.float32)})[0]


@pytest.fixture(scope="module")
def server(release, tmp_path_factory):
    folder = tmp_path_factory.mktemp("triton")
    slow = write_tiny(folder, "slow", work=LONG)
    log = folder / "log"
    started = Server(str(release.folder.parent), str(slow), log=log, environment={"CONVOY_API_KEY": "secret"})
    yield started
    assert started.stop() == 0
    assert not [line for line in started.lines() if line["level"] == "error"]


@pytest.fixture(scope="module", params=KINDS)
def told(request, environment, server, release, pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    np.savez(folder / "pictures.npz", pictures=pictures)
    address = f"{server.host}:{server.port}" if request.param.startswith("http") else server.grpc
    files = [str(folder / "pictures.npz"), str(folder / "answers.npz")]
    finish(TRITON, [str(INSIDE / "ask.py"), request.param, address, release.name, "slow", *files], request.param)
    return Told(request.param, folder / "answers.npz")


def test_health_is_told(told):
    ready = {case: found for case, found in told.note.items() if case.startswith("ready ")}
    assert told.note["live"] is told.note["ready"] is True
    assert ready == {"ready model": True, "ready model 1": True, "ready model 9": False, "ready nobody": False}


def test_metadata_and_configuration_are_told(told, release):
    assert told.note["server"]["name"] == "convoy"
    found = told.note["metadata"]
    assert (found["name"], found["versions"], found["platform"]) == (release.name, ["1"], "onnxruntime_onnx")
    [image], [output] = found["inputs"], found["outputs"]
    assert (image["name"], image["datatype"], [int(side) for side in image["shape"]]) == ("image", "FP32", [-1, 28, 28, 3])
    assert (output["name"], output["datatype"], [int(side) for side in output["shape"]]) == ("probabilities", "FP32", [-1, 10])
    config = told.note["config"] if told.http else told.note["config"]["config"]
    assert (config["name"], config["backend"], config["max_batch_size"]) == (release.name, "onnxruntime", 64)
    assert (config["input"][0]["data_type"], [int(side) for side in config["input"][0]["dims"]]) == ("TYPE_FP32", [28, 28, 3])
    assert config["instance_group"][0]["kind"] == "KIND_CPU"


def test_every_way_of_giving_tensors_gives_the_numbers_of_onnx_runtime(told, answers):
    same = [case for case in told.note if case.startswith("same ")]
    assert len(same) == (2 * 3 * 3 * 3 if told.http else 2 * 3) + 4
    for case in (*same, "id", "patient"):
        assert case in told.arrays, (case, told.note[case])
        assert told.arrays[case].dtype == np.float32
        assert np.abs(told.arrays[case] - answers).max() < 1e-5, case
    assert told.arrays["many"].shape == (64, 10)
    assert np.abs(told.arrays["many"] - np.concatenate([answers] * 11)[:64]).max() < 1e-5


def test_several_answers_are_waited_for_together(told, answers):
    if told.asynchronous:
        assert "later" not in told.arrays
    else:
        assert np.abs(told.arrays["later"] - np.repeat(answers[:1], 4, axis=0)).max() < 1e-5


def test_an_answer_says_which_version_it_is_of_and_repeats_the_id(told, release):
    assert told.note["id"] == {"model_name": release.name, "model_version": "1", "id": "mine-7"}
    assert not told.note["patient"]["id"]


def test_classes_come_as_strings(told, answers, release):
    order = np.argsort(-answers, axis=1, kind="stable")[:, :3]
    for case in ("classes True", "classes False"):
        for row, best, texts in zip(answers, order, told.note[case], strict=True):
            probabilities, numbers, names = zip(*(text.split(":") for text in texts), strict=True)
            assert [int(number) for number in numbers] == list(best)
            assert names == tuple(release.classes[number] for number in best)
            assert np.abs(np.array(probabilities, float) - row[best]).max() < 1e-5


@pytest.mark.parametrize(
    ("case", "status", "sentence"),
    [
        ("words True", 400, r"'BYTES' is not taken; \S+ takes 'image', FP32 or UINT8, \[-1, 28, 28, 3\]"),
        ("words False", 400, r"'BYTES' is not taken; \S+ takes 'image', FP32 or UINT8, \[-1, 28, 28, 3\]"),
        ("shape", 400, r"'image' has the shape \[6, 28, 28, 1\]; .*"),
        ("type", 400, r"'FP64' is not taken; .*"),
        ("name", 400, r"no input 'picture'; .*"),
        ("two inputs", 400, r".* takes 'image'.*"),
        ("output", 400, r"no output 'boxes'; \S+ gives probabilities"),
        ("version", 404, r"'\S+' has no version 9; there is: 1"),
        ("no model", 404, r"there is no model 'nobody'; there is: .*, slow"),
        ("no metadata", 404, r"there is no model 'nobody'; there is: .*, slow"),
        ("too many", 413, r"65 pictures in one request; \S+ takes 64"),
        ("no number", 400, r"there are values that are infinite or no numbers \(NaN\)"),
        ("impatient", 504, r"slow had no answer within 0.001 seconds"),
        ("no key", 401, r"the key is missing or wrong; .*"),
        ("infer unloaded", 503, r"'\S+' is not loaded"),
        ("load nobody", 400, r"there is no release 'nobody' in the folders that are served"),
        ("load otherwise", 400, r"a model is loaded as its release has it; without parameters \(config\)"),
        ("unload nobody", 404, r"there is no model 'nobody'; there is: .*"),
    ],
)
def test_an_error_is_our_sentence_with_its_status(told, case, status, sentence):
    found = told.error(case)
    assert found[0] == status
    assert re.fullmatch(sentence, found[1]), found[1]


def test_a_client_that_waits_no_longer_is_told_so(told):
    if told.http:
        assert "left" not in told.note  # it has no such thing
    else:
        assert told.error("left")[0] == 504


def test_a_model_is_unloaded_and_loaded(told, release):
    assert {(row["name"], row["state"]) for row in told.rows("index", "models")} == {(release.name, "READY"), ("slow", "READY")}
    assert told.note["unload"] is told.note["load"] is None
    assert (told.note["unloaded"], told.note["loaded"]) == (False, True)
    states = {row["name"]: (row["state"], row.get("reason", "")) for row in told.rows("unloaded index", "models")}
    assert states == {release.name: ("UNAVAILABLE", "unloaded"), "slow": ("READY", "")}


def test_statistics_count_what_was_asked_and_go_on_when_a_model_is_loaded_again(told, release):
    [before], [found] = (told.rows(case, "model_stats") for case in ("statistics before", "statistics"))
    assert (found["name"], found["version"]) == (release.name, "1")
    assert int(before["inference_count"]) > 6
    counted = [int(found[name]) - int(before[name]) for name in ("inference_count", "execution_count")]
    assert counted == [6, 1]
    success, earlier = found["inference_stats"]["success"], before["inference_stats"]["success"]
    assert int(success["count"]) - int(earlier["count"]) == 1
    assert int(success["ns"]) > int(earlier["ns"])
    assert {row["name"] for row in told.rows("all statistics", "model_stats")} == {release.name, "slow"}


@pytest.fixture(scope="module")
def protocol(environment):
    return json.loads(finish(TRITON, [str(INSIDE / "list_messages.py")], "list_messages.py"))


def test_every_field_has_the_number_and_type_that_the_client_has(protocol):
    for name in MESSAGES:
        outer, *inner = name.split(".")
        message = getattr(inference, outer).DESCRIPTOR
        for part in inner:
            message = message.nested_types_by_name[part]
        ours, theirs = fields(message), protocol["messages"][f"{PACKAGE}.{name}"]
        assert ours == {field: theirs[field] for field in ours}, name
        assert name in SUBSETS or ours.keys() == theirs.keys(), name


def test_every_enumeration_has_the_clients_numbers(protocol):
    for name, labels in ENUMS.items():
        assert {label: number for number, label in enumerate(labels.split())} == protocol["enums"][f"{PACKAGE}.{name}"]


def test_every_call_is_one_of_the_clients(protocol):
    assert protocol["service"] == NAME
    for name in RPCS:
        assert protocol["rpcs"][name] == [f"{name}Request", f"{name}Response"]
