"""The page in Chromium on a phone's screen: it answers as Keras does, on the device, also without a network."""

import json
import math
import os
import shutil
import socket
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.demo.build import build
from app.demo.certificate import own_certificate
from app.demo.serve import open_server
from app.images import with_channels
from app.predict.ask import predict
from app.release import Release
from tests.demo.chromium import PROGRAM, Chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(PROGRAM is None or shutil.which("npm") is None, reason="needs Chromium and npm"),
]
COUNT = 50
READY = "document.querySelector('#figures').textContent"
ANSWERED = "document.querySelector('#time').textContent"
CLOSE = {"fp32": 1e-3, "fp16": 1e-2}


class Host:
    """A server of a site that can be switched off and on at the same address."""

    def __init__(self, site: Path, signed=None):
        self.site, self.signed, self.port = site, signed, 0
        self.on()

    def on(self):
        self.connections = []
        self.server = open_server(self.site, "127.0.0.1", self.port, self.signed)
        self.server.verify_request = lambda request, _: self.connections.append(request) or True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"{'https' if self.signed else 'http'}://localhost:{self.port}/"

    def off(self):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:  # browsers keep them open for the next file
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def site(release: Release, run, tmp_path_factory) -> Path:
    """The page of a real release, with held-out pictures beside it that it does not know of."""
    folder = tmp_path_factory.mktemp("demo") / "site"
    build(release, folder)
    (folder / "heldout").mkdir()
    pictures = with_channels(run.arrays("heldout")["images"][:COUNT], 3)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"heldout/{number}.png")
    return folder


@pytest.fixture
def browser():
    opened = Chromium("--ignore-certificate-errors")
    yield opened
    opened.close()
    assert opened.complaints == []
    assert {address.split("/")[2].split(":")[0] for address in opened.requests if address.startswith("http")} == {"localhost"}


@pytest.fixture
def host(site):
    opened = Host(site)
    yield opened
    opened.off()


def text(browser, selector):
    return browser.run(f"document.querySelector({json.dumps(selector)}).innerText")


def tap(browser, selector):
    browser.run(f"document.querySelector({json.dumps(selector)}).click()")


def variants(site):
    return json.loads((site / "site.json").read_text())["variants"]


def classified(browser, url, variant, pictures):
    browser.open(f"{url}?variant={variant}")
    browser.wait(READY)
    script = "(async () => { const all = []; for (const path of %s) all.push(await page.classify(path)); return all; })()"
    return np.array(browser.run(script % json.dumps(pictures)))


def compare(found, wanted, precision):
    assert found.shape == wanted.shape
    if precision in CLOSE:
        assert np.abs(found - wanted).max() <= CLOSE[precision]
        assert (found.argmax(axis=1) == wanted.argmax(axis=1)).all()
    else:
        assert (found.argmax(axis=1) == wanted.argmax(axis=1)).mean() >= 0.95
    assert found.sum(axis=1) == pytest.approx(np.ones(len(found)), abs=0.02)


def test_every_file_answers_as_keras_does_and_again_without_a_network(browser, host, site, run):
    wanted = run.arrays("heldout")["probabilities"][:COUNT]
    pictures = [f"heldout/{number}.png" for number in range(COUNT)]
    assert {variant["format"] for variant in variants(site)} == {"onnx", "tflite"}
    for variant in variants(site):
        compare(classified(browser, host.url, variant["name"], pictures), wanted, variant["precision"])
    browser.wait("!document.querySelector('#offline').hidden")
    kept = [f"samples/{number:02}.png" for number in range(16)]  # of the pictures it keeps the samples alone
    before = {variant["name"]: classified(browser, host.url, variant["name"], kept) for variant in variants(site)}
    host.off()
    try:
        for name, answers in before.items():
            assert np.array_equal(classified(browser, host.url, name, kept), answers)
            assert browser.run("fetch('heldout/0.png').then(() => 'there', () => 'gone')") == "gone"
    finally:
        host.on()
    browser.complaints = [line for line in browser.complaints if "heldout/0.png" not in line]


