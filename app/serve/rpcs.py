"""What each call of gRPC answers: the functions that HTTP has, in messages.

Source: KServe's "Open Inference Protocol", gRPC; Triton's "Statistics", "Model Configuration" and "Model Repository" extensions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.runners import Outputs
from app.serve import protocol
from app.serve.messages import inference
from app.serve.pictures import LARGE_BYTES
from app.serve.protocol import Inference
from app.serve.refusal import Refusal, malformed, shortened
from app.serve.repository import READY
from app.serve.routes import statistics_rows
from app.serve.served import BYTE, FLOAT, Served
from app.serve.service import NAME, Service
from app.serve.statistics import Counted
from app.serve.tensors import TAKEN, Array, checked_shape, finite, from_bytes
from app.serve.visit import Visit

# Where a message has numbers that are not raw bytes.
CONTENTS = {FLOAT: "fp32_contents", BYTE: "uint_contents"}
Message = Any  # of a class in `inference`


@dataclass(slots=True)
class Call:
    """A call under way.

    Args:
        remaining: seconds that the client still waits; None if it did not say.
    """

    visit: Visit
    remaining: Callable[[], float | None]

    @property
    def service(self) -> Service:
        """That was asked."""
        return self.visit.service

    def find(self, name: str, version: str) -> Served:
        """See `Repository.find`."""
        return self.visit.find(name, version)


@dataclass(frozen=True)
class Rpc:
    """A call that is answered.

    Args:
        open: needs no key.
    """

    answer: Callable[[Call, Message], Awaitable[Message]]
    open: bool = False


async def server_live(call: Call, asked: Message) -> Message:
    """True while the process answers."""
    del call, asked
    return inference.ServerLiveResponse(live=True)


async def server_ready(call: Call, asked: Message) -> Message:
    """True when requests are welcome."""
    del asked
    return inference.ServerReadyResponse(ready=call.service.ready)


async def model_ready(call: Call, asked: Message) -> Message:
    """True when a model answers; as Triton, a model that is not there is not ready, which is no error."""
    try:
        ready = call.find(asked.name, asked.version).scheduler.alive
    except Refusal:
        ready = False
    return inference.ModelReadyResponse(ready=ready)


async def server_metadata(call: Call, asked: Message) -> Message:
    """What this service is."""
    del call, asked
    return inference.ServerMetadataResponse(name=NAME, version="2", extensions=protocol.EXTENSIONS)


async def model_metadata(call: Call, asked: Message) -> Message:
    """Names, types and shapes of a model's tensors."""
    served = call.find(asked.name, asked.version)
    return inference.ModelMetadataResponse(**served.metadata(call.service.repository.versions(asked.name)))


async def model_config(call: Call, asked: Message) -> Message:
    """The same in Triton's words."""
    return inference.ModelConfigResponse(config=call.find(asked.name, asked.version).config())


async def model_statistics(call: Call, asked: Message) -> Message:
    """What was counted, of one version or of all."""
    return inference.ModelStatisticsResponse(model_stats=await statistics_rows(call.service, asked.name, asked.version))


async def repository_index(call: Call, asked: Message) -> Message:
    """Every version, and whether it is served."""
    rows = call.service.repository.index()
    return inference.RepositoryIndexResponse(models=[row for row in rows if not asked.ready or row["state"] == READY])


async def repository_load(call: Call, asked: Message) -> Message:
    """Loads a name anew from its folder."""
    if asked.parameters:
        raise malformed(
            f"a model is loaded as its release has it; without parameters ({shortened(', '.join(sorted(asked.parameters)))})"
        )
    await call.service.load(asked.model_name)
    return inference.RepositoryModelLoadResponse()


async def repository_unload(call: Call, asked: Message) -> Message:
    """Serves a name no more."""
    await call.service.unload(asked.model_name)
    return inference.RepositoryModelUnloadResponse()


