import json
import re
from dataclasses import replace

import pytest
from PIL import Image

from app.demo.build import build
from app.demo.icons import SIZES
from app.demo.serve import POLICY, TYPES
from app.errors import UserError
from tests.demo.conftest import make_release

ADDRESS = re.compile(r"""(?:src|href)="([^"]+)"|from "([^"]+)"|(?:fetch|register|URL|import)\(["`]([^"`]+)["`]|: "(\./[^"]+)\"""")


def built(site):
    """What the service worker was told."""
    text = (site / "sw.js").read_text()
    return json.loads(re.search(r"const BUILT = (\{.*?\});", text, re.DOTALL)[1])


def cut(release):
    """The same release, its TFLite file of integers with a second half."""
    halves = [
        replace(file, tail="tail.tflite", tail_sha256="0") if file.path == "model-int8.tflite" else file for file in release.files
    ]
    return replace(release, files=tuple(halves))


def files_in(site):
    return sorted(file.relative_to(site).as_posix() for file in site.rglob("*") if file.is_file())


def test_the_folder_has_the_page_the_files_that_browsers_run_and_the_samples(small, runtimes, tmp_path):
    files = build(small, tmp_path / "site")
    assert files == files_in(tmp_path / "site")
    models = {path for path in files if path.startswith("model/")}
    assert models == {"model/model.onnx", "model/model-int8.onnx", "model/model-fp32.tflite", "model/model-int8.tflite"}
    for path in models:
        assert (tmp_path / "site" / path).read_bytes() == (small.folder / path.removeprefix("model/")).read_bytes()
    assert {"index.html", "sw.js", "site.json", "manifest.webmanifest", "samples/00.png", "samples/samples.json"} <= set(files)
    assert {"runtime/onnx/ort-wasm-simd-threaded.wasm", "runtime/litert/litert_wasm_internal.wasm"} <= set(files)


def test_the_page_knows_of_the_release_what_it_shows(small, runtimes, tmp_path):
    build(small, tmp_path / "site")
    site = json.loads((tmp_path / "site/site.json").read_text())
    assert site["classes"] == list(small.classes)
    assert site["shape"] == {"height": 28, "width": 28}
    assert site["threshold"] == 0.75
    assert [variant["name"] for variant in site["variants"]] == ["onnx-fp32", "onnx-int8", "tflite-fp32", "tflite-int8"]
    int8 = site["variants"][3]
    assert (int8["path"], int8["input_dtype"]) == ("model/model-int8.tflite", "uint8")
    assert (int8["bytes"], int8["metric"]) == (len("model-int8.tflite"), 0.99)


def test_a_runtime_that_no_file_needs_stays_out(runtimes, tmp_path):
    files = build(make_release(tmp_path / "release", ("model.onnx",)), tmp_path / "site")
    assert "runtime/onnx/ort.wasm.min.mjs" in files
    assert not [path for path in files if path.startswith("runtime/litert/")]


def test_every_address_is_relative_so_that_any_path_of_a_host_will_do(small, runtimes, tmp_path):
    site = tmp_path / "site"
    files = build(small, site)
    named = []
    for path in files:
        if path.endswith((".html", ".js")) and not path.startswith("runtime/"):
            named += ADDRESS.findall((site / path).read_text())
    addresses = ["".join(groups) for groups in named]
    assert len(addresses) > 25
    for address in addresses:
        assert not re.match(r"/|\w+:", address), address
        fixed = address.split("$")[0].removeprefix("./").removeprefix(".")
        assert any(path.startswith(fixed) for path in files), address
    manifest = json.loads((site / "manifest.webmanifest").read_text())
    assert manifest["start_url"] == manifest["scope"] == "./"
    assert {icon["src"] for icon in manifest["icons"]} <= set(files)
    assert not re.search(r"https?://", "".join((site / path).read_text() for path in files if "/" not in path))


def test_the_icons_have_the_sizes_that_phones_ask_for(small, runtimes, tmp_path):
    build(small, tmp_path / "site")
    manifest = json.loads((tmp_path / "site/manifest.webmanifest").read_text())
    assert {icon["sizes"] for icon in manifest["icons"]} == {f"{size}x{size}" for size in SIZES} >= {"192x192", "512x512"}
    assert {icon["purpose"] for icon in manifest["icons"]} == {"any", "maskable"}
    for icon in manifest["icons"]:
        with Image.open(tmp_path / "site" / icon["src"]) as image:
            assert f"{image.width}x{image.height}" == icon["sizes"]
            assert len(image.getcolors(1 << 20)) > 2


def test_every_file_has_a_type_that_browsers_accept(small, runtimes, tmp_path):
    for path in build(small, tmp_path / "site"):
        assert path[path.rindex(".") :] in TYPES, path
    assert TYPES[".mjs"].startswith("text/javascript")
    assert TYPES[".wasm"] == "application/wasm"


