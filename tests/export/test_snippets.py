"""The card says of every snippet what was done with it; what it says is done here."""

import functools
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from app.data.cache import cached
from app.export.card import card
from app.export.samples import read_answers
from app.export.snippets import RUN, SNIPPETS, operators_of
from tests.runtimes.environments import MEDIAPIPE, installed, lasting_cache
from tests.serve.started import Server
from tests.small_run import small_release

STAND_INS = Path(__file__).parent / "stand_ins"
SAMPLE = "samples/00.png"
PATIENCE_SECONDS = 300
KOTLIN = "kotlin-compiler@2.4.20"
HEADERS = "@qvac/onnx@0.15.1"
PINS = hashlib.sha256(f"{KOTLIN} {HEADERS}".encode()).hexdigest()[:12]
NONE = "none of these"


def run(command, folder, **options):
    done = subprocess.run(
        list(map(str, command)), cwd=folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fetch(package, folder):
    """What npm installs, or a test that is skipped where there is no npm or no way to its packages."""
    if not shutil.which("npm"):
        pytest.skip("npm is missing")
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(folder))
    done = subprocess.run(
        ["npm", "install", *quiet, package], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    if done.returncode:
        pytest.skip(f"npm cannot install {package}: {done.stderr.strip()[-300:]}")


def lasting(name, fill):
    with lasting_cache():
        return cached(f"snippets/{name}-{PINS}", fill)


def block(text, language):
    [code] = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return code


def needed(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is missing")


# How each snippet is run: its section of the card and the release's folder, to what it answers about the sample.


def python(section, folder, interpreter=sys.executable):
    return run([interpreter, "-c", block(section, "python")], folder).strip()


def mediapipe(section, folder):
    return python(section, folder, installed(MEDIAPIPE))


def service(section, folder):
    """By the service of this program, which speaks both protocols; of the release as it is, which it would refuse otherwise."""
    server = Server(str(small_release().folder), "--grpc-port", "none", log=folder / "log")
    try:
        code = re.sub(r"localhost:\d+", f"localhost:{server.port}", block(section, "python"))
        return run([sys.executable, "-c", code], folder).strip()
    finally:
        server.stop()


def kotlin(section, folder):
    needed("java")
    compiler = lasting("kotlin-compiler", functools.partial(fetch, KOTLIN)) / "node_modules" / "kotlin-compiler" / "lib"
    (folder / "classifier.kt").write_text(block(section, "kotlin"), encoding="utf-8")
    files = [*(STAND_INS / "kotlin").glob("*.kt"), folder / "classifier.kt"]
    kotlinc = ["java", "-cp", compiler / "kotlin-compiler.jar", "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"]
    run([*kotlinc, "-nowarn", "-no-reflect", "-d", folder / "classes", *files], folder)
    # A picture of many colours, so that channels that change places are seen.
    height, width = Image.open(folder / SAMPLE).size[::-1]
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    argb = 255 << 24 | pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    (folder / "picture.txt").write_text("\n".join(map(str, argb.ravel())))
    (folder / "answer.txt").write_text("\n".join(map(str, answers(folder)["model-fp32.tflite"]["probabilities"][0])))
    classes = os.pathsep.join(map(str, (folder / "classes", compiler / "kotlin-stdlib.jar")))
    said = run(["java", "-Dfile.encoding=UTF-8", "-cp", classes, "MainKt", folder, width, height], folder).strip()
    if (folder / "image.txt").exists():
        image = np.array((folder / "image.txt").read_text().split(), float)
        assert image.tolist() == pixels.ravel().tolist()
    return NONE if said == "null" else said


def browser(section, folder):
    from tests.demo.chromium import PROGRAM, Chromium

    if not PROGRAM:
        pytest.skip("Chromium is missing")
    (folder / "index.html").write_text(block(section, "html"), encoding="utf-8")
    fetch(re.search(r"npm install (\S+?)`", section)[1], folder)
    page = Chromium()
    try:
        with served(functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))) as port:
            page.open(f"http://localhost:{port}/")
            return page.wait("document.querySelector('#answer').textContent")
    finally:
        page.close()


def cpp(section, folder):
    needed("g++")
    (folder / "onnxruntime" / "lib").mkdir(parents=True)
    [library] = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / "onnxruntime" / "lib" / name).symlink_to(library)
    (folder / "onnxruntime" / "include").symlink_to(lasting("onnxruntime-headers", headers))
    (folder / "classify.cc").write_text(block(section, "cpp"), encoding="utf-8")
    (folder / "picture.rgb").write_bytes(Image.open(folder / SAMPLE).convert("RGB").tobytes())
    return run(["bash", "-e", "-c", block(section, "sh")], folder).strip()


def headers(folder):
    """ONNX Runtime's own headers, which its wheel does not have."""
    fetch(HEADERS, folder / "npm")
    [found] = (folder / "npm").glob("**/include/onnxruntime/onnxruntime_cxx_api.h")
    for header in found.parent.glob("onnxruntime_*.h"):
        shutil.copy(header, folder)
    shutil.rmtree(folder / "npm")


