"""The bodies of requests and answers as JSON Schemas, for `openapi`.

Source: JSON Schema 2020-12, which OpenAPI 3.1 uses.
"""

from __future__ import annotations

from typing import Any

from app.release import LARGEST_BATCH
from app.serve.tensors import TAKEN

Schema = dict[str, Any]
DATATYPES = [*TAKEN, "BYTES"]  # of inputs; of outputs, where BYTES are classes in words
# A picture of one white pixel, so that examples can be sent as they are.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mP4DwABAQEAHLCMmQAAAABJRU5ErkJggg=="


def text(description: str = "", **more: Any) -> Schema:
    """A string."""
    return {"type": "string"} | ({"description": description} if description else {}) | more


def whole(description: str = "", minimum: int = 0, **more: Any) -> Schema:
    """A whole number."""
    return {"type": "integer", "minimum": minimum} | ({"description": description} if description else {}) | more


def truth(description: str = "") -> Schema:
    """True or false."""
    return {"type": "boolean"} | ({"description": description} if description else {})


def rows(items: Schema, description: str = "", **more: Any) -> Schema:
    """A list."""
    return {"type": "array", "items": items} | ({"description": description} if description else {}) | more


def record(fields: dict[str, Schema], optional: dict[str, Schema] | None = None, *, closed: bool = True, **more: Any) -> Schema:
    """An object.

    Args:
        closed: has no other fields. What clients send is open, because the protocol lets them say more.
    """
    made: Schema = {"type": "object", "properties": fields | (optional or {})}
    if fields:
        made["required"] = list(fields)
    return made | ({"additionalProperties": False} if closed else {}) | more


