"""Boxes and masks over HTTP and gRPC: every picture gets its own, by the release's classes and threshold."""

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from PIL import Image

from app.serve.messages import inference
from app.serve.openapi import document
from app.serve.refusal import Refusal
from app.serve.served import JSON_NUMBERS, Served
from tests.serve.fits import fits
from tests.serve.started import Server
from tests.serve.test_pictures import form
from tests.serve.tiny import KINDS, MOST, SHAPE, picture_of, write_tiny_detector, write_tiny_segmenter

BOXES = (((1, 204, (0, 51, 102, 153))), (2, 102, (51, 0, 255, 255)), (1, 255, (102, 102, 204, 204)))
PREDICT = "/v1/models/{}:predict"
KINDS_OF_ANSWERS = ["Labels", "Boxes", "Mask", "FileLabels", "FileBoxes", "FileMask", "Answers", "Predictions", "Catalogue"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    write_tiny_detector(folder / "exported")
    write_tiny_segmenter(folder / "exported")
    started = Server(str(folder / "exported"), log=folder / "log")
    yield started
    assert started.stop() == 0


def png(pixels):
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG")
    return held.getvalue()


def painted():
    """A picture whose upper half is green, the left of the rest blue."""
    pixels = np.zeros(SHAPE, np.uint8)
    pixels[:2, :, 1] = 255
    pixels[2:, :2, 2] = 255
    pixels[2:, 2:, 0] = 255
    return pixels


def mask_in(answer):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["mask"]["png"]))))


def tensor(images, **changes):
    data = {"name": "image", "shape": list(images.shape), "datatype": "UINT8", "data": images.ravel().tolist()}
    return {"inputs": [data], **changes}


def fitting(values):
    """The names of the kinds of answers that values fit."""
    schemas = document()["components"]["schemas"]
    return [name for name in KINDS_OF_ANSWERS if fits(values, schemas[name], schemas)]


def test_boxes_have_labels_scores_and_fractions_the_surest_first(server):
    answer = server.post(PREDICT.format("boxes"), png(picture_of(BOXES))).json()
    assert answer == {
        "model": "boxes", "version": "1",
        "boxes": [{"label": "green", "score": 1.0, "box": [0.4, 0.4, 0.8, 0.8]},
                  {"label": "green", "score": 0.8, "box": [0.0, 0.2, 0.4, 0.6]}],
    }  # fmt: skip
    assert fitting(answer) == ["Boxes"]
    assert server.post(PREDICT.format("boxes"), png(picture_of([]))).json()["boxes"] == []


@pytest.mark.parametrize(
    ("asked", "scores"),
    [("", [1.0, 0.8]), ("?threshold=0", [1.0, 0.8, 0.4]), ("?threshold=4e-1", [1.0, 0.8, 0.4]), ("?threshold=1", [1.0]),
     ("?threshold=.1&top=2", [1.0, 0.8]), ("?top=1", [1.0]), ("?top=1000", [1.0, 0.8])],
)  # fmt: skip
def test_the_client_says_how_sure_boxes_have_to_be_and_how_many_it_wants(server, asked, scores):
    answer = server.post(PREDICT.format("boxes") + asked, png(picture_of(BOXES))).json()
    assert [box["score"] for box in answer["boxes"]] == scores


@pytest.mark.parametrize("given", ["", "-0.1", "1.1", "nan", "inf", "1_0", "0.5%20", "half"])
def test_a_threshold_that_is_none_is_refused(server, given):
    answer = server.post(f"{PREDICT.format('boxes')}?threshold={given}", png(picture_of(BOXES)))
    assert answer.status == 400
    assert "is no number from 0 to 1" in answer.error


def test_a_mask_has_the_number_of_every_pixels_class_and_the_shares(server):
    answer = server.post(PREDICT.format("mask"), png(painted())).json()
    assert (mask_in(answer) == painted().argmax(axis=2)).all()
    assert (answer["mask"]["width"], answer["mask"]["height"]) == (SHAPE[1], SHAPE[0])
    assert answer["mask"]["classes"] == [
        {"label": "green", "share": 0.5}, {"label": "background", "share": 0.25}, {"label": "blue", "share": 0.25},
    ]  # fmt: skip
    assert fitting(answer) == ["Mask"]


def test_several_files_get_their_own_boxes_and_masks(server):
    pictures = [picture_of(BOXES[:count]) for count in (3, 0, 1)]
    body, headers = form(*((f"{number}.png", png(one)) for number, one in enumerate(pictures)))
    rows = server.ask("POST", PREDICT.format("boxes"), body, headers).json()["predictions"]
    assert [(row["file"], len(row["boxes"])) for row in rows] == [("0.png", 2), ("1.png", 0), ("2.png", 1)]
    assert fitting({"predictions": rows}) == ["Answers"]
    pictures = [painted(), painted()[::-1]]
    body, headers = form(*((f"{number}.png", png(one)) for number, one in enumerate(pictures)))
    rows = server.ask("POST", PREDICT.format("mask"), body, headers).json()["predictions"]
    assert all((mask_in(row) == one.argmax(axis=2)).all() for row, one in zip(rows, pictures, strict=True))


def test_instances_get_every_output_by_its_name(server):
    pictures = np.stack([picture_of(BOXES), picture_of(BOXES[:1])])
    found = server.post(PREDICT.format("boxes"), {"instances": pictures.tolist()}).json()
    assert [row["count"] for row in found["predictions"]] == [3.0, 1.0]
    assert np.shape(found["predictions"][0]["boxes"]) == (MOST, 4)
    assert fitting(found) == ["Predictions"]
    found = server.post(PREDICT.format("mask"), {"instances": [painted().tolist()]}).json()
    assert np.shape(found["predictions"]) == (1, *SHAPE)
    assert fitting(found) == ["Predictions"]


