"""Pictures straight in: the service says of any of them what `python -m app predict` says."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from app.images import load_picture
from app.predict.ask import predict
from tests.serve.started import Server
from tests.serve.tiny import NUMBERS, SHAPE, write_tiny

WIDTH, HEIGHT = 61, 43


def photo(size=(WIDTH, HEIGHT)):
    """No two corners and no two channels alike, so that every turn and swap shows."""
    down, right = np.mgrid[0 : size[1], 0 : size[0]]
    red, green = right * 255 / size[0], down * 255 / size[1]
    return Image.fromarray(np.stack([red, green, (red * 2 + green) % 256], axis=-1).astype(np.uint8))


def saved(image, kind, **settings):
    held = io.BytesIO()
    image.save(held, kind, **settings)
    return held.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(photo(), "JPEG", quality=95, exif=exif)


def transparent():
    made = photo().convert("RGBA")
    made.putalpha(Image.linear_gradient("L").resize(made.size))
    return made


def sixteen_bits():
    return Image.fromarray((np.asarray(photo().convert("L"), np.uint16) * 257).copy())


def frames():
    return [photo(), photo().rotate(180)]


KINDS = {
    "PNG": lambda: saved(photo(), "PNG"),
    "PNG, grey": lambda: saved(photo().convert("L"), "PNG"),
    "PNG, grey and alpha": lambda: saved(transparent().convert("LA"), "PNG"),
    "PNG, alpha": lambda: saved(transparent(), "PNG"),
    "PNG, palette": lambda: saved(photo().quantize(16), "PNG"),
    "PNG, palette with a transparent colour": lambda: saved(photo().quantize(16), "PNG", transparency=3),
    "PNG, 1 bit": lambda: saved(photo().convert("1"), "PNG"),
    "PNG, 16 bits": lambda: saved(sixteen_bits(), "PNG"),
    "PNG, 1x1": lambda: saved(photo((1, 1)), "PNG"),
    "PNG, 1x900": lambda: saved(photo((1, 900)), "PNG"),
    "JPEG": lambda: saved(photo(), "JPEG"),
    "JPEG, grey": lambda: saved(photo().convert("L"), "JPEG"),
    "JPEG, CMYK": lambda: saved(photo().convert("CMYK"), "JPEG"),
    "JPEG, progressive": lambda: saved(photo(), "JPEG", progressive=True),
    "JPEG, 3000x2000": lambda: saved(photo((3000, 2000)), "JPEG"),
    **{f"JPEG, turned {number}": lambda number=number: turned(number) for number in range(1, 9)},
    "GIF": lambda: saved(photo(), "GIF"),
    "GIF, moving": lambda: saved(frames()[0], "GIF", save_all=True, append_images=frames()[1:]),
    "WebP": lambda: saved(photo(), "WEBP"),
    "WebP, lossless": lambda: saved(photo(), "WEBP", lossless=True),
    "WebP, alpha": lambda: saved(transparent(), "WEBP"),
    "BMP": lambda: saved(photo(), "BMP"),
    "TIFF": lambda: saved(photo(), "TIFF"),
    "TIFF, packed": lambda: saved(photo(), "TIFF", compression="tiff_lzw"),
    "TIFF, CMYK": lambda: saved(photo().convert("CMYK"), "TIFF"),
}


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    """A release of a network that tells colours apart, and its server."""
    folder = tmp_path_factory.mktemp("colour")
    release = write_tiny(folder / "exported", "colour")
    server = Server(str(release), log=folder / "log")
    yield release, server
    assert server.stop() == 0


@pytest.fixture(params=["grey", "colour"])
def served(request):
    """A release's folder, its server, and where it predicts."""
    if request.param == "colour":
        folder, server = request.getfixturevalue("colour")
        return folder, server, "/v1/models/colour:predict"
    release = request.getfixturevalue("release")
    return release.folder, request.getfixturevalue("server"), f"/v1/models/{release.name}:predict"


def told(folder, files, top=5):
    """What the command line says of files: answers as JSON."""
    return [answer.to_json() for _, answer in predict(folder, files, top)]


def assert_same(answer, wanted):
    assert [one["label"] for one in answer["labels"]] == [one["label"] for one in wanted["labels"]]
    pairs = zip(answer["labels"], wanted["labels"], strict=True)
    assert max(abs(one["probability"] - other["probability"]) for one, other in pairs) <= 1e-6
    assert answer["none_of_these"] == wanted["none_of_these"]


