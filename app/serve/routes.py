"""The ways in: the Open Inference Protocol, pictures, and what people and monitors look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.serve import metrics, protocol
from app.serve.http import Headers, Request, Response, Route, json_response
from app.serve.openapi import document
from app.serve.pictures import LARGE_BYTES, predict
from app.serve.refusal import Refusal, malformed, shortened, too_large
from app.serve.repository import READY
from app.serve.service import NAME, Service
from app.serve.statistics import Counted, Statistics

# Read once: what is served does not depend on a file that can be opened.
HERE = Path(__file__).parent
FILES = {file.name: file.read_bytes() for folder in (HERE / "page", HERE.parent / "page") for file in folder.iterdir()}
OPTIONS_BYTES = 2**16
KINDS = {".html": b"text/html; charset=utf-8", ".css": b"text/css; charset=utf-8", ".js": b"text/javascript; charset=utf-8"}
# Of the pages: nothing from elsewhere, nothing inline; pictures are shown from where the browser has them.
POLICY: Headers = [
    (b"content-security-policy", b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
     b"img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-cache"),
]  # fmt: skip


async def server_metadata(request: Request) -> Response:
    """What this service is."""
    del request
    return json_response({"name": NAME, "version": "2", "extensions": protocol.EXTENSIONS})


async def live(request: Request) -> Response:
    """200 while the process answers."""
    del request
    return Response()


async def ready(request: Request) -> Response:
    """200 when requests are welcome, 503 before, and once the service ends."""
    return Response(status=200 if request.service.ready else 503)


async def model_ready(request: Request, model: str, version: str = "") -> Response:
    """200 when a model answers."""
    served = request.service.find(model, version)
    return Response(status=200 if served.scheduler.alive else 503)


async def model_metadata(request: Request, model: str, version: str = "") -> Response:
    """Names, types and shapes of a model's tensors."""
    served = request.service.find(model, version)
    return json_response(served.metadata(request.service.repository.versions(model)))


async def model_config(request: Request, model: str, version: str = "") -> Response:
    """The same in Triton's words."""
    return json_response(request.service.find(model, version).config())


async def model_statistics(request: Request, model: str = "", version: str = "") -> Response:
    """What was counted, of one version or of all."""
    rows = await statistics_rows(request.service, model, version)
    return json_response({"model_stats": rows})


async def infer(request: Request, model: str, version: str = "") -> Response:
    """Tensors in, tensors out."""
    served = request.find(model, version)
    with Counted(served.statistics) as counted:
        body = await request.body()
        length = request.headers.get(protocol.HEADER_LENGTH)
        if len(body) > LARGE_BYTES and (length is None or len(length) > len(str(LARGE_BYTES))):
            asked = await request.visit.in_thread(protocol.parse, body, length, served)
        else:
            asked = protocol.parse(body, length, served)
        del body  # many times as large as its pictures where it is JSON, and they may wait for a slot
        counted.pictures = len(asked.images)
        seconds = request.visit.remaining if asked.seconds is None else min(asked.seconds, request.visit.remaining)
        text, header = protocol.answer(served, asked, await served.infer(asked.images, seconds))
    if header is None:
        return Response(text)
    return Response(text, 200, b"application/octet-stream", [(protocol.HEADER_LENGTH, b"%d" % header)])


async def index(request: Request) -> Response:
    """Every version, and whether it is served."""
    wanted = (await options(request)).get("ready", False)
    if not isinstance(wanted, bool):
        raise malformed("'ready' is neither true nor false")
    rows = request.service.repository.index()
    return json_response([one for one in rows if not wanted or one["state"] == READY])


async def load(request: Request, model: str) -> Response:
    """Loads a name anew from its folder."""
    given = (await options(request)).get("parameters") or {}
    if given:
        raise malformed(f"a model is loaded as its release has it; without parameters ({shortened(', '.join(given))})")
    await request.service.load(model)
    return Response(b"{}")


async def unload(request: Request, model: str) -> Response:
    """Serves a name no more."""
    await options(request)
    await request.service.unload(model)
    return Response(b"{}")


async def options(request: Request) -> dict[str, Any]:
    """The object in a body, or nothing if there is no body."""
    body = await request.body()
    if len(body) > OPTIONS_BYTES:
        raise too_large(f"{len(body)} bytes of options; {OPTIONS_BYTES} are taken")
    values = protocol.json_object(body) if body else {}
    if not isinstance(values.get("parameters") or {}, dict):
        raise malformed("'parameters' are no object")
    return values