def test_the_protocol_tells_and_gives_all_outputs_in_all_their_ranks(server):
    shapes = {"boxes": [MOST, 4], "classes": [MOST], "scores": [MOST], "count": []}
    told = server.get("/v2/models/boxes").json()["outputs"]
    assert {one["name"]: one["shape"] for one in told} == {name: [-1, *shape] for name, shape in shapes.items()}
    images = np.stack([picture_of(BOXES), picture_of(BOXES[:2])])
    outputs = {one["name"]: one for one in server.post("/v2/models/boxes/infer", tensor(images)).json()["outputs"]}
    assert {name: one["shape"] for name, one in outputs.items()} == {name: [2, *shape] for name, shape in shapes.items()}
    assert outputs["count"]["data"] == [3.0, 2.0]
    assert outputs["classes"]["data"] == [1.0, 2.0, 1.0, 1.0, 2.0, 0.0]
    answer = server.post("/v2/models/boxes/infer", tensor(images, parameters={"binary_data_output": True}))
    length = int(answer.headers["inference-header-content-length"])
    sizes = [one["parameters"]["binary_data_size"] for one in json.loads(answer.body[:length])["outputs"]]
    assert sizes == [2 * 4 * int(np.prod(shape)) for shape in shapes.values()]
    assert np.frombuffer(answer.body[-8:], "<f4").tolist() == [3.0, 2.0]


def test_triton_is_told_of_an_output_without_dimensions_and_of_no_labels_where_none_are(server):
    rows = {row["name"]: row for row in server.get("/v2/models/boxes/config").json()["output"]}
    assert rows["count"] == {"name": "count", "data_type": "TYPE_FP32", "dims": [1], "reshape": {"shape": []}}
    assert rows["boxes"] == {"name": "boxes", "data_type": "TYPE_FP32", "dims": [MOST, 4]}
    assert inference.ModelConfig(output=list(rows.values())).output[3].HasField("reshape")


def test_grpc_gives_all_outputs_too_and_refuses_likeliest_classes(server):
    images = np.stack([picture_of(BOXES), picture_of(BOXES[:1])])
    asked = inference.ModelInferRequest(model_name="boxes", raw_input_contents=[images.tobytes()])
    asked.inputs.add(name="image", datatype="UINT8", shape=images.shape)
    with grpc.insecure_channel(server.grpc) as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=inference.ModelInferRequest.SerializeToString,
            response_deserializer=inference.ModelInferResponse.FromString,
        )
        found = infer(asked, timeout=30)
        assert {one.name: list(one.shape) for one in found.outputs} == {
            "boxes": [2, MOST, 4], "classes": [2, MOST], "scores": [2, MOST], "count": [2],
        }  # fmt: skip
        assert np.frombuffer(found.raw_output_contents[3], "<f4").tolist() == [3.0, 1.0]
        asked.outputs.add(name="classes").parameters["classification"].int64_param = 1
        with pytest.raises(grpc.RpcError, match="boxes is for detection"):
            infer(asked, timeout=30)


def test_pictures_of_many_clients_that_run_together_keep_their_own_outputs(server):
    def ask(number):
        images = np.stack([picture_of(BOXES[: (number + place) % 4]) for place in range(1 + number % 3)])
        outputs = server.post("/v2/models/boxes/infer", tensor(images)).json()["outputs"]
        return next(one["data"] for one in outputs if one["name"] == "count") == images.reshape(len(images), -1)[:, 18].tolist()

    with ThreadPoolExecutor(8) as clients:
        assert all(clients.map(ask, range(60)))


@pytest.mark.parametrize("model", ["boxes", "mask"])
def test_likeliest_classes_are_refused_where_there_are_no_probabilities(server, model):
    outputs = [{"name": "scores" if model == "boxes" else "masks", "parameters": {"classification": 2}}]
    answer = server.post(f"/v2/models/{model}/infer", tensor(painted()[None], outputs=outputs))
    objective = {"boxes": "detection", "mask": "segmentation"}[model]
    assert answer.status == 400
    assert answer.error == f"'classification' names classes by their probabilities; {model} is for {objective}"


def test_numbers_that_would_take_long_to_write_are_refused_before_the_network_runs():
    large = SimpleNamespace(output_shapes={"masks": [-1, 1024, 1024, 2], "count": [-1]})
    large.numbers = lambda names=None: Served.numbers(large, names)
    Served.check_json(large, 3)
    Served.check_json(large, 64, ["count"])
    with pytest.raises(Refusal, match=f"which has room for {JSON_NUMBERS}; send fewer pictures") as refused:
        Served.check_json(large, 5)
    assert refused.value.status == 413


def test_the_catalogue_tells_what_a_page_needs_to_draw(server):
    models = {one["name"]: one for one in server.get("/v1/models").json()["models"]}
    assert {name: (one["objective"], one["threshold"]) for name, one in models.items()} == {
        "boxes": ("detection", 0.5), "mask": ("segmentation", 0.0),
    }  # fmt: skip
    assert models["mask"]["classes"] == list(KINDS)
    assert fitting({"models": list(models.values())}) == ["Catalogue"]


def test_the_description_shows_an_answer_of_every_kind_and_each_fits_one_schema_alone():
    content = document()["paths"]["/v1/models/{model}:predict"]["post"]["responses"]["200"]["content"]["application/json"]
    assert set(content["examples"]) == {"Labels", "Boxes", "Mask"}
    for name, example in content["examples"].items():
        assert fitting(example["value"]) == [name]
    assert [one["$ref"].rpartition("/")[2] for one in content["schema"]["oneOf"]] == KINDS_OF_ANSWERS[:-1]
