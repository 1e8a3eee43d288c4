"""The service described for programs, and for the page at /docs: every way in, what it takes and what it gives.

Source: the OpenAPI Specification 3.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from app.release import LARGEST_BATCH
from app.serve.schemas import ANSWER_EXAMPLES, PROBABILITY, SCHEMAS, TOLD, Schema, named, text, whole

JSON, OCTETS, FORM, PLAIN, HTML = "application/json", "application/octet-stream", "multipart/form-data", "text/plain", "text/html"
PICTURES, PROTOCOL, REPOSITORY, MONITORING, PAGES = "Pictures", "Open Inference Protocol", "Repository", "Monitoring", "Pages"
ABOUT = (
    "Networks that name what is on a picture or find where, behind the Open Inference Protocol (KServe V2) with Triton's "
    'extensions, and behind a plain endpoint for pictures. Every error is `{"error": "one sentence"}`. Every answer has the '
    "header `x-request-id`: the one that the request came with, or a new one; the service's log has it too. Bodies may be "
    "packed by gzip or deflate (`Content-Encoding`), answers are where `Accept-Encoding` asks for it. GET routes answer HEAD "
    "too, and every route answers OPTIONS. What is no HTTP is answered with 400, a path that is too long with 414, a head that "
    "is too large with 431, a request that arrives too slowly with 408."
)
HEADER_LENGTH = {"name": "Inference-Header-Content-Length", "in": "header", "schema": whole(), "description":
                 "How long the JSON is, where tensors are behind it; 0: the body is the input's float32 alone."}  # fmt: skip
PARAMETERS = {
    "Model": {"name": "model", "in": "path", "required": True, "schema": text(), "description": "The name of a release."},
    "Version": {"name": "version", "in": "path", "required": True, "schema": text(), "description": "Its number."},
    "File": {"name": "file", "in": "path", "required": True, "schema": text(example="main.js"), "description": "Of the pages."},
}
TOP = {"name": "top", "in": "query", "schema": whole(minimum=1, maximum=1000), "description":
       "How many classes or boxes an answer names at most; left out: 5 labels, all boxes, all classes of a mask."}  # fmt: skip
THRESHOLD = {"name": "threshold", "in": "query", "schema": PROBABILITY, "description":
             "Boxes with a lower score are not named, and labels are `none_of_these` below it; left out: the release's own, "
             "which `/v1/models` tells. A mask knows none."}  # fmt: skip
# Why a request is not answered, by status: what everybody may get, and what bodies add.
TROUBLE = {
    400: "The request is malformed; the sentence says where.",
    401: "The key is missing or wrong.",
    403: "A web page of another host may not send to this service, unless it was started with --cors.",
    404: "There is no such model or version.",
    408: "The request arrived too slowly.",
    413: "The body, a picture or their number is larger than is taken.",
    415: "The body is encoded otherwise than by gzip or deflate.",
    500: "The service failed; its log has more under the answer's x-request-id.",
    503: "The model is not loaded, or there is no room now; try again later.",
    504: "There was no answer within the time.",
}
FIND = (404, 503)
BODY = (400, 403, 408, 413, 415, 503)
RETRY = {"Retry-After": {"schema": whole(), "description": "Seconds until it may go better."}}


@cache
def document(secured: bool = False) -> dict[str, Any]:
    """All ways in, with what they take and give.

    Args:
        secured: a key is asked for.
    """
    keys = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    paths: dict[str, Any] = {}
    for path, method, one in [*_pictures(), *_protocol(), *_repository(), *_monitoring(), *_pages()]:
        if one.pop("open"):
            one["security"] = []
        elif secured:
            one["responses"]["401"] = _refused(401)
        one["parameters"] = [*_in_path(path), *one["parameters"]]
        one["operationId"] = _identifier(method, path)
        one["responses"] = dict(sorted(one["responses"].items()))
        paths.setdefault(path, {})[method] = one
    return {
        "openapi": "3.1.0",
        "info": {"title": "Convoy", "version": "2", "description": ABOUT},
        "tags": [{"name": name} for name in (PICTURES, PROTOCOL, REPOSITORY, MONITORING, PAGES)],
        "paths": paths,
        "components": {"schemas": SCHEMAS, "parameters": PARAMETERS, "securitySchemes": keys if secured else {}},
    } | ({"security": [{name: []} for name in keys]} if secured else {})


def operation(
    tag: str, summary: str, answer: dict[str, Any], statuses: Iterable[int] = (), body: dict[str, Any] | None = None,
    description: str = "", parameters: Iterable[dict[str, Any]] = (), is_open: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """What one method of a path does.

    Args:
        answer: of status 200.
        statuses: of refusals.
        body: by type of content, what it takes; None for nothing.
        is_open: asks for no key.
    """
    made: dict[str, Any] = {"tags": [tag], "summary": summary, "parameters": list(parameters), "open": is_open}
    if description:
        made["description"] = description
    if body:
        made["requestBody"] = {"content": body}
    made["responses"] = {"200": answer} | {str(status): _refused(status) for status in statuses}
    return made


def answer(description: str, content: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An answer, with its content by type, if it has any."""
    return {"description": description} | ({"content": content} if content else {}) | more


