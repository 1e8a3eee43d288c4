"""What gRPC answers, over a real channel, and that it is the same service as HTTP's."""

import asyncio
import json
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pool

from app.errors import UserError
from app.runners.onnx import OnnxRunner
from app.serve import grpc as server_module
from app.serve import served
from app.serve.grpc import NAME, GrpcServer
from app.serve.log import Log
from app.serve.messages import inference
from app.serve.peers import Peers
from app.serve.service import Service
from app.serve.settings import Limits, Settings
from app.serve.tuning import Tuning
from tests.serve.clients import Process, until
from tests.serve.tiny import NUMBERS, SHAPE, expected, write_tiny

IMAGES = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(np.float32)
ANSWER_SECONDS = 30


class Running:
    """A service and its gRPC server in a thread, and a client of them."""

    def __init__(self, *sources, **settings):
        self._lines = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.service, self.server, address = self.do(self._start(Settings(tuple(map(str, sources)), **settings)))
        self.channel = grpc.insecure_channel(address, [("grpc.max_send_message_length", -1)])

    async def _start(self, settings):
        service = Service(settings, Log(write=self._lines.append), Peers())
        await service.open()
        server = GrpcServer(service)
        return service, server, await server.start("127.0.0.1", 0)

    def do(self, coroutine):
        """What a coroutine gives in the service's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(ANSWER_SECONDS)

    def stop(self):
        self.channel.close()
        self.do(self.server.stop(ANSWER_SECONDS))
        self._loop.call_soon_threadsafe(self.service.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_SECONDS)
        self._loop.close()

    def rpc(self, name):
        return self.channel.unary_unary(
            f"/{NAME}/{name}",
            request_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
            response_deserializer=getattr(inference, f"{name}Response", inference.ServerLiveResponse).FromString,
        )

    def ask(self, rpc, *, metadata=None, seconds=ANSWER_SECONDS, compression=None, **fields):
        message = getattr(inference, f"{rpc}Request")(**fields)
        return self.rpc(rpc)(message, metadata=metadata, timeout=seconds, compression=compression)

    def later(self, given):
        """A call under way."""
        return self.rpc("ModelInfer").future(inference.ModelInferRequest(**given))

    def infer(self, given=None, **more):
        return self.ask("ModelInfer", **(wish() if given is None else given), **more)

    @property
    def lines(self):
        """What was logged until now, requests' lines included."""
        self._loop.call_soon_threadsafe(self.service.log.flush)
        self.do(asyncio.sleep(0))
        return [json.loads(line) for block in self._lines for line in block.splitlines()]

    @property
    def statistics(self):
        return self.service.find("tiny").statistics


def wish(images=IMAGES, datatype="FP32", raw=True, **more):
    """The fields of a request for `tiny`."""
    tensor = {"name": "image", "datatype": datatype, "shape": images.shape}
    found = {"model_name": "tiny", "inputs": [tensor]}
    kind = {"FP32": "<f4", "UINT8": "u1"}[datatype]
    if raw:
        found["raw_input_contents"] = [images.astype(kind).tobytes()]
    else:
        field = {"FP32": "fp32_contents", "UINT8": "uint_contents"}[datatype]
        tensor["contents"] = {field: images.astype(kind).ravel().tolist()}
    return found | more


def probabilities(answer):
    [output], [raw] = answer.outputs, answer.raw_output_contents
    assert (output.name, output.datatype) == ("probabilities", "FP32")
    return np.frombuffer(raw, "<f4").reshape(output.shape)


def refusal(call, *arguments, **named):
    """The status and the sentence with which a call ends."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **named)
    return caught.value.code().name, caught.value.details()


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    root = tmp_path_factory.mktemp("releases")
    for version in (1, 2):
        write_tiny(root, version=version)
    return root


@pytest.fixture(scope="module")
def running(releases):
    found = Running(releases, all_versions=True)
    yield found
    assert found.service.held_bytes == 0
    found.stop()


@pytest.fixture
def serve(releases):
    """serve(settings...) gives a service of the test's own, of version 1 alone."""
    started = []

    def start(**settings):
        started.append(Running(releases / "tiny" / "1", **settings))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def gate(monkeypatch):
    """While it is not set, the network does not answer; one batch of one request runs at a time."""
    gate, run = threading.Event(), OnnxRunner.run
    gate.set()
    gate.begun, gate.batches = 0, []

    def gated(self, images):
        gate.begun += 1
        assert gate.wait(ANSWER_SECONDS)
        gate.batches.append(images)
        return run(self, images)

    monkeypatch.setattr(OnnxRunner, "run", gated)
    monkeypatch.setattr(served, "tune", lambda run, shape: Tuning(1, False, 0.001))
    yield gate
    gate.set()


