"""The gRPC server: takes calls within their limits, checks keys, tells errors as status and sentence, notes what happened.

Source: gRPC's documentation, "Status codes" and "Cancellation"; its proposal A6 for `grpc-retry-pushback-ms`.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
import time
from contextlib import suppress
from itertools import count
from os import getpid
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError

from app.errors import UserError
from app.serve.application import REQUEST_ID
from app.serve.messages import PACKAGE, inference
from app.serve.refusal import Refusal, busy, malformed
from app.serve.rpcs import RPCS, Call, Rpc
from app.serve.service import Service
from app.serve.statistics import LEFT

NAME = f"{PACKAGE}.GRPCInferenceService"
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
        self._key = service.settings.api_key.encode()
        self._numbers = count(1)
        self._prefix = f"{getpid():x}-{int(time.time()) & 0xFFFFFF:x}-g"
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
        _check_free(host, port, shared)
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
            bound = self._server.add_insecure_port(f"{shown}:{port}")
        except RuntimeError as error:
            raise _not_free(host, port, str(error)) from None
        await self._server.start()
        return f"{shown}:{bound}"

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
        began, service = time.perf_counter(), self._service
        metadata = dict(context.invocation_metadata())
        number = metadata.get("x-request-id", "")
        if not REQUEST_ID.fullmatch(number.encode()):
            number = f"{self._prefix}{next(self._numbers)}"
        context.set_trailing_metadata((("x-request-id", number),))
        call, client, held, status = Call(service, context.time_remaining), _address(context.peer()), 0, 200
        try:
            if self._key and not rpc.open:
                self._check_key(metadata)
            packed = await _read(context)
            held = len(packed)
            self._hold(held)
            try:
                asked = kind.FromString(packed)
            except DecodeError:
                raise malformed(f"the message is no {kind.DESCRIPTOR.name}") from None
            found: bytes = (await rpc.answer(call, asked)).SerializeToString()
        except Refusal as refusal:
            status = refusal.status
            return await _refuse(context, refusal, number)
        except asyncio.CancelledError:
            status = LEFT
            raise
        except Exception as error:  # ours; the client gets a number to ask us about
            status = 500
            service.log.error("a request failed by a fault of the service", request_id=number, reason=repr(error))
            return await _refuse(context, Refusal(500, f"the service failed; its log has more under {number}"), number)
        finally:
            service.receiving_bytes -= held
            self._note(name, status, number, began, call, client)
        if self._last:
            await self._last.wait()
        return found

    def _check_key(self, metadata: dict[str, str]) -> None:
        kind, _, token = metadata.get("authorization", "").partition(" ")
        given = token.strip() if kind.lower() == "bearer" else metadata.get("x-api-key", "")
        if not hmac.compare_digest(given.encode(), self._key):
            raise Refusal(401, "the key is missing or wrong; give it as metadata 'authorization: Bearer KEY' or 'x-api-key: KEY'")

    def _hold(self, size: int) -> None:
        service = self._service
        service.receiving_bytes += size
        most = service.settings.limits.bodies_bytes
        if service.receiving_bytes > most:
            raise busy(f"requests of {most >> 20} MB are being read already; try again in a second")

    def _note(self, name: str, status: int, number: str, began: float, call: Call, client: str) -> None:
        served = call.served
        self._service.log.request(status, {
            "request_id": number, "method": "gRPC", "path": name, "ms": round((time.perf_counter() - began) * 1000, 3),
            "client": client, "model": served.name if served else "", "version": served.version if served else "",
        })  # fmt: skip


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
        await context.abort(CODES.get(refusal.status, grpc.StatusCode.UNKNOWN), refusal.message, tuple(metadata))
    return b""


def _address(peer: str) -> str:
    """The host in grpc's words for a client, `ipv4:127.0.0.1:50000` or `ipv6:%5B::1%5D:50000`."""
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")


def _check_free(host: str, port: int, shared: bool) -> None:
    """Tries the port as grpc will, which itself says on stderr in several lines, and not why, that it cannot have it."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if shared else socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise _not_free(host, port, error.strerror or str(error)) from None


def _not_free(host: str, port: int, reason: str) -> UserError:
    return UserError(f"--host {host} --grpc-port {port} cannot be listened at ({reason}); choose another, 0 for any, or none")