def json(name: str, example: Any = None) -> dict[str, Any]:
    """Content that is one of the schemas."""
    return {JSON: {"schema": named(name)} | ({"example": example} if example is not None else {})}


def _raw(*types: str) -> dict[str, Any]:
    return {kind: {"schema": {"contentMediaType": kind}} for kind in types}


def _refused(status: int) -> dict[str, Any]:
    more = {"headers": RETRY} if status in (503, 504) else {}
    return answer(TROUBLE[status], json("Error"), **more)


def _in_path(path: str) -> list[Schema]:
    names = {"{model}": "Model", "{version}": "Version", "{file}": "File"}
    return [{"$ref": f"#/components/parameters/{name}"} for part, name in names.items() if part in path]


def _identifier(method: str, path: str) -> str:
    parts = [part.strip("{}") for part in path.replace(":", "/").replace(".", "/").split("/") if part]
    return "_".join([method, *parts])


Operations = list[tuple[str, str, dict[str, Any]]]


def _pictures() -> Operations:
    kinds = [*TOLD, *(f"File{name}" for name in TOLD), "Answers", "Predictions"]
    examples = {name: {"summary": name, "value": value} for name, value in ANSWER_EXAMPLES.items()}
    answers = {JSON: {"schema": {"oneOf": [named(name) for name in kinds]}, "examples": examples}}
    body = {**_raw("image/*", OCTETS), FORM: {"schema": named("Form")}, **json("Instances")}
    about = (
        f"The body is a picture (JPEG, PNG, WebP, BMP, GIF or TIFF of any size), a form with 1 to {LARGEST_BATCH} of them, or "
        "TensorFlow Serving's `instances`. One picture gets labels, boxes or a mask, as the model's objective is; several "
        "get `predictions` in their order, `instances` get the network's own numbers. Pictures are turned upright, laid on white "
        "and stretched, as in training; boxes are fractions of the upright picture, so that they fit whatever its size."
    )  # fmt: skip
    catalogue = operation(PICTURES, "Lists the models, with their classes and the size of their pictures.",
                          answer("The newest version of every model.", json("Catalogue")))  # fmt: skip
    return [("/v1/models", "get", catalogue)] + [
        (f"/v1/models/{{model}}{version}:predict", "post", operation(
            PICTURES, f"Names what is on pictures{', by one version of a model' if version else ''}.",
            answer("What is on the picture, or all numbers.", answers), (404, *BODY, 500, 504), body, about, [TOP, THRESHOLD]))
        for version in ("", "/versions/{version}")
    ]  # fmt: skip


