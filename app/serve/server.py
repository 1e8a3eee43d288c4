"""The story of a serving process: listen, load, be ready, follow new versions, drain, stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import uvicorn

from app.serve import address
from app.serve.application import Application
from app.serve.connection import Connection, limited
from app.serve.log import Log, hear_libraries
from app.serve.peers import Peers
from app.serve.routes import routes
from app.serve.service import Service
from app.serve.settings import Settings

if TYPE_CHECKING:
    from app.serve.grpc import GrpcServer

BACKLOG = 2048
SWEEP_SECONDS = 0.5  # between looks for connections that are too slow
SWITCH_SECONDS = 0.001  # that a thread may keep others from Python; a slot's answer waits no longer for the loop
GRACE_SECONDS = 30  # for what is in flight when listening ends
Say = Callable[[str], None]


class _Server(uvicorn.Server):
    """uvicorn's, which leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: a signal first ends readiness, and only later the server."""
        yield


def run(settings: Settings, listener: socket.socket, peers: Peers, say: Say) -> None:
    """Serves until a signal ends it.

    Args:
        listener: a bound socket.
        say: told once when everything is ready.
    Raises:
        UserError: a release cannot be served, or a port is taken.
    """
    import uvloop

    sys.setswitchinterval(SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, listener, peers, say))


async def _serve(settings: Settings, listener: socket.socket, peers: Peers, say: Say) -> None:
    log = Log(settings.quiet)
    hear_libraries(log)
    service = Service(settings, log, peers)
    server = _Server(_config(service, Application(service, routes())))
    stopping = asyncio.Event()
    peers.listen(*_on_command(stopping, server, service, log))
    grpc = None
    # A process that replaces another takes connections when it can answer them, since others do meanwhile. At the start there
    # are no others, and it tells at once that it lives and is not ready.
    accepting = asyncio.Event()
    if not peers.others_ready:
        accepting.set()
    serving = asyncio.create_task(_after(accepting, server, listener))
    sweeping = asyncio.create_task(_sweep(server))
    stopped = asyncio.create_task(stopping.wait())
    living: list[asyncio.Task[None]] = [serving, sweeping]  # that end before their time by a fault alone
    try:
        if accepting.is_set():
            grpc = await _start_grpc(service, say)
        opening = asyncio.create_task(service.open())
        await asyncio.wait([opening, stopped, *living], return_when=asyncio.FIRST_COMPLETED)
        if opening.done():
            opening.result()
            if not accepting.is_set():
                grpc = await _start_grpc(service, say)
                accepting.set()
            names = ", ".join(f"{served.name} {served.version}" for served in service.repository.all())
            log.info("ready", models=names)
            say(f"ready: {names}")
            living.append(asyncio.create_task(service.tend()))
            if settings.poll_seconds:
                living.append(asyncio.create_task(service.follow()))
            await asyncio.wait([stopped, *living], return_when=asyncio.FIRST_COMPLETED)
        for task in living:
            if task.done():
                task.result()
        await _drain(service, settings, server, log)
    finally:
        server.should_exit = True
        accepting.set()
        if grpc:
            await grpc.stop(0 if server.force_exit else GRACE_SECONDS)
        await serving
        for task in living:
            task.cancel()
        service.close()


async def _start_grpc(service: Service, say: Say) -> GrpcServer | None:
    """The server for gRPC, if one is wanted; what it needs is loaded then alone."""
    host, port = service.settings.host, service.settings.grpc_port
    if port is None:
        return None
    from app.serve.grpc import GrpcServer

    server = GrpcServer(service)
    say(f"grpc: {await server.start(host, port)}")
    return server


async def _after(event: asyncio.Event, server: uvicorn.Server, listener: socket.socket) -> None:
    """Serves, once an event has come; not at all if the end came first."""
    await event.wait()
    if not server.should_exit:
        await server.serve([listener])


async def _drain(service: Service, settings: Settings, server: uvicorn.Server, log: Log) -> None:
    """Readiness ends first; whoever comes before everybody has heard of that is still answered."""
    service.draining = True
    log.info("draining", seconds=settings.drain_seconds)
    end = time.monotonic() + settings.drain_seconds
    while time.monotonic() < end and not server.force_exit:
        await asyncio.sleep(0.05)


async def _sweep(server: uvicorn.Server) -> None:
    """Ends connections whose requests take too long to arrive, for ever."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        now = time.monotonic()
        for connection in list(server.server_state.connections):
            assert isinstance(connection, Connection)
            connection.check(now)


def _config(service: Service, app: Application) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=limited(service),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=service.settings.limits.keep_alive_seconds,
        timeout_graceful_shutdown=GRACE_SECONDS,
        backlog=BACKLOG,
    )


def _on_command(
    stopping: asyncio.Event, server: uvicorn.Server, service: Service, log: Log
) -> tuple[Callable[[], None], Callable[[], None]]:
    """What ends the service - the second time at once - and what makes it look for new versions."""
    looking: set[asyncio.Task[None]] = set()  # the loop keeps no task that nobody holds

    def stop() -> None:
        server.force_exit = stopping.is_set()
        stopping.set()

    def look() -> None:
        log.info("looking for new versions")
        task = asyncio.get_running_loop().create_task(service.repository.follow())
        looking.add(task)
        task.add_done_callback(looking.discard)

    return stop, look


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens at an address.

    Raises:
        UserError: it is taken, or none of this machine's.
    """
    listener = address.bound(host, "--port", port, socket.SO_REUSEADDR)
    listener.listen(BACKLOG)
    return listener