def named(name: str) -> Schema:
    """One of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
SHAPE = rows({"type": "integer", "minimum": -1}, "-1 is for any number of pictures")
DURATION = record({"count": whole(), "ns": whole("nanoseconds, all together")})
STATES = ["READY", "UNAVAILABLE"]
DURATIONS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")
WHO = {"model": text(), "version": text()}
FILE = {"file": text("as the form named it")}
FOUND = record(
    {"label": text(), "score": PROBABILITY,
     "box": rows({"type": "number"}, "ymin, xmin, ymax, xmax, fractions of the picture", minItems=4, maxItems=4)},
)  # fmt: skip
PAINTED = record(
    {"width": whole("pixels, the network's", 1), "height": whole("pixels, the network's", 1),
     "classes": rows(record({"label": text(), "share": PROBABILITY}), "with their shares of the picture, the largest first"),
     "png": text("a grey PNG of that size, whose values are the numbers of the classes", contentEncoding="base64",
                 contentMediaType="image/png")},
)  # fmt: skip
# What a picture is answered, by the model's objective.
TOLD = {
    "Labels": {
        "labels": rows(record({"label": text(), "probability": PROBABILITY}), "the likeliest first"),
        "none_of_these": truth("whether the network is so unsure that the picture is likely none of its classes"),
    },
    "Boxes": {"boxes": rows(FOUND, "the surest first")},
    "Mask": {"mask": PAINTED},
}
TENSOR = {"name": text(), "datatype": text(), "shape": SHAPE}
SIZE = whole("bytes of this tensor behind the JSON, instead of `data`")
DATA = rows({}, "numbers in the order of rows, flat or nested as the shape is")
SETTINGS = {
    "timeout": whole("microseconds that the client waits; 0 or nothing: as long as the service does"),
    "binary_data_output": truth("whether outputs come as bytes behind the JSON, unless they say otherwise themselves"),
}
OUTPUT_SETTINGS = {
    "binary_data": truth("whether this output comes as bytes behind the JSON"),
    "classification": whole("instead of numbers, so many of the likeliest classes as `probability:number:class`"),
}
INPUT = record(
    {"name": text("the input's name"), "shape": rows(whole(minimum=1), "pictures, height, width, channels"),
     "datatype": text("FP32, or UINT8 for the bytes of pixels", enum=list(TAKEN))},
    {"data": DATA, "parameters": record({}, {"binary_data_size": SIZE}, closed=False)}, closed=False,
)  # fmt: skip
INFER_EXAMPLE = {
    "id": "42",
    "inputs": [{"name": "image", "shape": [1, 28, 28, 3], "datatype": "FP32", "data": [0, 0, 0]}],
}
# By the schemas' names in `TOLD`.
ANSWER_EXAMPLES = {
    "Labels": {
        "model": "lenet5-mnist", "version": "1",
        "labels": [{"label": "7", "probability": 0.998}, {"label": "1", "probability": 0.001}], "none_of_these": False,
    },
    "Boxes": {
        "model": "yolo_v5_tiny-scenes", "version": "1",
        "boxes": [{"label": "7", "score": 0.97, "box": [0.1, 0.25, 0.4, 0.45]}],
    },
    "Mask": {
        "model": "unet-scenes", "version": "1",
        "mask": {"width": 1, "height": 1, "classes": [{"label": "background", "share": 1.0}], "png": PIXEL},
    },
}  # fmt: skip

SCHEMAS: dict[str, Schema] = {
    "Error": record({"error": text("one sentence for people")}, examples=[{"error": "there is no model 'x'; there is: y"}]),
    "Server": record({"name": text(), "version": text("of the protocol"), "extensions": rows(text())}),
    "Model": record(
        {"name": text(), "versions": rows(text()), "platform": text(), "inputs": rows(record(TENSOR)),
         "outputs": rows(record(TENSOR))},
        examples=[{
            "name": "lenet5-mnist", "versions": ["1"], "platform": "onnxruntime_onnx",
            "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 28, 28, 3]}],
            "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}],
        }],
    ),
    "Config": record(
        {"name": text(), "platform": text(), "backend": text(), "max_batch_size": whole(minimum=1),
         "input": rows(record({"name": text(), "data_type": text(), "dims": SHAPE})),
         "output": rows(record({"name": text(), "data_type": text(), "dims": SHAPE, "label_filename": text()}))},
        closed=False,
    ),
    "Statistics": record({"model_stats": rows(record({
        "name": text(), "version": text(), "last_inference": whole("milliseconds since 1970; 0 for none yet"),
        "inference_count": whole("pictures"), "execution_count": whole("runs of the network"),
        "inference_stats": record(dict.fromkeys(DURATIONS, DURATION)),
        "batch_stats": rows(record({"batch_size": whole(), "compute_input": DURATION, "compute_infer": DURATION,
                                    "compute_output": DURATION})),
    }))}),
    "InferRequest": record(
        {"inputs": rows(INPUT, "the network's one input", minItems=1, maxItems=1)},
        {"id": text("comes back with the answer"), "parameters": record({}, SETTINGS, closed=False),
         "outputs": rows(record({"name": text()}, {"parameters": record({}, OUTPUT_SETTINGS, closed=False)}, closed=False),
                         "which outputs, and how; nothing: all of them")},
        closed=False, examples=[INFER_EXAMPLE],
    ),
    "InferResponse": record(
        {"model_name": text(), "model_version": text(), "outputs": rows(record(
            {"name": text(), "datatype": text(enum=DATATYPES), "shape": rows(whole())},
            {"data": rows({"type": ["number", "string"]}), "parameters": record({"binary_data_size": SIZE})},
        ))},
        {"id": text()},
        examples=[{"model_name": "lenet5-mnist", "model_version": "1", "id": "42", "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [1, 3], "data": [0.1, 0.7, 0.2]}]}],
    ),
    "IndexRequest": record({}, {"ready": truth("only what answers")}, closed=False, examples=[{"ready": True}]),
    "Index": rows(record({"name": text(), "version": text(), "state": text(enum=STATES), "reason": text()}),
                  examples=[[{"name": "lenet5-mnist", "version": "1", "state": "READY", "reason": ""}]]),
    "LoadRequest": record({}, {"parameters": record({}, closed=False, maxProperties=0)}, closed=False, examples=[{}]),
    "UnloadRequest": record({}, {"parameters": record({}, closed=False)}, closed=False, examples=[{}]),
    "Nothing": record({}, examples=[{}]),
    "Catalogue": record({"models": rows(record({
        "name": text(), "version": text("the newest"), "versions": rows(text()), "objective": text(),
        "classes": rows(text(), "in the order of their numbers"),
        "threshold": PROBABILITY | {"description": "what is less likely is not believed, unless another is asked for"},
        "input": record(dict.fromkeys(("height", "width", "channels"), whole(minimum=1))), "ready": truth(),
    }))}),
    **{name: record(WHO | told, examples=[ANSWER_EXAMPLES[name]]) for name, told in TOLD.items()},
    **{f"File{name}": record(WHO | FILE | told) for name, told in TOLD.items()},
    "Answers": record({"predictions": rows({"oneOf": [named(f"File{name}") for name in TOLD]}, "in the order of the form",
                                           minItems=2)}),
    "Instances": record(
        {"instances": rows({"description": "a picture's numbers in 0..255 as rows of pixels of channels, or its file in base64"},
                           minItems=1, maxItems=LARGEST_BATCH)},
        closed=False, examples=[{"instances": [{"b64": PIXEL}]}],
    ),
    "Predictions": record(
        {"predictions": rows({"type": ["array", "object"], "additionalProperties": {"type": ["array", "number"]}},
                             "for each picture the numbers of the one output, such as a probability for each class; of several "
                             "outputs an object with them by their names", minItems=1)},
        examples=[{"predictions": [[0.1, 0.7, 0.2]]}],
    ),
    "Form": record({"file": rows(text(contentMediaType="application/octet-stream"), "pictures; the field's name is free")},
                   closed=False),
}  # fmt: skip