def held_up(running, gate):
    """A call with the first picture, which the one slot of the service is at, and not finished with."""
    gate.clear()
    begun = gate.begun
    call = running.later(wish(IMAGES[:1]))
    until(lambda: gate.begun > begun)
    gate.batches.clear()
    return call


def test_the_server_tells_that_it_lives_and_is_ready_and_what_it_is(running):
    assert running.ask("ServerLive").live
    assert running.ask("ServerReady").ready
    told = running.ask("ServerMetadata")
    assert told.name == "convoy"
    assert {"binary_tensor_data", "classification", "model_repository"} <= set(told.extensions)


def test_readiness_ends_before_the_service_does(serve):
    running = serve()
    running.service.draining = True
    assert not running.ask("ServerReady").ready
    assert np.array_equal(probabilities(running.infer()), expected(IMAGES)), "who comes late is still answered"


def test_a_model_is_ready_if_it_is_served(running):
    assert running.ask("ModelReady", name="tiny").ready
    assert running.ask("ModelReady", name="tiny", version="1").ready
    assert not running.ask("ModelReady", name="tiny", version="7").ready
    assert not running.ask("ModelReady", name="nobody").ready


def test_metadata_has_names_types_and_shapes(running):
    told = running.ask("ModelMetadata", name="tiny")
    assert (told.name, list(told.versions), told.platform) == ("tiny", ["1", "2"], "onnxruntime_onnx")
    [image], [output] = told.inputs, told.outputs
    assert (image.name, image.datatype, list(image.shape)) == ("image", "FP32", [-1, *SHAPE])
    assert (output.name, output.datatype, list(output.shape)) == ("probabilities", "FP32", [-1, NUMBERS])


def test_the_configuration_has_the_same_without_the_batch(running):
    told = running.ask("ModelConfig", name="tiny", version="2").config
    assert (told.name, told.platform, told.backend, told.max_batch_size) == ("tiny", "onnxruntime_onnx", "onnxruntime", 64)
    [image], [output], [group] = told.input, told.output, told.instance_group
    assert (image.name, image.data_type, list(image.dims)) == ("image", 11, list(SHAPE))
    assert (output.data_type, list(output.dims), output.label_filename) == (11, [NUMBERS], "labels.txt")
    assert (group.kind, group.count) == (2, running.service.settings.slots)
    assert told.WhichOneof("scheduling_choice") == "dynamic_batching"


def test_statistics_count_pictures_and_refusals(serve):
    running = serve()
    running.infer()
    running.infer(wish(IMAGES[:1]))
    refusal(running.infer, wish(raw_input_contents=[b"short"]))
    [told] = running.ask("ModelStatistics", name="tiny").model_stats
    assert (told.name, told.version, told.inference_count) == ("tiny", "1", 4)
    assert (told.inference_stats.success.count, told.inference_stats.fail.count) == (2, 1)
    assert told.inference_stats.success.ns > told.inference_stats.compute_infer.ns > 0
    assert told.last_inference > 1.7e12
    assert {(batch.batch_size, batch.compute_infer.count) for batch in told.batch_stats} == {(3, 1), (1, 1)}
    assert (
        running.ask("ModelStatistics").model_stats[0] == running.ask("ModelStatistics", name="tiny", version="1").model_stats[0]
    )
    assert refusal(running.ask, "ModelStatistics", name="nobody")[0] == "NOT_FOUND"


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "contents"])
@pytest.mark.parametrize("datatype", ["FP32", "UINT8"])
@pytest.mark.parametrize("version", ["", "1", "2"])
def test_tensors_in_give_tensors_out(running, datatype, raw, version):
    answer = running.infer(wish(datatype=datatype, raw=raw, model_version=version, id="mine"))
    assert (answer.model_name, answer.model_version, answer.id) == ("tiny", version or "2", "mine")
    assert np.array_equal(probabilities(answer), expected(IMAGES, int(version or 2)))