async def catalogue(request: Request) -> Response:
    """What the page, and other people's pages, choose from."""
    repository = request.service.repository
    newest = {served.name: served for served in repository.all()}
    rows = [
        {
            "name": name,
            "version": served.version,
            "versions": repository.versions(name),
            "objective": served.objective.name,
            "classes": served.release.classes,
            "threshold": served.threshold,
            "input": dict(zip(("height", "width", "channels"), served.picture_shape, strict=True)),
            "ready": served.scheduler.alive,
        }
        for name, served in newest.items()
    ]
    return json_response({"models": rows})


async def page(request: Request, file: str = "") -> Response:
    """The page for people, and its parts."""
    name = file or ("docs.html" if request.path == "/docs" else "index.html")
    kind = KINDS.get(Path(name).suffix)
    if kind is None or name not in FILES:
        raise Refusal(404, f"there is no page/{shortened(name)}")
    return Response(FILES[name], 200, kind, list(POLICY))


async def openapi(request: Request) -> Response:
    """This list, for programs."""
    return json_response(document(bool(request.service.settings.api_key)))


async def prometheus(request: Request) -> Response:
    """Counts for monitors."""
    text, kind = metrics.text(
        request.service, await request.service.statistics(), request.headers.get(b"accept", b"").decode("latin-1")
    )
    return Response(text, 200, kind.encode())


async def statistics_rows(service: Service, model: str, version: str) -> list[dict[str, Any]]:
    """What was counted of a version, of all of a name, or of everything.

    Raises:
        Refusal: it is not served.
    """
    if model:
        service.find(model, version)
    counts, served = await service.statistics(), {(one.name, one.version) for one in service.repository.all()}
    chosen = [key for key in counts if key in served and model in ("", key[0]) and version in ("", key[1])]
    return [row(*key, counts[key]) for key in chosen]


def row(name: str, version: str, found: Statistics) -> dict[str, Any]:
    """What was counted of a version, as Triton tells it."""

    def duration(count: int, nanoseconds: int) -> dict[str, int]:
        return {"count": count, "ns": nanoseconds}

    runs = sum(count for count, _ in found.batches.values())
    return {
        "name": name,
        "version": version,
        "last_inference": found.last_inference_ms,
        "inference_count": found.pictures,
        "execution_count": runs,
        "inference_stats": {
            "success": duration(found.requests, found.request_ns),
            "fail": duration(sum(found.failures.values()), found.failure_ns),
            "queue": duration(found.requests, found.queue_ns),
            "compute_input": duration(found.requests, 0),
            "compute_infer": duration(runs, found.run_ns),
            "compute_output": duration(found.requests, 0),
            "cache_hit": duration(0, 0),
            "cache_miss": duration(0, 0),
        },
        "batch_stats": [
            {"batch_size": size, "compute_input": duration(count, 0), "compute_infer": duration(count, took),
             "compute_output": duration(count, 0)}
            for size, (count, took) in sorted(found.batches.items())
        ],
    }  # fmt: skip


def routes() -> tuple[Route, ...]:
    """All ways in; of two that fit a path, the first."""
    found = [
        Route("GET", "/v2/?", server_metadata),
        Route("GET", "/v2/health/live", live, open=True),
        Route("GET", "/v2/health/ready", ready, open=True),
        Route("GET", "/v2/models/stats", model_statistics),
        Route("POST", "/v2/repository/index", index),
        Route("POST", "/v2/repository/models/{model}/load", load),
        Route("POST", "/v2/repository/models/{model}/unload", unload),
        Route("GET", "/v1/models", catalogue),
        Route("GET", "/", page, open=True),
        Route("GET", "/docs", page, open=True),
        Route("GET", "/page/{file}", page, open=True),
        Route("GET", "/openapi.json", openapi, open=True),
        Route("GET", "/metrics", prometheus),
    ]
    for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        found += [
            Route("GET", model, model_metadata),
            Route("GET", f"{model}/ready", model_ready),
            Route("GET", f"{model}/config", model_config),
            Route("GET", f"{model}/stats", model_statistics),
            Route("POST", f"{model}/infer", infer),
        ]
    found += [Route("POST", f"/v1/models/{{model}}{version}:predict", predict) for version in ("", "/versions/{version}")]
    return tuple(found)
