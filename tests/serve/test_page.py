"""The service's pages in Chromium on a phone's screen, against the service itself."""

import json
import shutil
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from app.release import hashes, labels_text, write_release
from tests.demo.chromium import PROGRAM
from tests.serve.pages import ANSWERED, MET, TROUBLE, choose, hand_over, open_page, opened_browser, tap, text

pytestmark = [pytest.mark.browser, pytest.mark.skipif(PROGRAM is None, reason="needs Chromium")]
SHOWN = """[...document.querySelectorAll('#bars li')].map((row) => {
    const [name, , value] = row.children; return [name.innerText, Number(value.value), value.innerText]; })"""
WORDS = ("nought", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture
def browser():
    with opened_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def several(release, tmp_path_factory):
    """A folder of three releases: two versions of digits, and one that is never sure and has words for classes."""
    folder = tmp_path_factory.mktemp("exported")
    for version in (1, 2):
        place = folder / "digits" / str(version)
        shutil.copytree(release.folder, place)
        write_release(replace(release, folder=place, name="digits", version=version))
    place = folder / "words/1"
    shutil.copytree(release.folder, place)
    (place / "labels.txt").write_text(labels_text(WORDS))
    extras = release.extras | {"labels.txt": str(hashes(place / "labels.txt"))}
    never = release.threshold | {"probability": 1.0}
    write_release(replace(release, folder=place, name="words", version=1, classes=WORDS, extras=extras, threshold=never))
    return folder


@pytest.fixture(scope="module")
def digits(run, tmp_path_factory):
    """Held-out pictures as files."""
    folder = tmp_path_factory.mktemp("digits")
    files = [folder / f"{number}.png" for number in range(4)]
    for file, picture in zip(files, run.arrays("heldout")["images"], strict=False):
        Image.fromarray(picture[..., 0]).resize((96, 96)).save(file)
    return files


def compare(browser, server, file, path):
    """What is shown with what the service says of the same file to anyone."""
    wanted = server.post(f"/v1/models/{path}:predict?top=5", file.read_bytes(), content_type="image/png").json()
    shown = browser.run(SHOWN)
    assert [[name, value] for name, value, _ in shown] == [list(one.values()) for one in wanted["labels"]]
    for _, value, share in shown:
        assert abs(float(share.strip("<%")) - 100 * value) <= (0.55 if 0.1 <= value < 0.99 else 0.1)
    best = wanted["labels"][0]["label"]
    assert text(browser, "#says").split("\n") == (
        ["None of these", f"looks most like {best}"] if wanted["none_of_these"] else [best]
    )
    assert best in text(browser, "#spoken")
    return wanted


def test_a_picture_dropped_pasted_chosen_or_taken_is_answered_as_to_anyone(browser, server, digits):
    open_page(browser, server)
    for kind, file in zip(("drop", "paste"), digits, strict=False):
        hand_over(browser, kind, file)
        browser.wait(ANSWERED)
        compare(browser, server, file, "lenet5-digits")
    for way, file in (("#pick", digits[2]), ("#shoot", digits[3])):
        choose(browser, file, by=way)
        compare(browser, server, file, "lenet5-digits")
        assert text(browser, "#about-picture").startswith(file.name)
    assert browser.run("document.querySelector('#picture').naturalWidth") == 96
    assert browser.run("document.querySelector('#shoot').getAttribute('capture')") == "environment"
    hand_over(browser, "drop", *digits[:3])
    browser.wait(ANSWERED)
    assert text(browser, "#about-picture").endswith("the first of 3")
    compare(browser, server, digits[0], "lenet5-digits")


def test_the_later_of_two_pictures_is_answered_whichever_answer_comes_first(browser, server, digits):
    open_page(browser, server)
    browser.wait(MET)
    browser.run("""{ const ask = fetch; let first = true;
        window.fetch = async (path, request) => {
          if (!path.includes(":predict") || !first) return ask(path, request);
          first = false;
          const answer = await ask(path, {...request, signal: undefined});
          await new Promise((done) => setTimeout(done, 400));
          window.late = true;
          return answer; }; }""")
    hand_over(browser, "drop", digits[0])
    hand_over(browser, "drop", digits[1])
    browser.wait("window.late")
    browser.wait(ANSWERED)
    compare(browser, server, digits[1], "lenet5-digits")


def test_what_is_no_picture_is_told_in_words_and_the_next_picture_takes_them_away(browser, server, digits, tmp_path):
    open_page(browser, server)
    for name, content in (("notes.png", b"no picture"), ("empty.png", b""), ("notes.json", b'{"instances": []}')):
        (tmp_path / name).write_bytes(content)
        assert choose(browser, tmp_path / name, until=TROUBLE) == "This picture cannot be read"
        said = server.post("/v1/models/lenet5-digits:predict", content, content_type="application/octet-stream").error
        assert text(browser, "#reason") == f"The service says: {said}"
        assert "Choose a JPEG, PNG or WebP picture" in text(browser, "#remedy")
        assert not browser.run("document.querySelector('#answer').checkVisibility()")
        choose(browser, digits[0])
        assert browser.run("document.querySelector('#trouble').hidden")
    hand_over(browser, "drop")
    assert browser.wait(TROUBLE) == "There is no file in what you dropped"
    hand_over(browser, "paste")
    browser.wait("document.querySelector('#what').textContent === 'There is no picture in what you pasted'")


@pytest.mark.parametrize("limit", ["--max-body-mb", "--max-pixels-mp"])
def test_a_picture_that_is_too_large_is_made_smaller_when_asked(browser, start, release, tmp_path, limit):
    server = start(release.folder, limit, 1 if "body" in limit else 4)
    grain = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    large = tmp_path / "large.png"
    Image.fromarray(grain).resize((3000, 2250), Image.Resampling.BICUBIC).save(large, compress_level=1)
    assert large.stat().st_size > 4e6
    open_page(browser, server)
    assert choose(browser, large, until=TROUBLE) == "This picture is too large for the service"
    assert browser.run("document.querySelector('#picture').naturalWidth") == 3000
    tap(browser, "#offer")
    browser.wait(ANSWERED)
    assert browser.run("[document.querySelector('#picture').naturalWidth, document.querySelector('#picture').naturalHeight]") == [
        2048,
        1536,
    ]
    assert text(browser, "#about-picture").startswith("made smaller: ")
    buffer = BytesIO()
    Image.open(large).resize((2048, 1536)).save(buffer, "JPEG", quality=90)
    wanted = server.post("/v1/models/lenet5-digits:predict", buffer.getvalue(), content_type="image/jpeg").json()["labels"]
    shown = {name: value for name, value, _ in browser.run(SHOWN)}
    assert shown == pytest.approx({one["label"]: one["probability"] for one in wanted}, abs=0.02)


def test_a_key_is_asked_for_kept_for_the_tab_and_sent(browser, start, release, digits):
    server = start(release.folder, environment={"CONVOY_API_KEY": "open-sesame"})
    open_page(browser, server)
    assert browser.wait(TROUBLE) == "This service wants an API key"
    assert browser.run("document.activeElement.id") == "key"
    for key, heard in (("close-sesame", "That key was not accepted"), ("open-sesame", "")):
        browser.send("Input.insertText", browser.page, text=key)
        tap(browser, "#key-form button")
        browser.wait(f"({TROUBLE} || '') === {json.dumps(heard)}")
    choose(browser, digits[0])
    assert browser.run("[...Object.values(sessionStorage), localStorage.length]") == ["open-sesame", 0]
    open_page(browser, server)
    choose(browser, digits[1])
    assert not browser.run(TROUBLE)


def test_of_several_models_the_address_keeps_the_choice(browser, start, several, digits):
    server = start(several, "--all-versions")
    open_page(browser, server)
    choose(browser, digits[0])
    assert text(browser, "#choose").split("\n") == ["digits", "version 2 · classification"]
    tap(browser, "#choose")
    rows = [
        row.split("\n")[:2] for row in browser.run("[...document.querySelectorAll('#models label')].map((row) => row.innerText)")
    ]
    about = "classification · 28 × 28"  # noqa: RUF001
    assert rows == [["digits", f"version 2 · {about}"], ["digits", f"version 1 · {about}"], ["words", f"version 1 · {about}"]]
    for place, address in ((2, "words"), (1, "digits/1")):
        browser.run(f"document.querySelector('#time').hidden = true; document.querySelectorAll('#models input')[{place}].click()")
        browser.wait(f"location.hash === '#{address}' && {ANSWERED}")
        answer = compare(browser, server, digits[0], address.replace("/", "/versions/"))
        assert text(browser, "#choose").split("\n") == [answer["model"], f"version {answer['version']} · classification"]
    assert any("/v1/models/digits/versions/1:predict" in address for address in browser.requests)
    tap(browser, "#close")
    open_page(browser, server, "#words")
    choose(browser, digits[1])
    assert compare(browser, server, digits[1], "words")["none_of_these"]
    open_page(browser, server, "#letters")
    assert browser.wait(TROUBLE) == "There is no model “letters” here"


def test_a_version_that_left_is_told_and_the_others_are_offered(browser, start, several, digits, tmp_path):
    shutil.copytree(several, tmp_path / "exported")
    server = start(tmp_path / "exported", "--all-versions", "--poll-seconds", "0.1")
    open_page(browser, server, "#digits/1")
    choose(browser, digits[0])
    shutil.rmtree(tmp_path / "exported/digits/1")
    browser.wait("fetch('v1/models').then((answer) => answer.json()).then(({models}) => models[0].versions.length === 1)")
    assert choose(browser, digits[1], until=TROUBLE) == "This model is not here any more"
    tap(browser, "#offer")
    browser.wait(f"{TROUBLE} === 'There is no model “digits/1” here'")
    browser.run("location.hash = '#digits'")
    browser.wait(ANSWERED)
    compare(browser, server, digits[1], "digits")


def test_when_the_service_is_gone_the_picture_stays_and_is_sent_again(browser, start, release, digits):
    server = start(release.folder)
    open_page(browser, server)
    browser.wait(MET)
    server.stop()
    assert choose(browser, digits[0], until=TROUBLE) == "The service does not answer"
    assert browser.run("document.querySelector('#picture').checkVisibility()")
    server = start(release.folder, "--port", server.port)
    tap(browser, "#offer")
    browser.wait(ANSWERED)
    compare(browser, server, digits[0], "lenet5-digits")
    assert browser.run("document.activeElement.id") != "offer"


@pytest.mark.parametrize("status", [408, 415, 500, 502, 503, 504])
def test_every_other_refusal_has_words_and_what_to_do(browser, server, digits, status):
    open_page(browser, server)
    browser.wait(MET)
    browser.run(f"""{{ const ask = fetch; let first = true;
        window.fetch = (path, request) => {{
          if (!path.includes(":predict") || !first) return ask(path, request);
          first = false;
          const headers = {{"Retry-After": "1", "X-Request-Id": "abc-17"}};
          return Promise.resolve(new Response('{{"error": "a reason"}}', {{status: {status}, headers}})); }}; }}""")
    words = choose(browser, digits[0], until=TROUBLE)
    assert len(words.split()) >= 4
    assert len(text(browser, "#remedy").split()) >= 4
    assert text(browser, "#reason") == f"The service says: a reason{' (request abc-17)' if status >= 500 else ''}"
    if status == 415:
        assert browser.run("document.querySelector('#offer').hidden")
        return
    assert text(browser, "#offer") == "Try again in 1 s"
    assert browser.run("document.querySelector('#offer').disabled")
    browser.wait("!document.querySelector('#offer').disabled")
    tap(browser, "#offer")
    browser.wait(ANSWERED)


def test_by_keyboard_alone_everything_is_reached_seen_and_used(browser, start, several):
    server = start(several)
    open_page(browser, server)
    browser.wait(MET)
    browser.run("""for (const id of ["pick", "shoot"]) document.getElementById(id)
        .addEventListener("click", (event) => { event.preventDefault(); window.opened = id; })""")
    reached = []
    for _ in range(5):
        browser.press("Tab", 9)
        reached.append(browser.run("document.activeElement.id || document.activeElement.innerText"))
        assert (
            browser.run("getComputedStyle(document.activeElement.closest('.button') ?? document.activeElement).outlineStyle")
            == "solid"
        )
    assert reached == ["API", "stage", "choose", "shoot", "pick"]
    for name, opened in (("stage", "pick"), ("shoot", "shoot")):
        browser.run(f"window.opened = ''; document.getElementById('{name}').focus()")
        browser.press(" ", 32)
        browser.wait(f"window.opened === '{opened}'")
    browser.run("document.querySelector('#choose').focus()")
    browser.press(" ", 32)
    browser.wait("document.querySelector('#sheet').open && document.activeElement.type === 'radio'")
    browser.press("ArrowDown", 40)
    browser.wait("location.hash === '#words'")
    browser.press("Escape", 27)
    browser.wait("!document.querySelector('#sheet').open && document.activeElement.id === 'choose'")


@pytest.mark.parametrize(("width", "height"), [(320, 568), (390, 844), (844, 390), (1280, 800)])
def test_everything_to_tap_is_large_enough_and_nothing_sticks_out(browser, server, digits, tmp_path, width, height):
    browser.screen(width, height)
    (tmp_path / "notes.png").write_bytes(b"no picture")
    for path, file, until in (
        ("", digits[0], ANSWERED),
        ("", tmp_path / "notes.png", TROUBLE),
        ("docs", None, "document.querySelector('.route')"),
    ):
        open_page(browser, server, path)
        if file:
            choose(browser, file, until=until)
        else:
            browser.wait(f"!!{until}")
        browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        small = browser.run("""[...document.querySelectorAll('button, .button, summary, header a')]
            .filter((one) => one.checkVisibility())
            .map((one) => [one.innerText, one.getBoundingClientRect()])
            .filter(([, box]) => box.width < 44 || box.height < 44 || box.left < 0 || box.right > innerWidth)
            .map(([name, box]) => [name, box.width, box.height])""")
        assert small == []
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    open_page(browser, server)
    choose(browser, digits[0])
    assert browser.run("document.querySelector('footer').getBoundingClientRect().bottom <= innerHeight")
