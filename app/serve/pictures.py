"""Pictures straight in: a file as the body, a form, or TensorFlow Serving's instances; labels, boxes, masks or numbers out.

Source: TensorFlow Serving's documentation, "RESTful API" (predict).
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from functools import partial
from typing import Any

import numpy as np
import orjson
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import FormParser, MultipartState, parse_options_header

from app.images import TooManyPixels, UnreadablePicture, count_pixels, load_picture
from app.release import LARGEST_BATCH
from app.runners import Outputs
from app.serve.http import Request, Response, json_response
from app.serve.refusal import Refusal, malformed, shortened, too_large
from app.serve.served import Served
from app.serve.statistics import Counted
from app.serve.tensors import Array, from_numbers
from app.serve.visit import Visit

SMALL_BYTES, SMALL_PIXELS = 2**14, 2**14
TOGETHER = 4  # times the pixels of one picture: what those of one request may have
LARGE_BYTES = 2**18  # JSON longer than this is read in a thread
LARGE_NUMBERS = 2**15  # more outputs than this are made an answer in a thread
SHARE = re.compile(r"[0-9]{0,20}\.?[0-9]{1,20}([eE]-[0-9]{1,3})?")
FORM, JSON = "multipart/form-data", "application/json"


async def predict(request: Request, model: str, version: str = "") -> Response:
    """Answers for the pictures in a body, whatever way they come."""
    served, visit = request.find(model, version), request.visit
    pixels = request.service.settings.limits.pixels
    with Counted(served.statistics) as counted:
        content, options = request.headers.get(b"content-type", b""), dict[bytes, bytes]()
        if b";" in content:
            content, options = parse_options_header(content)
        form, body = content.decode("latin-1").strip().lower(), await request.body()
        top, threshold = _top(request), _threshold(request)
        if form == JSON or (not form and body[:1] == b"{"):
            images = await visit.in_thread(instances, body, served, pixels, visit.until)
            del body  # which may be much larger than its pictures, and they may wait for a slot
            counted.pictures = len(images)
            served.check_json(len(images))
            return json_response({"predictions": _predictions(await served.infer(images, visit.remaining))})
        if form == FORM:
            names, images = await visit.in_thread(_of_form, body, options.get(b"boundary", b""), served, pixels, visit.until)
            del body
            counted.pictures = len(images)
            outputs = await served.infer(images, visit.remaining)
        else:
            names, counted.pictures = [""], 1
            outputs = await _of_picture(body, served, visit)
        if len(names) * served.numbers() > LARGE_NUMBERS:
            told = await visit.in_thread(_told, served, names if form == FORM else [], outputs, top, threshold)
        else:
            told = _told(served, names if form == FORM else [], outputs, top, threshold)
    return json_response(told[0] if len(told) == 1 else {"predictions": told})


async def _of_picture(body: bytes, served: Served, visit: Visit) -> Outputs:
    """The outputs for a body that is one picture, decoded where the ways between threads cost least."""
    if not body:
        raise malformed("the body is empty; send a picture, as curl does with --data-binary @picture.jpg")
    pixels, files = visit.service.settings.limits.pixels, [("", body)]
    if len(body) < LARGE_BYTES and not served.tuning.inline:
        return await served.infer_unread(partial(_decoded, files, served, pixels, visit.until), visit.remaining)
    images = None
    if len(body) < SMALL_BYTES:
        try:
            images = _decoded(files, served, SMALL_PIXELS, visit.until)
        except Refusal as refusal:
            if refusal.status != 413:  # few bytes, and many pixels
                raise
    if images is None:
        images = await visit.in_thread(_decoded, files, served, pixels, visit.until)
    return await served.infer(images, visit.remaining)


def _told(served: Served, names: list[str], outputs: Outputs, top: int | None, threshold: float | None) -> list[dict[str, Any]]:
    """What people are told of every picture, as JSON; with the names of the files of a form."""
    answers = served.answers(outputs, top, threshold)
    told = [{"model": served.name, "version": served.version} for _ in answers]
    for one, name in zip(told, names, strict=False):
        one["file"] = name
    return [one | answer.to_json() for one, answer in zip(told, answers, strict=True)]


def _of_form(body: bytes, boundary: bytes, served: Served, pixels: int, until: float) -> tuple[list[str], Array]:
    """Names and pictures of a form."""
    files = parts(body, boundary)
    if not files:
        raise malformed("the form has no file; a picture comes as one of its files")
    if len(files) > LARGEST_BATCH:
        raise too_large(f"{len(files)} pictures in one request; {served.name} takes {LARGEST_BATCH}")
    return [name for name, _ in files], _decoded(files, served, pixels, until)


def instances(body: bytes, served: Served, pixels: int, until: float) -> Array:
    """The pictures of TensorFlow Serving's `instances`: nested numbers in 0..255, or files in base64 as {"b64": ...}.

    Shapes: float32 or uint8 [N, H, W, C].
    Raises:
        Refusal: says what is wrong with them.
    """
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise malformed(f"the body is no JSON: {error}") from None
    rows = values.get("instances") if isinstance(values, dict) else None
    if not isinstance(rows, list) or not rows:
        raise malformed("the body has no list of 'instances'; each is a picture's numbers, or {\"b64\": its file in base64}")
    if len(rows) > LARGEST_BATCH:
        raise too_large(f"{len(rows)} pictures in one request; {served.name} takes {LARGEST_BATCH}")
    # A row may name its one input, as in {"image": ...}.
    rows = [row[served.input_name] if isinstance(row, dict) and list(row) == [served.input_name] else row for row in rows]
    if all(isinstance(row, dict) for row in rows):
        return _decoded([("", _base64(row)) for row in rows], served, pixels, until)
    return from_numbers(rows, "FP32", (len(rows), *served.picture_shape))


def parts(body: bytes, boundary: bytes) -> list[tuple[str, bytes]]:
    """Names and contents of the files in a form.

    Raises:
        Refusal: it is no form.
    """
    found: list[tuple[str, bytes]] = []

    def keep(file: Any) -> None:
        if len(found) <= LARGEST_BATCH:  # one more than is taken tells that there are too many
            file.file_object.seek(0)
            found.append(((file.file_name or b"").decode("utf-8", "replace"), file.file_object.read()))
        file.close()

    if not boundary:
        raise malformed("the form has no boundary")
    try:
        parser = FormParser(FORM, None, keep, boundary=boundary, config={"MAX_MEMORY_FILE_SIZE": 2**62})
        parser.write(body)
        parser.finalize()
        whole = parser.parser is not None and getattr(parser.parser, "state", MultipartState.END) == MultipartState.END
    except (FormParserError, ValueError) as error:
        raise malformed(f"the body is no form: {shortened(error)}") from None
    if not whole:
        raise malformed("the form is truncated: its last boundary is missing")
    return found


def _decoded(files: list[tuple[str, bytes]], served: Served, pixels: int, until: float) -> Array:
    """uint8 [N, H, W, C]; no further than the request's deadline, because a thread cannot be told to stop."""
    if len(files) > 1 and sum(count_pixels(file) for _, file in files) > TOGETHER * pixels:
        raise too_large(f"the pictures have more than {TOGETHER * pixels / 10**6:g} million pixels together; send fewer at once")
    pictures: list[Array] = []
    for name, file in files:
        if pictures and time.monotonic() > until:
            raise Refusal(504, "the time was over before all pictures were decoded; send fewer at once")
        try:
            pictures.append(load_picture(file, served.picture_shape, pixels))
        except UnreadablePicture as error:
            place = f"'{shortened(name)}'" if name else "the picture"
            raise Refusal(413 if isinstance(error, TooManyPixels) else 400, f"{place} cannot be used: {error}") from None
    return np.stack(pictures) if len(pictures) > 1 else pictures[0][None]