def micro(section, folder):
    for program in ("g++", "xxd"):
        needed(program)
    (folder / "classify.cc").write_text(block(section, "cpp"), encoding="utf-8")
    run(["bash", "-c", block(section, "sh")], folder)
    network = operators_of(folder / "model-mcu.tflite")
    numbers = np.round(np.array(answers(folder)["model-mcu.tflite"]["probabilities"][0]) * 256 - 128).astype(int).tolist()
    given = {"PIXELS": 28 * 28, "CLASSES": 10, "OPERATORS": len(network), "ANSWER": ",".join(map(str, numbers))}
    stand_in = [f"-I{STAND_INS / 'micro'}", *(f"-D{name}={value}" for name, value in given.items())]
    sources = ["classify.cc", "model_mcu.cc", STAND_INS / "micro" / "main.cc"]
    run(["g++", "-std=c++17", "-Wall", "-Wextra", *stand_in, *sources, "-o", "micro"], folder)
    image, place = run(["./micro"], folder).strip().split("\n")
    assert list(map(int, image.split())) == [pixel % 256 - 128 for pixel in range(28 * 28)]
    labels = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    return NONE if place == "-1" else labels[int(place)]


RUNNERS = {
    "python_onnx": python,
    "python_litert": python,
    "service_protocol": service,
    "service_tensorflow": service,
    "cpp_micro": micro,
    "python_mediapipe": mediapipe,
    "kotlin_mediapipe": kotlin,
    "kotlin_litert": kotlin,
    "browser": browser,
    "cpp_onnx": cpp,
}
SCENES = {"python_onnx": python, "python_litert": python, "python_litert_halves": python, "python_mediapipe": mediapipe}
MARKS = {browser: [pytest.mark.browser]} | {runner: [pytest.mark.slow] for runner in (mediapipe, kotlin, cpp)}


def answers(folder):
    return json.loads((folder / "samples" / "samples.json").read_text())["outputs"]


@contextmanager
def served(handler):
    server = http.server.ThreadingHTTPServer(("localhost", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def section(text, snippet):
    """What a card has under a snippet's heading."""
    return re.search(rf"^### {re.escape(snippet.title)}\n(.*?)(?=^###? |\Z)", text, re.DOTALL | re.MULTILINE)[1]


def test_what_the_card_says_is_run_is_run():
    for objective, runners in (("classification", RUNNERS), ("detection", SCENES), ("segmentation", SCENES)):
        said = {snippet.name for snippet in SNIPPETS if objective in snippet.objectives and snippet.tried.startswith(RUN)}
        assert said == set(runners) - ({"python_litert_halves"} if objective == "segmentation" else set())


def test_what_the_card_does_not_say_is_run_says_why():
    rest = [snippet for snippet in SNIPPETS if not snippet.tried.startswith(RUN)]
    assert {snippet.name for snippet in rest} == {"swift", "kotlin_mediapipe", "browser", "service_protocol"}
    assert [snippet.name for snippet in rest if "classification" in snippet.objectives] == ["swift"]
    assert all(snippet.tried.startswith(("Not built: ", "Not run ")) for snippet in rest)


@pytest.mark.parametrize("threshold", ["its own", "one that no picture reaches"])
@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(runner, [])) for name, runner in RUNNERS.items()])
def test_a_snippet_runs_and_answers_rightly(release, copied, name, threshold):
    """With labels that would break a program that had them pasted in."""
    labels = [f"{digit} \"'\\ ${{x}} <b> été" for digit in range(10)]
    (copied / "labels.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    [snippet] = [snippet for snippet in SNIPPETS if snippet.name == name and "classification" in snippet.objectives]
    own = threshold == "its own"
    chosen = release.threshold if own else release.threshold | {"probability": 1.1}
    text = section(card(replace(release, threshold=chosen), SAMPLE), snippet)
    assert snippet.tried in text
    digit = json.loads((copied / "samples" / "samples.json").read_text())["pictures"][0]["label"]
    right = labels[int(digit)] if name != "python_mediapipe" else digit  # its labels are inside the file
    assert RUNNERS[name](text, copied) == (right if own else NONE)


def lines(text):
    """What a snippet prints: a label and a number a line."""
    return [line.split(maxsplit=2)[:2] for line in text.splitlines()]


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(runner, [])) for name, runner in SCENES.items()])
def test_a_detectors_snippet_prints_the_boxes_that_are_sure_enough(detection_release, tmp_path, name):
    folder = shutil.copytree(detection_release.folder, tmp_path / "1")
    [snippet] = [one for one in SNIPPETS if one.name == name and "detection" in one.objectives]
    said = SCENES[name](section(card(detection_release, SAMPLE), snippet), folder)
    told = answers(folder)["model-int8.tflite" if name.endswith("halves") else "model-fp32.tflite"]
    sure = [(kind, score) for kind, score in zip(told["classes"][0], told["scores"][0], strict=True)
            if score >= detection_release.threshold["probability"]]  # fmt: skip
    assert sure
    assert [label for label, _ in lines(said)] == [detection_release.classes[int(kind)] for kind, _ in sure]
    assert [float(score) for _, score in lines(said)] == pytest.approx([score for _, score in sure], abs=2e-3)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=MARKS.get(SCENES[name], [])) for name in SCENES if "halves" not in name]
)
def test_a_segmenters_snippet_prints_the_shares_of_the_classes(segmentation_release, tmp_path, name):
    folder = shutil.copytree(segmentation_release.folder, tmp_path / "1")
    [snippet] = [one for one in SNIPPETS if one.name == name and "segmentation" in one.objectives]
    said = lines(SCENES[name](section(card(segmentation_release, SAMPLE), snippet), folder))
    [mask, *_] = read_answers(folder)[1]["model-fp32.tflite"]["masks"]
    shares = {segmentation_release.classes[number]: 100 * (mask == number).mean() for number in np.unique(mask)}
    assert len(shares) > 1
    assert {label: float(share.rstrip("%")) for label, share in said} == pytest.approx(shares, abs=0.2)