async def model_infer(call: Call, asked: Message) -> Message:
    """Tensors in, tensors out."""
    served = call.find(asked.model_name, asked.model_version)
    with Counted(served.statistics) as counted:
        if not asked.raw_input_contents and asked.ByteSize() > LARGE_BYTES:
            wish = await call.visit.in_thread(parse, asked, served)
        else:
            wish = parse(asked, served)
        counted.pictures = len(wish.images)
        waits = [seconds for seconds in (wish.seconds, call.remaining(), call.visit.remaining) if seconds is not None]
        return answer(served, wish, await served.infer(wish.images, min(waits)))


def parse(asked: Message, served: Served) -> Inference:
    """The request in a message.

    Raises:
        Refusal: says what is wrong with it.
    """
    if len(asked.inputs) != 1:
        raise malformed(f"{len(asked.inputs)} inputs; {served.name} takes '{served.input_name}' alone")
    outputs = [{"name": one.name, "parameters": _parameters(one)} for one in asked.outputs]
    wish = Inference(_images(asked, served), protocol.asked_outputs(outputs, served), asked.id)
    return replace(wish, seconds=protocol.seconds(_parameters(asked)))


def answer(served: Served, wish: Inference, outputs: Outputs) -> Message:
    """The message of an answer; tensors are raw bytes, whatever way the request's came."""
    found = inference.ModelInferResponse(model_name=served.name, model_version=served.version, id=wish.id)
    for wanted in wish.wanted:
        datatype, shape, values = protocol.shown(served, wanted, outputs)
        found.outputs.add(name=wanted.name, datatype=datatype, shape=shape)
        found.raw_output_contents.append(protocol.packed(values))
    return found


def _images(asked: Message, served: Served) -> Array:
    [given] = asked.inputs
    shape = checked_shape(served, given.name, given.datatype, tuple(given.shape))
    raw = asked.raw_input_contents
    if not raw:
        return _from_contents(given, shape)
    if given.HasField("contents"):
        raise malformed(f"'{given.name}' has both 'contents' and 'raw_input_contents'; give one of them")
    if len(raw) != 1:
        raise malformed(f"'raw_input_contents' has {len(raw)} parts for one input")
    return from_bytes(raw[0], given.datatype, shape)


def _from_contents(given: Message, shape: tuple[int, ...]) -> Array:
    """A tensor from numbers in the field that its datatype has."""
    name = CONTENTS[given.datatype]
    others = [field.name for field, _ in given.contents.ListFields() if field.name != name]
    if others:
        raise malformed(f"'{given.name}' is {given.datatype}, which is given in '{name}', and has '{shortened(others[0])}'")
    numbers = getattr(given.contents, name)
    if len(numbers) != np.prod(shape):
        raise malformed(f"'{name}' has {len(numbers)} numbers; the shape {list(shape)} needs {np.prod(shape)}")
    values = np.fromiter(numbers, np.uint32 if given.datatype == BYTE else np.float32, len(numbers))
    if given.datatype == FLOAT:
        return finite(values.reshape(shape))
    if values.max() > 255:
        raise malformed(f"'{name}' has {values.max()}; {BYTE} is 0..255")
    return values.astype(TAKEN[BYTE]).reshape(shape)


def _parameters(owner: Message) -> dict[str, Any]:
    return {name: getattr(value, value.WhichOneof("parameter_choice") or "", None) for name, value in owner.parameters.items()}


RPCS = {
    "ServerLive": Rpc(server_live, open=True),
    "ServerReady": Rpc(server_ready, open=True),
    "ModelReady": Rpc(model_ready),
    "ServerMetadata": Rpc(server_metadata),
    "ModelMetadata": Rpc(model_metadata),
    "ModelInfer": Rpc(model_infer),
    "ModelConfig": Rpc(model_config),
    "ModelStatistics": Rpc(model_statistics),
    "RepositoryIndex": Rpc(repository_index),
    "RepositoryModelLoad": Rpc(repository_load),
    "RepositoryModelUnload": Rpc(repository_unload),
}
