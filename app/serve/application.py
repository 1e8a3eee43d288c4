"""The ASGI application: finds the way in, checks keys, tells errors as sentences, and notes what happened.

Source: the ASGI specification, "HTTP & WebSocket ASGI Message Format".
"""

from __future__ import annotations

import asyncio
import gzip
import re
import zlib
from collections.abc import Callable
from typing import Any

from app.serve.http import Headers, Receive, Request, Response, Route, Send, json_response
from app.serve.refusal import Refusal
from app.serve.service import Service
from app.serve.statistics import LEFT
from app.serve.visit import Visit

COMPRESSED_BYTES = 1024  # an answer shorter than this is not worth packing
PATH_LENGTH = 1024  # letters; ours have less
PACKERS: dict[bytes, Callable[[bytes, int], bytes]] = {b"gzip": gzip.compress, b"deflate": zlib.compress}  # as preferred
UNWANTED = re.compile(rb"(\w+)\s*;\s*q=0(?:\.0*)?\s*(?:,|$)")  # names in Accept-Encoding with a weight of nothing


def refused(refusal: Refusal) -> Response:
    """A refusal as clients of the protocol parse it."""
    headers = [] if refusal.retry_after_seconds is None else [(b"retry-after", b"%d" % refusal.retry_after_seconds)]
    if refusal.allowed:
        headers.append((b"allow", refusal.allowed.encode()))
    return json_response({"error": refusal.message}, refusal.status, headers)


class Application:
    """The ASGI application.

    Args:
        routes: the first that fits answers.
    """

    def __init__(self, service: Service, routes: tuple[Route, ...]) -> None:
        self._service = service
        self._ways = [(route, route.pattern()) for route in routes]
        self._known: dict[tuple[str, str], tuple[Route, dict[str, str]]] = {}

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answers one request."""
        service, headers_in = self._service, dict(scope["headers"])
        client = scope["client"]
        visit = Visit(service, headers_in.get(b"x-request-id", b"").decode("latin-1"), client[0] if client else "")
        request = Request(scope["method"], scope["path"], scope["query_string"], headers_in, receive, visit)
        try:
            route, names = self._route(request)
            if service.settings.api_key and not route.open:
                given = (headers_in.get(name, b"").decode("latin-1") for name in (b"authorization", b"x-api-key"))
                visit.check_key(*given)
            if request.method == "POST" and b"origin" in headers_in:
                self._check_origin(headers_in)
            response = await route.handler(request, **names)
        except Refusal as refusal:
            response = refused(refusal)
        except asyncio.CancelledError:  # the client left, or the service ends
            visit.note(LEFT, request.method, request.path)
            return
        except Exception as error:
            response = refused(visit.failed(error))
        finally:
            visit.end()
        body, headers = self._packed(request, response)
        headers.append((b"x-request-id", visit.number.encode()))
        if body:
            headers.append((b"content-type", response.content_type))
        if response.status != 204:
            headers.append((b"content-length", b"%d" % len(body)))
        if service.draining and not scope.get("queued"):
            headers.append((b"connection", b"close"))
        if service.settings.origins:
            headers += self._cross_origin(request)
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        visit.note(response.status, request.method, request.path)

    def _route(self, request: Request) -> tuple[Route, dict[str, str]]:
        method = "GET" if request.method == "HEAD" else request.method
        if known := self._known.get((method, request.path)):
            return known
        if len(request.path) > PATH_LENGTH:
            raise Refusal(414, f"the path is longer than {PATH_LENGTH} characters")
        fitting = [(route, found) for route, pattern in self._ways if (found := pattern.fullmatch(request.path))]
        if not fitting:
            raise Refusal(404, f"there is nothing at {request.path[:200]}; /docs lists what there is")
        for route, found in fitting:
            if route.method == method:
                if len(self._known) > 1000:  # paths come from strangers
                    self._known.clear()
                return self._known.setdefault((method, request.path), (route, found.groupdict()))
        methods = {route.method for route, _ in fitting}
        allowed = ", ".join(sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))
        if request.method == "OPTIONS":
            return Route("OPTIONS", fitting[0][0].path, _options, open=True), {"allowed": allowed}
        raise Refusal(405, f"{request.method} is not answered here; what is: {allowed}", allowed=allowed)

    def _check_origin(self, headers: dict[bytes, bytes]) -> None:
        """Refuses other people's web pages, which a browser lets send to this machine without asking it first."""
        origin = headers[b"origin"]
        own = {headers.get(b"host"), headers.get(b"x-forwarded-host")}  # neither can be chosen by a page
        same = headers.get(b"sec-fetch-site") == b"same-origin" or origin.partition(b"://")[2] in own
        if not same and not self._allowed(origin):
            raise Refusal(403, "web pages of other hosts may not send to this service, unless it is started with --cors")

    def _allowed(self, origin: bytes) -> bool:
        """Whether the service was started for pages of this origin."""
        origins = self._service.settings.origins
        return "*" in origins or origin.decode("latin-1") in origins

    def _packed(self, request: Request, response: Response) -> tuple[bytes, Headers]:
        accepted = request.headers.get(b"accept-encoding")
        if accepted is None or len(response.body) < COMPRESSED_BYTES or not _packable(request.path):
            return response.body, response.headers
        refused = UNWANTED.findall(accepted.lower())
        for name, compress in PACKERS.items():
            if name in accepted and name not in refused:
                return compress(response.body, 1), [*response.headers, (b"content-encoding", name), (b"vary", b"accept-encoding")]
        return response.body, response.headers

    def _cross_origin(self, request: Request) -> Headers:
        origin = request.headers.get(b"origin", b"")
        if not self._allowed(origin):
            return [(b"vary", b"origin")]
        told = b"*" if "*" in self._service.settings.origins else origin
        headers = [(b"access-control-allow-origin", told), (b"vary", b"origin")]
        headers.append((b"access-control-expose-headers", b"x-request-id, retry-after, inference-header-content-length"))
        if request.method == "OPTIONS":
            headers.append((b"access-control-allow-methods", b"GET, POST"))
            headers.append((b"access-control-allow-headers", request.headers.get(b"access-control-request-headers", b"*")))
            headers.append((b"access-control-max-age", b"600"))
        return headers


def _packable(path: str) -> bool:
    """Whether clients that ask for packing also unpack: Triton's asks with every request, and unpacks inferences alone."""
    return path.endswith("/infer") or not path.startswith("/v2")


async def _options(request: Request, allowed: str) -> Response:
    del request
    return Response(status=204, headers=[(b"allow", allowed.encode())])