def test_the_page_has_the_policy_that_the_server_sends(small, runtimes, tmp_path):
    build(small, tmp_path / "site")
    page = (tmp_path / "site/index.html").read_text()
    assert f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">' in page
    assert "unsafe-inline" not in POLICY
    assert "'unsafe-eval'" not in POLICY
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", page)


def test_the_service_worker_keeps_every_file_but_itself(small, runtimes, tmp_path):
    files = build(small, tmp_path / "site")
    assert sorted([*built(tmp_path / "site")["files"], "sw.js"]) == files


def test_large_models_are_kept_only_when_they_are_chosen(small, runtimes, tmp_path, monkeypatch):
    build(small, tmp_path / "site")
    assert built(tmp_path / "site")["later"] == []
    monkeypatch.setattr("app.demo.build.LARGE", len("model.onnx"))
    build(small, tmp_path / "site")
    assert built(tmp_path / "site")["later"] == ["model/model-fp32.tflite", "model/model-int8.onnx", "model/model-int8.tflite"]


def test_other_content_is_another_version_and_the_same_the_same(small, runtimes, tmp_path):
    build(small, tmp_path / "one")
    build(small, tmp_path / "two")
    assert (tmp_path / "one/sw.js").read_bytes() == (tmp_path / "two/sw.js").read_bytes()
    (runtimes / "runtime/onnx/ort.wasm.min.mjs").write_text("// newer")
    build(small, tmp_path / "two")
    assert built(tmp_path / "one")["version"] != built(tmp_path / "two")["version"]
    assert built(tmp_path / "one")["files"] == built(tmp_path / "two")["files"]


def test_a_page_replaces_the_one_before_and_leaves_the_files_of_others(small, runtimes, tmp_path):
    site = tmp_path / "site"
    build(small, site)
    (site / "CNAME").write_text("digits.example")
    (site / "model/notes.txt").write_text("mine")
    build(make_release(tmp_path / "newer", ("model.onnx",), version=2), site)
    assert json.loads((site / "site.json").read_text())["version"] == 2
    assert (site / "CNAME").read_text() == "digits.example"
    assert files_in(site / "model") == ["model.onnx", "notes.txt"]
    assert not (site / "runtime/litert").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["notes.txt", "sw.js"])
def test_a_folder_with_other_things_is_left_alone(small, runtimes, tmp_path, name):
    site = tmp_path / "site"
    site.mkdir()
    (site / name).write_text("mine")
    with pytest.raises(UserError, match="holds other files; give --build an empty or a new folder"):
        build(small, site)
    assert files_in(site) == [name]


def test_an_altered_file_is_not_shown(small, runtimes, tmp_path):
    (small.folder / "model.onnx").write_text("other")
    with pytest.raises(UserError, match="altered"):
        build(small, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_release_that_browsers_cannot_run_is_told_before_anything_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr("app.demo.build.installed_runtimes", lambda: pytest.fail("npm was called"))
    for_phones = make_release(tmp_path / "release", ("saved_model", "model-mcu.tflite"))
    with pytest.raises(UserError, match="no file for browsers; export it with --variants onnx-fp32"):
        build(for_phones, tmp_path / "site")
    halves = cut(make_release(tmp_path / "halves", ("model-int8.tflite",)))
    with pytest.raises(UserError, match="no file for browsers; export it with --variants onnx-fp32"):
        build(halves, tmp_path / "site")


@pytest.mark.parametrize(
    ("objective", "does"), [("detection", "Finds things in"), ("segmentation", "Finds the areas of things in")]
)
def test_where_the_network_finds_places_there_is_no_paper(runtimes, tmp_path, objective, does):
    build(make_release(tmp_path / "release", objective=objective), tmp_path / "site")
    site = json.loads((tmp_path / "site/site.json").read_text())
    assert (site["objective"], site["drawing"]) == (objective, None)
    manifest = json.loads((tmp_path / "site/manifest.webmanifest").read_text())
    assert manifest["description"] == f"{does} pictures on this device: lenet5-digits, version 1."


def test_halves_of_a_network_are_left_out_and_the_page_says_so(runtimes, tmp_path):
    release = cut(make_release(tmp_path / "release", objective="detection"))
    files = build(release, tmp_path / "site")
    assert "model/model-int8.tflite" not in files
    assert "model/model-int8.onnx" in files
    site = json.loads((tmp_path / "site/site.json").read_text())
    assert site["absent"] == "Not here: tflite-int8, which is in two files; the page runs whole ones."
    build(make_release(tmp_path / "whole"), tmp_path / "site")
    assert json.loads((tmp_path / "site/site.json").read_text())["absent"] == ""