def test_every_file_tests_itself_on_the_page(browser, host, site):
    browser.open(host.url)
    browser.wait(READY)
    tap(browser, "#choose")
    assert browser.run("document.querySelectorAll('#variants input').length") == len(variants(site))
    for variant in variants(site):
        tap(browser, f"#variants [value='{variant['name']}']")
        tap(browser, "#check")
        assert browser.wait("/ of |no /.test(document.querySelector('#checked').textContent)")
        assert text(browser, "#checked") == "16 of 16 as recorded", variant["name"]
        assert f"{variant['bytes'] / 1024:.0f} KiB" in text(browser, "#figures")
    tap(browser, "#close")
    assert not browser.run("document.querySelector('#sheet').open")
    browser.open(host.url)  # the last one chosen is used the next time
    browser.wait(READY)
    assert text(browser, "#variant") == "TFLite int8"


def test_a_photo_of_any_size_is_answered_as_by_predict(browser, host, release, tmp_path):
    random = np.random.default_rng(0)
    browser.open(f"{host.url}?variant=onnx-fp32")
    browser.wait(READY)
    tap(browser, "#modes [value=photo]")
    for number, (height, width) in enumerate([(28, 28), (61, 47), (480, 640), (900, 200), (40, 3000)]):
        grain = random.integers(0, 256, (max(height // 9, 2), max(width // 9, 2), 3), np.uint8)
        file = tmp_path / f"{number}.png"
        Image.fromarray(grain).resize((width, height), Image.Resampling.BICUBIC).save(file)
        browser.run("document.querySelector('#time').textContent = ''")
        browser.choose_file("#pick", file)
        browser.wait(ANSWERED)
        ((_, answer),) = predict(release.folder, [file])
        shown = [line.split() for line in browser.run("[...document.querySelectorAll('#bars li')].map((li) => li.innerText)")]
        assert [label for label, _ in shown] == [label.label for label in answer.labels]
        for (_, share), label in zip(shown, answer.labels, strict=True):
            assert float(share.rstrip("%")) == pytest.approx(100 * label.probability, abs=0.55)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_photos_are_turned_upright_and_transparency_lies_on_white(browser, host, tmp_path, turn):
    picture = np.zeros((28, 28, 3), np.uint8)
    picture[:14, :14] = 255
    exif = Image.Exif()
    exif[0x0112] = turn
    file = tmp_path / "turned.png"
    Image.fromarray(picture).save(file, exif=exif)
    clear = tmp_path / "clear.png"
    Image.fromarray(np.zeros((28, 28, 4), np.uint8)).save(clear)
    browser.open(host.url)
    browser.wait(READY)
    read = """(async () => {
        const copy = Object.assign(document.createElement('canvas'), { width: 28, height: 28 });
        const context = copy.getContext('2d', { willReadFrequently: true });
        context.drawImage(document.querySelector('#input'), 0, 0);
        return Array.from(context.getImageData(%d, %d, 1, 1).data); })()"""
    tap(browser, "#modes [value=photo]")
    browser.choose_file("#pick", file)
    browser.wait(ANSWERED)
    corner = {1: (2, 2), 3: (25, 25), 6: (25, 2), 8: (2, 25)}[turn]
    for x, y in ((2, 2), (25, 2), (2, 25), (25, 25)):
        assert browser.run(read % (x, y)) == [*[255 if (x, y) == corner else 0] * 3, 255]
    browser.choose_file("#pick", clear)
    browser.wait(ANSWERED)
    assert browser.run(read % (9, 9)) == [255, 255, 255, 255]


def test_what_is_no_picture_is_told_kindly(browser, host, tmp_path):
    browser.open(host.url)
    browser.wait(READY)
    for name, content, told in (("a.png", b"no picture", "not a picture"), ("b.png", b"", "empty")):
        (tmp_path / name).write_bytes(content)
        browser.choose_file("#pick", tmp_path / name)
        browser.wait("!document.querySelector('#trouble').hidden")
        assert told in text(browser, "#trouble")
        assert browser.run("document.querySelector('#answer').hidden")
    tap(browser, "#modes [value=examples]")
    browser.wait(ANSWERED)
    assert browser.run("document.querySelector('#trouble').hidden && !document.querySelector('#answer').hidden")


def test_digits_drawn_by_a_finger_are_read(browser, host):
    browser.open(host.url)
    browser.wait(READY)
    box = browser.run("document.querySelector('#paper').getBoundingClientRect().toJSON()")
    circle = [(0.5 + 0.17 * math.sin(turn / 4), 0.5 - 0.3 * math.cos(turn / 4)) for turn in range(26)]
    for digit, stroke in (("0", circle), ("1", [(0.5, 0.2 + step / 20) for step in range(13)])):
        tap(browser, "#clear")
        assert text(browser, "#hint") == "Draw a digit"
        browser.draw([(box["left"] + x * box["width"], box["top"] + y * box["height"]) for x, y in stroke])
        browser.wait(ANSWERED)
        browser.wait(f"document.querySelector('#bars b').textContent === '{digit}'")
    assert text(browser, "#hint") == ""


def test_below_the_threshold_it_says_that_it_is_not_sure(browser, host, site):
    threshold = json.loads((site / "site.json").read_text())["threshold"]
    browser.open(host.url)
    browser.wait(READY)
    for sure in (threshold + 0.001, threshold - 0.001):
        others = (1 - sure) / 9
        browser.run(
            "import('./answer.js').then(({VIEWS}) => new VIEWS.classification({classes: [...'0123456789'], "
            f"threshold: {threshold}}}).show({{probabilities: {[others] * 3 + [sure] + [others] * 6}}}))"
        )
        said = " ".join(text(browser, "#says").split())
        assert said == ("3" if sure >= threshold else "Not sure: looks most like 3")
    assert text(browser, "#spoken") == "Not sure: looks most like 3"


def test_the_camera_is_looked_through_only_when_asked_and_given_back(browser, host):
    browser.open(host.url)
    browser.wait(READY)
    tap(browser, "#modes [value=camera]")
    assert not browser.run("document.querySelector('#view').srcObject")
    tap(browser, "#start")
    browser.wait(ANSWERED)
    browser.run("window.track = document.querySelector('#view').srcObject.getTracks()[0]")
    assert browser.run("track.readyState") == "live"
    tap(browser, "#freeze")
    assert text(browser, "#freeze") == "Go on"
    tap(browser, "#modes [value=examples]")
    assert browser.run("track.readyState") == "ended"
    browser.run("navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError'))")
    tap(browser, "#modes [value=camera]")
    tap(browser, "#start")
    browser.wait("!document.querySelector('#trouble').hidden")
    assert text(browser, "#trouble").startswith("The camera was refused. Allow it")


def test_a_newer_page_is_offered_and_replaces_the_kept_one(browser, release, tmp_path):
    site = tmp_path / "site"
    build(release, site)
    host = Host(site)
    try:
        browser.open(host.url)
        browser.wait("!document.querySelector('#offline').hidden")
        page = site / "index.html"
        page.write_text(page.read_text().replace("Take a photo", "Take a picture"))
        worker = site / "sw.js"
        worker.write_text(worker.read_text().replace('"version": "', '"version": "newer'))
        browser.open(host.url)
        browser.wait("!document.querySelector('#update').hidden")
        assert browser.run("document.querySelector('#shoot-button').textContent") == "Take a photo"
        tap(browser, "#reload")
        browser.wait(f"document.querySelector('#shoot-button')?.textContent === 'Take a picture' && {READY}")
        assert browser.run("caches.keys().then((names) => names.length)") == 1
    finally:
        host.off()
    browser.open(host.url)
    browser.wait(READY)


def test_a_large_model_works_without_a_network_once_it_was_chosen(browser, release, tmp_path, monkeypatch):
    monkeypatch.setattr("app.demo.build.LARGE", 0)
    build(release, tmp_path / "site")
    host = Host(tmp_path / "site")
    kept = "caches.keys().then(([name]) => caches.open(name)).then((cache) => cache.match('model/%s')).then((found) => !!found)"
    try:
        browser.open(host.url)
        browser.wait("!document.querySelector('#offline').hidden")
        assert not browser.run(kept % "model.onnx")
        before = classified(browser, host.url, "onnx-fp32", ["samples/00.png"])
        browser.wait(kept % "model.onnx")
        assert not browser.run(kept % "model-fp32.tflite")
    finally:
        host.off()
    assert np.array_equal(classified(browser, host.url, "onnx-fp32", ["samples/00.png"]), before)


def test_by_keyboard_alone_every_mode_can_be_reached(browser, host):
    browser.open(host.url)
    browser.wait(READY)
    browser.run("document.querySelector('#modes [value=draw]').focus()")
    seen = []
    for _ in range(4):
        seen.append(browser.run("document.querySelector('#modes :checked').value"))
        browser.press("ArrowRight", 39)
    assert seen == ["draw", "camera", "photo", "examples"]


@pytest.mark.parametrize(("width", "height"), [(320, 568), (390, 844), (844, 390), (1280, 800)])
def test_everything_to_tap_is_large_enough_and_nothing_sticks_out(browser, host, width, height):
    browser.screen(width, height)
    browser.open(host.url)
    browser.wait(READY)
    for mode in ("draw", "camera", "photo", "examples"):
        tap(browser, f"#modes [value={mode}]")
        small = browser.run("""[...document.querySelectorAll('button, .button, #modes label')]
            .filter((one) => one.checkVisibility())
            .map((one) => [one.innerText, one.getBoundingClientRect()])
            .filter(([, box]) => box.width < 44 || box.height < 44 || box.left < 0 || box.right > innerWidth)
            .map(([name, box]) => [name, box.width, box.height])""")
        assert small == []
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        below = browser.run("document.querySelector('#modes').getBoundingClientRect().bottom <= innerHeight")
        assert below, "the modes are always within the thumb's reach"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_type_stands_out_from_its_ground(browser, host, scheme):
    browser.screen(scheme=scheme)
    browser.open(host.url)
    browser.wait(READY)
    tap(browser, "#modes [value=examples]")
    browser.wait(ANSWERED)
    parts = "h1, header p, #says strong, #says em, #share, #bars b, #bars data, button, label span, #time"
    ratios = browser.run(
        """(() => {
        const channels = (text) => text.match(/[\\d.]+/g).map(Number);
        const light = (colour) => colour.slice(0, 3).map((value) => value / 255)
          .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
          .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
        const ground = (one) => {
          const found = channels(getComputedStyle(one).backgroundColor);
          return found.length === 4 && found[3] === 0 ? ground(one.parentElement) : found;
        };
        const ratio = (one) => {
          const lights = [light(channels(getComputedStyle(one).color)), light(ground(one))];
          return (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
        };
        return [...document.querySelectorAll(PARTS)].filter((one) => one.checkVisibility() && one.textContent)
          .map((one) => [one.textContent, ratio(one)]);
      })()""".replace("PARTS", json.dumps(parts))
    )
    assert len(ratios) > 15
    assert all(ratio >= 4.5 for _, ratio in ratios), ratios
    assert sum(ratio >= 7 for _, ratio in ratios) > 0.6 * len(ratios)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_it_works_by_https_too(browser, site, tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "CONVOY_CACHE", str(tmp_path))
    host = Host(site, own_certificate(()))
    try:
        browser.open(host.url)
        browser.wait(READY)
        assert browser.run("isSecureContext && location.protocol") == "https:"
    finally:
        host.off()