def _protocol() -> Operations:
    found: Operations = [
        ("/v2", "get", operation(PROTOCOL, "Tells what this service is and which extensions it knows.",
                                 answer("Name, version of the protocol, extensions.", json("Server")))),
        ("/v2/health/live", "get", operation(PROTOCOL, "Tells whether the process answers.", answer("It does."), is_open=True)),
        ("/v2/health/ready", "get", _ready("Tells whether requests are welcome.", "They are.", True)),
    ]  # fmt: skip
    for model, whose in (("/v2/models/{model}", "a model"), ("/v2/models/{model}/versions/{version}", "one version of a model")):
        found += [
            (model, "get", operation(PROTOCOL, f"Tells names, types and shapes of the tensors of {whose}.",
                                     answer("Its inputs and outputs.", json("Model")), FIND)),
            (f"{model}/ready", "get", _ready(f"Tells whether {whose} answers.", "It does.", False)),
            (f"{model}/infer", "post", _infer(whose)),
            (f"{model}/config", "get", operation(PROTOCOL, f"Tells the same of {whose} in Triton's words, and how it runs.",
                                                 answer("A model configuration.", json("Config")), FIND)),
            (f"{model}/stats", "get", operation(MONITORING, f"Tells what was counted of {whose} since it was loaded.",
                                                answer("Counts and times.", json("Statistics")), FIND)),
        ]  # fmt: skip
    return found


def _infer(whose: str) -> dict[str, Any]:
    header = {"Inference-Header-Content-Length": {"schema": whole(), "description": "How long the JSON in front is."}}
    answers = {**json("InferResponse"), **_raw(OCTETS)}
    about = (
        "JSON has the numbers of `data`, 0 to 255, flat or nested (the example is cut short: it needs height x width x "
        "channels of them). Faster are bytes, little-endian, behind the JSON, with `binary_data_size` instead of `data` and the "
        "length of the JSON in the header `Inference-Header-Content-Length`. Outputs come as bytes in the same way if asked for."
    )
    return operation(PROTOCOL, f"Tensors in, tensors out, by {whose}.", answer("The outputs.", answers, headers=header),
                     (404, *BODY, 500, 504), {**json("InferRequest"), **_raw(OCTETS)}, about, [HEADER_LENGTH])  # fmt: skip


def _ready(summary: str, yes: str, is_server: bool) -> dict[str, Any]:
    made = operation(PROTOCOL, summary, answer(yes), () if is_server else FIND, is_open=is_server)
    if is_server:
        made["responses"]["503"] = answer("Releases are being loaded, or the service ends.")
    return made


def _repository() -> Operations:
    index = operation(
        REPOSITORY, "Lists every version, and whether it answers.",
        answer("What is served, and what could not be, and why.", json("Index")), BODY, json("IndexRequest"),
    )  # fmt: skip
    load = operation(
        REPOSITORY, "Loads a model anew from its folder; what answers until then goes on until the new one is ready.",
        answer("It is loaded.", json("Nothing")), BODY, json("LoadRequest"),
    )  # fmt: skip
    unload = operation(REPOSITORY, "Serves a model no more, until it is loaded again.", answer("It is gone.", json("Nothing")),
                       (404, *BODY), json("UnloadRequest"))  # fmt: skip
    base = "/v2/repository/models/{model}"
    return [("/v2/repository/index", "post", index), (f"{base}/load", "post", load), (f"{base}/unload", "post", unload)]


def _monitoring() -> Operations:
    counts = {PLAIN: {"schema": text()}, "application/openmetrics-text": {"schema": text()}}
    return [
        ("/v2/models/stats", "get", operation(MONITORING, "Tells what was counted of every model since it was loaded.",
                                              answer("Counts and times.", json("Statistics")))),
        ("/metrics", "get", operation(MONITORING, "Counts and times for Prometheus.",
                                      answer("In Prometheus' format, or in OpenMetrics if that is accepted.", counts))),
    ]  # fmt: skip


def _pages() -> Operations:
    page = {HTML: {"schema": text()}}
    files = {kind: {"schema": text()} for kind in ("text/javascript", "text/css", HTML)}
    part = operation(PAGES, "A part of the pages.", answer("The file.", files), (404,), is_open=True)
    part["responses"]["404"] = answer("There is no such file.", json("Error"))
    return [
        ("/", "get", operation(PAGES, "The page to try pictures on.", answer("The page.", page), is_open=True)),
        ("/docs", "get", operation(PAGES, "This document for people.", answer("The page.", page), is_open=True)),
        ("/openapi.json", "get", operation(PAGES, "This document for programs.",
                                           answer("It.", {JSON: {"schema": {"type": "object"}}}), is_open=True)),
        ("/page/{file}", "get", part),
    ]  # fmt: skip