def test_outputs_may_be_named_and_an_id_left_out(running):
    answer = running.infer(wish(outputs=[{"name": "probabilities"}]))
    assert (answer.id, probabilities(answer).shape) == ("", (3, NUMBERS))


def test_classes_come_as_strings(running):
    images = np.zeros((2, *SHAPE), np.float32)
    images[0].reshape(-1)[[3, 5]] = 9, 8
    images[1].reshape(-1)[7] = 4
    best = inference.InferParameter(int64_param=2)
    answer = running.infer(wish(images, outputs=[{"name": "probabilities", "parameters": {"classification": best}}]))
    [output], [raw] = answer.outputs, answer.raw_output_contents
    assert (output.datatype, list(output.shape)) == ("BYTES", [2, 2])
    texts = []
    while raw:
        length = int.from_bytes(raw[:4], "little")
        texts, raw = [*texts, raw[4 : 4 + length].decode()], raw[4 + length :]
    assert texts == ["9.000000:3:number 3", "8.000000:5:number 5", "4.000000:7:number 7", "2.000000:9:number 9"]


def test_each_of_many_callers_gets_its_own_answer(running):
    def ask(number):
        images = np.full((1 + number % 3, *SHAPE), number, np.float32)
        return np.array_equal(probabilities(running.infer(wish(images))), expected(images, 2))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(200)))


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_requests_may_be_packed(running, compression):
    images = np.zeros((32, *SHAPE), np.float32)
    assert np.array_equal(probabilities(running.infer(wish(images), compression=compression)), expected(images, 2))


TENSOR = wish()["inputs"][0]
RAW = wish()["raw_input_contents"]
MALFORMED = {
    "no input": (wish(inputs=[]), "0 inputs; tiny takes 'image' alone"),
    "two inputs": (wish(inputs=[TENSOR, TENSOR]), "2 inputs"),
    "another name": (wish(inputs=[TENSOR | {"name": "picture"}]), "no input 'picture'; tiny takes 'image', FP32 or UINT8"),
    "another type": (wish(inputs=[TENSOR | {"datatype": "BYTES"}]), "'BYTES' is not taken; tiny takes 'image', FP32 or UINT8"),
    "no type": (wish(inputs=[TENSOR | {"datatype": "float"}]), "'float' is no datatype"),
    "another shape": (wish(inputs=[TENSOR | {"shape": [3, 4, 4]}]), "'image' has the shape [3, 4, 4]; tiny takes"),
    "a negative batch": (wish(inputs=[TENSOR | {"shape": [-1, *SHAPE]}]), "'image' has the shape [-1, 4, 4, 3]"),
    "no batch": (wish(inputs=[TENSOR | {"shape": [0, *SHAPE]}]), "'image' has the shape [0, 4, 4, 3]"),
    "no shape": (wish(inputs=[TENSOR | {"shape": []}]), "'image' has the shape []"),
    "bytes missing": (wish(raw_input_contents=[RAW[0][:-1]]), "575 bytes; FP32 of the shape [3, 4, 4, 3] has 576"),
    "two parts": (wish(raw_input_contents=RAW * 2), "'raw_input_contents' has 2 parts for one input"),
    "both": (wish(raw=False, raw_input_contents=RAW), "'image' has both 'contents' and 'raw_input_contents'"),
    "neither": (wish(raw_input_contents=[]), "'fp32_contents' has 0 numbers; the shape [3, 4, 4, 3] needs 144"),
    "too few numbers": (
        wish(raw_input_contents=[], inputs=[TENSOR | {"contents": {"fp32_contents": [1.0] * 5}}]),
        "'fp32_contents' has 5 numbers; the shape [3, 4, 4, 3] needs 144",
    ),
    "numbers elsewhere": (
        wish(raw_input_contents=[], inputs=[TENSOR | {"contents": {"int_contents": [1] * 144}}]),
        "'image' is FP32, which is given in 'fp32_contents', and has 'int_contents'",
    ),
    "no byte": (
        wish(raw_input_contents=[], inputs=[TENSOR | {"datatype": "UINT8", "contents": {"uint_contents": [256] * 144}}]),
        "'uint_contents' has 256; UINT8 is 0..255",
    ),
    "no number": (wish(np.full((1, *SHAPE), np.nan)), "infinite or no numbers"),
    "infinite": (wish(np.full((1, *SHAPE), np.inf), raw=False), "infinite or no numbers"),
    "another output": (wish(outputs=[{"name": "boxes"}]), "no output 'boxes'; tiny gives probabilities"),
    "an output twice": (wish(outputs=[{"name": "probabilities"}] * 2), "asked for twice"),
    "no number of classes": (
        wish(outputs=[{"name": "probabilities", "parameters": {"classification": inference.InferParameter(string_param="2")}}]),
        "'classification' is no number of classes",
    ),
    "no timeout": (wish(parameters={"timeout": inference.InferParameter(double_param=1.5)}), "'timeout' is no number"),
}