def _base64(row: dict[str, Any]) -> bytes:
    text = row.get("b64")
    if not isinstance(text, str) or len(row) != 1:
        raise malformed('an instance is neither a picture\'s numbers nor {"b64": its file in base64}')
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise malformed("the 'b64' of an instance is no base64") from None


def _predictions(outputs: Outputs) -> list[Any]:
    """As TensorFlow Serving has them: a list of the one output, or an object by name for several."""
    if len(outputs) == 1:
        [values] = outputs.values()
        return list(values)
    return [{name: values[row] for name, values in outputs.items()} for row in range(len(next(iter(outputs.values()))))]


def _top(request: Request) -> int | None:
    given = _asked(request, "top")
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) <= 4 and 1 <= int(given) <= 1000):
        raise malformed(f"top={shortened(given)} is no number of classes or boxes from 1 to 1000")
    return int(given)


def _threshold(request: Request) -> float | None:
    given = _asked(request, "threshold")
    if given is None:
        return None
    if not SHARE.fullmatch(given) or float(given) > 1:
        raise malformed(f"threshold={shortened(given)} is no number from 0 to 1")
    return float(given)


def _asked(request: Request, name: str) -> str | None:
    """A word behind the question mark; of several the last."""
    return request.query.get(name, [None])[-1] if request.query_string else None