def form(*files):
    parts = [
        f'--B\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode() + body for name, body in files
    ]
    return b"\r\n".join([*parts, b"--B--\r\n"]), {"content-type": "multipart/form-data; boundary=B"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_of_any_kind_gets_the_answer_of_the_command_line(served, kind, tmp_path):
    folder, server, path = served
    data, file = KINDS[kind](), tmp_path / "picture"
    file.write_bytes(data)
    [wanted] = told(folder, [file])
    for types in ({}, {"content-type": "image/png"}, {"content-type": "application/octet-stream"}):  # whatever it is called
        answer = server.ask("POST", path, data, types)
        assert answer.status == 200, answer.body
        assert_same(answer.json(), wanted)
    assert set(answer.json()) == {"model", "version", "labels", "none_of_these"}
    body, headers = form(("picture.bin", data))
    assert_same(server.ask("POST", path, body, headers).json(), wanted)


@pytest.mark.parametrize("kind", ["PNG", "JPEG, turned 6", "WebP, alpha"])
def test_instances_get_all_probabilities(served, kind, tmp_path):
    folder, server, path = served
    data, file = KINDS[kind](), tmp_path / "picture"
    file.write_bytes(data)
    [wanted] = told(folder, [file], top=1000)
    shape = tuple(server.get("/v1/models").json()["models"][0]["input"].values())
    array = load_picture(data, shape)
    classes = server.get("/v1/models").json()["models"][0]["classes"]
    for instances in ([{"b64": base64.b64encode(data).decode()}], [array.tolist()], [{"image": array.tolist()}],
                      [array.astype(float).tolist()]):  # fmt: skip
        [found] = server.post(path, {"instances": instances}).json()["predictions"]
        by_label = dict(zip(classes, found, strict=True))
        assert max(abs(by_label[one["label"]] - one["probability"]) for one in wanted["labels"]) <= 1e-6


def test_several_files_are_answered_in_their_order_and_by_their_names(served, tmp_path):
    folder, server, path = served
    names = {"eins.png": "PNG", "zwei ü.jpg": "JPEG, turned 3", "3.gif": "GIF", "drei 青.webp": "WebP"}
    files = [(name, KINDS[kind]()) for name, kind in names.items()]
    for place, (_, data) in enumerate(files):
        (tmp_path / f"{place}").write_bytes(data)
    wanted = told(folder, [tmp_path / f"{place}" for place in range(len(files))])
    body, headers = form(*files)
    answer = server.ask("POST", path, body, headers)
    rows = answer.json()["predictions"]
    assert [row["file"] for row in rows] == list(names)
    for row, one in zip(rows, wanted, strict=True):
        assert_same(row, one)


def test_several_instances_are_answered_in_their_order(colour):
    _, server = colour
    images = np.random.default_rng(0).integers(0, 256, (64, *SHAPE))
    answer = server.post("/v1/models/colour:predict", {"instances": images.tolist()})
    wanted = images.reshape(64, -1)[:, :NUMBERS]
    wanted[:, -1] += 1
    assert answer.json() == {"predictions": wanted.tolist()}


def test_the_client_says_how_many_classes_it_wants(colour):
    _, server = colour
    data = KINDS["PNG"]()
    for asked, count in (("", 5), ("?top=1", 1), ("?top=7", 7), ("?top=1000", NUMBERS), ("?top=2&top=3", 3)):
        answer = server.post(f"/v1/models/colour:predict{asked}", data)
        assert len(answer.json()["labels"]) == count
        shown = [one["probability"] for one in answer.json()["labels"]]
        assert shown == sorted(shown, reverse=True)


def test_a_version_can_be_asked_for(colour):
    _, server = colour
    assert server.post("/v1/models/colour/versions/1:predict", KINDS["PNG"]()).json()["version"] == "1"
    assert server.post("/v1/models/colour/versions/2:predict", KINDS["PNG"]()).status == 404


def test_fields_of_a_form_that_are_no_files_are_left_alone(colour):
    _, server = colour
    body, headers = form(("a.png", KINDS["PNG"]()))
    field = b'--B\r\nContent-Disposition: form-data; name="note"\r\n\r\nwords\r\n'
    answer = server.ask("POST", "/v1/models/colour:predict", field + body, headers)
    assert (answer.status, answer.json()["file"]) == (200, "a.png")


FAULTS = {
    "words": (b"words", "not a picture"),
    "half a picture": (saved(photo(), "PNG")[:200], "the file is truncated"),
    "an empty file": (b"", "the file is empty"),
    "32 bits": (saved(Image.new("F", (4, 4), 0.5), "TIFF"), "pixels of 32 bits"),
    "an icon": (saved(photo(), "ICO"), "not a picture"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_cannot_be_used_is_named(colour, fault):
    _, server = colour
    data, said = FAULTS[fault]
    body, headers = form(("good.png", KINDS["PNG"]()), ("bad.png", data))
    answer = server.ask("POST", "/v1/models/colour:predict", body, headers)
    assert answer.status == 400
    assert answer.error.startswith(f"'bad.png' cannot be used: {said}")
    if data:
        answer = server.post("/v1/models/colour:predict", data)
        assert answer.status == 400
        assert answer.error.startswith(f"the picture cannot be used: {said}")


def test_a_picture_of_too_many_pixels_is_refused_by_its_header(colour):
    _, server = colour
    for size, status in (((4000, 4000), 200), ((4001, 4000), 413)):
        answer = server.post("/v1/models/colour:predict", saved(Image.new("1", size), "PNG"))
        assert answer.status == status
    assert answer.error == "the picture cannot be used: more than 16 million pixels"
    body, headers = form(("huge.png", saved(Image.new("1", (5000, 5000)), "PNG")))
    answer = server.ask("POST", "/v1/models/colour:predict", body, headers)
    assert (answer.status, answer.error) == (413, "'huge.png' cannot be used: more than 16 million pixels")


def test_json_needs_no_type_and_takes_any_charset_parameter(colour):
    _, server = colour
    body = json.dumps({"instances": np.zeros((1, *SHAPE)).tolist()}).encode()
    for types in ({}, {"content-type": "application/json; charset=utf-8"}, {"content-type": "APPLICATION/JSON"}):
        assert server.ask("POST", "/v1/models/colour:predict", body, types).status == 200