@pytest.mark.parametrize(("given", "sentence"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_is_told_in_a_sentence(running, given, sentence):
    status, details = refusal(running.infer, given)
    assert status == "INVALID_ARGUMENT"
    assert sentence in details
    assert "\n" not in details


@pytest.mark.parametrize("body", [b"\x0a\xff", b"\x1f\x8b\x08", b"no message"])
def test_bytes_that_are_no_message_are_refused(running, body):
    call = partial(running.rpc("ModelInfer"), timeout=ANSWER_SECONDS)
    assert refusal(call, body) == ("INVALID_ARGUMENT", "the message is no ModelInferRequest")


def test_no_bytes_break_the_service(running):
    """A request with bytes changed, cut out and doubled is answered, or refused as the caller's fault."""
    chance = np.random.default_rng(0)
    options = {"parameters": {"classification": inference.InferParameter(int64_param=2)}}
    body = inference.ModelInferRequest(
        **wish(IMAGES[:1], id="x", parameters=options["parameters"], outputs=[{"name": "probabilities"} | options])
    ).SerializeToString()
    ends = set()
    for _ in range(1000):
        given = bytearray(body)
        for _ in range(chance.integers(1, 4)):
            place, size = chance.integers(0, 130), chance.integers(1, 6)  # most of the rest are the picture's
            given[place : place + size] = (
                b"", chance.bytes(size), given[place : place + size] * 2, bytes(size)
            )[chance.integers(4)]  # fmt: skip
        try:
            running.rpc("ModelInfer")(bytes(given), timeout=ANSWER_SECONDS)
            ends.add("OK")
        except grpc.RpcError as error:
            ends.add(error.code().name)
    assert {"OK", "INVALID_ARGUMENT", "NOT_FOUND"} <= ends <= {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"}


def test_a_call_without_a_message_is_refused(running):
    call = running.channel.stream_unary(f"/{NAME}/ServerLive")
    assert refusal(call, iter(()), timeout=ANSWER_SECONDS)[0] == "INVALID_ARGUMENT"


def test_a_message_that_does_not_come_is_not_waited_for(running, monkeypatch):
    monkeypatch.setattr(server_module, "ARRIVAL_SECONDS", 0.05)
    end = threading.Event()
    call = running.channel.stream_unary(f"/{NAME}/ModelInfer")
    waiting = (b"" for _ in iter(lambda: end.wait(ANSWER_SECONDS), True))
    assert refusal(call, waiting, timeout=ANSWER_SECONDS) == (
        "DEADLINE_EXCEEDED", "the message did not arrive within 0.05 seconds"
    )  # fmt: skip
    end.set()


def test_what_is_not_there_is_not_found(running):
    assert refusal(running.infer, wish(model_name="nobody")) == ("NOT_FOUND", "there is no model 'nobody'; there is: tiny")
    assert refusal(running.infer, wish(model_version="3"))[1] == "'tiny' has no version 3; there is: 1, 2"
    for rpc in ("ModelMetadata", "ModelConfig", "ModelStatistics"):
        assert refusal(running.ask, rpc, name="nobody")[0] == "NOT_FOUND"
    assert refusal(running.rpc("NoSuchCall"), b"", timeout=ANSWER_SECONDS)[0] == "UNIMPLEMENTED"


def test_too_many_pictures_are_refused(running):
    images = np.zeros((65, *SHAPE), np.float32)
    assert refusal(running.infer, wish(images)) == ("RESOURCE_EXHAUSTED", "65 pictures in one request; tiny takes 64")


def test_a_message_too_large_is_refused_packed_or_not(serve):
    running = serve(limits=Limits(body_bytes=2**20))
    many = wish(raw_input_contents=[bytes(2**21)])
    assert refusal(running.infer, many)[0] == "RESOURCE_EXHAUSTED"
    assert refusal(running.infer, many, compression=grpc.Compression.Gzip)[0] == "RESOURCE_EXHAUSTED"
    assert running.infer()


@pytest.mark.slow
def test_a_packed_message_that_grows_without_end_takes_little_memory(start, releases):
    """grpc itself stops unpacking at the limit; if it does no more, this has to be done here."""
    server = start(releases / "tiny" / "1")
    process = Process(server.process.pid)
    with grpc.insecure_channel(server.grpc, [("grpc.max_send_message_length", -1)]) as channel:
        infer = channel.unary_unary(f"/{NAME}/ModelInfer")
        before = process.forget_peak()
        for _ in range(3):
            packed = grpc.Compression.Gzip
            assert refusal(infer, bytes(512 * 2**20), timeout=ANSWER_SECONDS, compression=packed)[0] == "RESOURCE_EXHAUSTED"
        assert process.peak - before < 128 * 2**20


def test_requests_that_hold_too_much_together_are_refused(serve):
    running = serve(limits=Limits(bodies_bytes=500))
    assert refusal(running.infer)[0] == "UNAVAILABLE"
    assert running.infer(wish(IMAGES[:1])), "and what was held is free again"


def test_a_key_is_needed_for_all_but_health(serve):
    running = serve(api_key="secret")
    for metadata in ([], [("authorization", "Bearer wrong")], [("authorization", "secret")], [("x-api-key", "Secret")]):
        status, details = refusal(running.infer, metadata=metadata)
        assert status == "UNAUTHENTICATED"
        assert "Authorization: Bearer KEY" in details
    for metadata in ([("authorization", "Bearer secret")], [("authorization", "bearer secret")], [("x-api-key", "secret")]):
        assert running.infer(metadata=metadata)
    assert refusal(running.ask, "RepositoryIndex")[0] == "UNAUTHENTICATED"
    assert running.ask("ServerLive").live
    assert running.ask("ServerReady").ready


def test_a_wrong_key_is_told_before_the_message_is_read(serve):
    running, end = serve(api_key="secret"), threading.Event()
    waiting = (b"" for _ in iter(lambda: end.wait(ANSWER_SECONDS), True))
    call = running.channel.stream_unary(f"/{NAME}/ModelInfer")
    assert refusal(call, waiting, timeout=ANSWER_SECONDS)[0] == "UNAUTHENTICATED"
    end.set()


def test_a_caller_may_wait_less_than_the_service_does(serve, gate):
    running = serve()
    gate.clear()
    timeout = {"timeout": inference.InferParameter(int64_param=50_000)}
    assert refusal(running.infer, wish(parameters=timeout)) == ("DEADLINE_EXCEEDED", "tiny had no answer within 0.05 seconds")
    assert running.statistics.failures == {504: 1}


def test_the_service_waits_no_longer_than_it_promises(serve, gate):
    running = serve(limits=Limits(deadline_seconds=0.05))
    gate.clear()
    assert refusal(running.infer) == ("DEADLINE_EXCEEDED", "tiny had no answer within 0.05 seconds")


def test_a_calls_own_deadline_ends_its_work(serve, gate):
    running = serve(slots=1)
    first = held_up(running, gate)
    assert refusal(running.infer, wish(IMAGES[1:2]), seconds=0.1)[0] == "DEADLINE_EXCEEDED"
    until(lambda: sum(running.statistics.failures.values()) == 1)
    gate.set()
    first.result(ANSWER_SECONDS)
    running.infer(wish(IMAGES[2:]))
    assert [batch[0, 0, 0, 0] for batch in gate.batches] == [IMAGES[0, 0, 0, 0], IMAGES[2, 0, 0, 0]], "the second never ran"


def test_a_caller_that_leaves_leaves_no_work(serve, gate):
    running = serve(slots=1)
    first = held_up(running, gate)
    second = running.later(wish(IMAGES[1:2]))
    until(lambda: running.service.find("tiny").scheduler.waiting == 1)
    second.cancel()
    until(lambda: running.statistics.failures == {499: 1})
    gate.set()
    assert np.array_equal(probabilities(first.result(ANSWER_SECONDS)), expected(IMAGES[:1]))
    running.infer(wish(IMAGES[2:]))
    assert [batch[0, 0, 0, 0] for batch in gate.batches] == [IMAGES[0, 0, 0, 0], IMAGES[2, 0, 0, 0]], "the second never ran"
    assert [line["status"] for line in running.lines if line["event"] == "request"] == [499, 200, 200]
    assert running.service.held_bytes == 0


def test_a_full_queue_says_when_to_try_again(serve, gate):
    running = serve(slots=1, limits=Limits(queue=2))
    waiting = [held_up(running, gate), running.later(wish(IMAGES[:1])), running.later(wish(IMAGES[:1]))]
    until(lambda: running.service.find("tiny").scheduler.waiting == 2)
    with pytest.raises(grpc.RpcError) as caught:
        running.infer(wish(IMAGES[:1]))
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert caught.value.details() == "tiny has 2 pictures waiting, and takes 2; try again in a second"
    assert dict(caught.value.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
    gate.set()
    for one in waiting:
        one.result(ANSWER_SECONDS)


def test_a_fault_of_the_service_is_told_with_a_number_and_logged(serve, monkeypatch):
    def fail(self, images, seconds):
        raise ValueError("broken inside")

    running = serve()
    monkeypatch.setattr(served.Served, "infer", fail)
    status, details = refusal(running.infer, metadata=[("x-request-id", "mine-7")])
    assert (status, details) == ("INTERNAL", "the service failed; its log has more under mine-7")
    [error] = [line for line in running.lines if line["level"] == "error" and line["event"] != "request"]
    assert (error["request_id"], error["reason"]) == ("mine-7", "ValueError('broken inside')")


def test_a_request_id_comes_back_and_is_in_the_log(serve):
    running = serve()
    call = running.rpc("ModelInfer").with_call
    message = inference.ModelInferRequest(**wish())
    ids = []
    for given in ("mine-1", None, "bad id"):
        _, answer = call(message, metadata=[("x-request-id", given)] if given else None)
        ids.append(dict(answer.trailing_metadata())["x-request-id"])
    assert ids[0] == "mine-1"
    assert ids[1] != ids[2] != "bad id"
    lines = [line for line in running.lines if line["event"] == "request"]
    assert [line["request_id"] for line in lines] == ids
    expected_line = {
        "status": 200,
        "method": "gRPC",
        "path": "ModelInfer",
        "client": "127.0.0.1",
        "model": "tiny",
        "version": "1",
    }
    assert expected_line.items() <= lines[0].items()
    with pytest.raises(grpc.RpcError) as caught:
        running.infer(wish(model_name="nobody"), metadata=[("x-request-id", "mine-2")])
    assert dict(caught.value.trailing_metadata())["x-request-id"] == "mine-2"


def test_a_model_is_unloaded_and_loaded(serve):
    running = serve()
    unload = {"unload_dependents": inference.ModelRepositoryParameter(bool_param=False)}
    running.ask("RepositoryModelUnload", model_name="tiny", parameters=unload)
    assert not running.ask("ModelReady", name="tiny").ready
    assert refusal(running.infer) == ("UNAVAILABLE", "'tiny' is not loaded")
    [row] = running.ask("RepositoryIndex").models
    assert (row.name, row.state, row.reason) == ("tiny", "UNAVAILABLE", "unloaded")
    assert not running.ask("RepositoryIndex", ready=True).models
    running.ask("RepositoryModelLoad", model_name="tiny")
    assert running.infer()
    [row] = running.ask("RepositoryIndex", ready=True).models
    assert (row.name, row.version, row.state) == ("tiny", "1", "READY")


def test_a_model_is_loaded_as_its_release_has_it(running):
    config = {"config": inference.ModelRepositoryParameter(string_param="{}")}
    status, details = refusal(running.ask, "RepositoryModelLoad", model_name="tiny", parameters=config)
    assert status == "INVALID_ARGUMENT"
    assert details == "a model is loaded as its release has it; without parameters (config)"
    assert refusal(running.ask, "RepositoryModelLoad", model_name="nobody")[0] == "INVALID_ARGUMENT"
    assert refusal(running.ask, "RepositoryModelUnload", model_name="nobody")[0] == "NOT_FOUND"


def test_a_port_that_is_taken_is_told_in_a_line(running):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=rf"^--host 127.0.0.1 --grpc-port {port} cannot .*in use\); choose .*$"):
            running.do(GrpcServer(running.service).start("127.0.0.1", port))


def test_the_messages_leave_room_for_a_clients_own():
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")


def test_messages_are_on_the_wire_as_the_protocol_has_them():
    """Field 1, a string; field 4, a map of parameters; field 5, a tensor with packed numbers; field 7, bytes."""
    message = inference.ModelInferRequest(
        model_name="m",
        parameters={"timeout": inference.InferParameter(int64_param=4)},
        inputs=[{"name": "x", "datatype": "FP32", "shape": [1, 2], "contents": {"fp32_contents": [1.0]}}],
        raw_input_contents=[b"ab"],
    )
    assert message.SerializeToString() == (
        b"\x0a\x01m" b"\x22\x0d\x0a\x07timeout\x12\x02\x10\x04"
        b"\x2a\x15\x0a\x01x\x12\x04FP32\x1a\x02\x01\x02\x2a\x06\x32\x04\x00\x00\x80\x3f" b"\x3a\x02ab"
    )  # fmt: skip


def test_the_command_says_where_grpc_is_and_leaves_no_call_without_an_answer_when_it_ends(start, releases):
    server = start(releases / "tiny" / "1")
    body = inference.ModelInferRequest(**wish()).SerializeToString()
    asking = threading.Barrier(9)

    def ask_until_it_is_gone(_):
        """How many answers there were, and how the call ended that got none."""
        with grpc.insecure_channel(server.grpc, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            infer = channel.unary_unary(f"/{NAME}/ModelInfer", response_deserializer=inference.ModelInferResponse.FromString)
            number = 0
            try:
                while np.array_equal(probabilities(infer(body, timeout=ANSWER_SECONDS)), expected(IMAGES)):
                    number += 1
                    if number == 10:
                        asking.wait(ANSWER_SECONDS)
            except grpc.RpcError as error:
                return number, error.code()
        return number, "wrong answer"

    with ThreadPoolExecutor(8) as pool:
        found = pool.map(ask_until_it_is_gone, range(8))
        asking.wait(ANSWER_SECONDS)
        server.process.send_signal(signal.SIGTERM)
        answers, ends = zip(*found, strict=True)
    assert set(ends) == {grpc.StatusCode.UNAVAILABLE}
    assert server.process.wait(ANSWER_SECONDS) == 0
    assert [line["status"] for line in server.lines() if line["event"] == "request"] == [200] * sum(answers)


def test_processes_share_a_port(start, releases):
    server = start(releases / "tiny" / "1", "--workers", "2")
    pids = set()
    for _ in range(40):
        with grpc.insecure_channel(server.grpc, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            live = channel.unary_unary(f"/{NAME}/ServerLive", response_deserializer=inference.ServerLiveResponse.FromString)
            answer, call = live.with_call(b"", timeout=ANSWER_SECONDS)
            assert answer.live
            pids.add(dict(call.trailing_metadata())["x-request-id"].split("-")[0])
    assert len(pids) == 2


def test_there_is_no_grpc_where_none_is_asked_for(start, releases):
    server = start(releases / "tiny" / "1", "--grpc-port", "none")
    assert not [line for line in server.said if line.startswith("grpc")]
