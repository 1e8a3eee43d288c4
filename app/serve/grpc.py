"""The gRPC server: takes calls within their limits, checks keys, tells errors as status and sentence, notes what happened.

Source: gRPC's documentation, "Status codes" and "Cancellation"; its proposal A6 for `grpc-retry-pushback-ms`.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError

from app.serve.address import bound, not_free
from app.serve.messages import PACKAGE, inference
from app.serve.refusal import Refusal, malformed
from app.serve.rpcs import RPCS, Call, Rpc
from app.serve.service import Service
from app.serve.statistics import LEFT
from app.serve.visit import Visit

NAME = f"{PACKAGE}.GRPCInferenceService"
MESSAGE_LENGTH = 1000  # of a sentence: it travels in a header
ARRIVAL_SECONDS = 30.0  # that a call's message may take to arrive
TAKING_SECONDS = 0.1
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
Context = Any  # grpc.aio.ServicerContext


class GrpcServer:
    """Answers calls; one in a process."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._server: Any = None
        self._last: asyncio.Event | None = None  # set when answers need not wait for the end any more

    async def start(self, host: str, port: int) -> str:
        """Listens, and gives the address that clients dial.

        Args:
            port: 0 for any that is free.
        Raises:
            UserError: it is taken, or the host is none of this machine's.
        """
        shared = self._service.settings.workers > 1
        # Tried as grpc will, which itself says on stderr in several lines, and not why, that it cannot have it.
        bound(host, "--grpc-port", port, socket.SO_REUSEADDR, *((socket.SO_REUSEPORT,) if shared else ())).close()
        limits = self._service.settings.limits
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", limits.body_bytes),  # of a packed one, what it becomes
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", int(shared)),
            ],
            maximum_concurrent_rpcs=limits.connections,
        )
        handlers = {name: self._handler(name, rpc) for name, rpc in RPCS.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))
        shown = f"[{host}]" if ":" in host else host
        try:
            number = self._server.add_insecure_port(f"{shown}:{port}")
        except RuntimeError as error:
            raise not_free(host, "--grpc-port", port, error) from None
        await self._server.start()
        return f"{shown}:{number}"

    async def stop(self, grace_seconds: float) -> None:
        """Takes no more calls; those under way may end within the time.

        grpc drops what has arrived and was not taken yet at that moment, and under load there is always something. So for a
        moment nobody is answered, which keeps those who wait from sending more, and all that has arrived is taken.
        """
        if not self._server:
            return
        self._last = asyncio.Event()
        await asyncio.sleep(TAKING_SECONDS)
        stopping = asyncio.create_task(self._server.stop(grace_seconds))
        await asyncio.wait([stopping], timeout=TAKING_SECONDS)
        self._last.set()
        await stopping

    def _handler(self, name: str, rpc: Rpc) -> Any:
        kind = getattr(inference, f"{name}Request")

        async def handle(messages: Any, context: Context) -> bytes:
            del messages
            return await self._handle(name, rpc, kind, context)

        # As a stream of messages of which the first is read: so the key is looked at before anything is read, and a message
        # that does not come is waited for no longer than we like. It is the same to clients.
        return grpc.stream_unary_rpc_method_handler(handle)

    async def _handle(self, name: str, rpc: Rpc, kind: Any, context: Context) -> bytes:
        metadata = dict(context.invocation_metadata())
        visit = Visit(self._service, metadata.get("x-request-id", ""), _address(context.peer()))
        context.set_trailing_metadata((("x-request-id", visit.number),))
        call, status = Call(visit, context.time_remaining), 200
        try:
            if self._service.settings.api_key and not rpc.open:
                visit.check_key(metadata.get("authorization", ""), metadata.get("x-api-key", ""))
            packed = await _read(context)
            visit.arrived()
            visit.hold(len(packed))
            try:
                asked = kind.FromString(packed)
            except DecodeError:
                raise malformed(f"the message is no {kind.DESCRIPTOR.name}") from None
            found: bytes = (await rpc.answer(call, asked)).SerializeToString()
        except Refusal as refusal:
            status = refusal.status
            return await _refuse(context, refusal, visit.number)
        except asyncio.CancelledError:
            status = LEFT
            raise
        except Exception as error:
            status = 500
            return await _refuse(context, visit.failed(error), visit.number)
        finally:
            visit.end()
            visit.note(status, "gRPC", name)
        if self._last:
            await self._last.wait()
        return found


async def _read(context: Context) -> bytes:
    """The bytes of a call's one message.

    Raises:
        Refusal: none comes.
    """
    try:
        async with asyncio.timeout(ARRIVAL_SECONDS):
            found = await context.read()
    except TimeoutError:
        raise Refusal(408, f"the message did not arrive within {ARRIVAL_SECONDS:g} seconds") from None
    if found is grpc.aio.EOF:
        raise malformed("the call has no message, or one that is larger than what is taken")
    return bytes(found)


async def _refuse(context: Context, refusal: Refusal, number: str) -> bytes:
    """Ends a call with a status; what it gives is not sent."""
    metadata = [("x-request-id", number)]
    if refusal.retry_after_seconds is not None:
        metadata.append(("grpc-retry-pushback-ms", str(refusal.retry_after_seconds * 1000)))
    with suppress(grpc.aio.InternalError):  # the call is over already: its message was larger than grpc takes
        await context.abort(CODES.get(refusal.status, grpc.StatusCode.UNKNOWN), refusal.message[:MESSAGE_LENGTH], tuple(metadata))
    return b""


def _address(peer: str) -> str:
    """The host in grpc's words for a client, `ipv4:127.0.0.1:50000` or `ipv6:%5B::1%5D:50000`."""
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")
