"""How a test uses the service's pages: a browser that notes every fault, and the hands of a person."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.demo.chromium import Chromium

MET = "document.querySelector('#details')?.textContent"
ANSWERED = "!document.querySelector('#time').hidden && document.querySelectorAll('#bars li').length"
TROUBLE = "!document.querySelector('#trouble').hidden && document.querySelector('#what').textContent"


@contextmanager
def opened_browser() -> Iterator[Chromium]:
    """Chromium with a phone's screen; at the end, nothing may have failed in it or left this machine."""
    browser = Chromium()
    try:
        yield browser
    finally:
        browser.close()
    # What the service refuses, Chromium notes by itself; anything else is the page's fault.
    assert [line for line in browser.complaints if not ("Failed to load resource" in line and "/v1/" in line)] == []
    assert {urlsplit(address).hostname for address in browser.requests if address.startswith("http")} == {"127.0.0.1"}


def open_page(browser, server, path=""):
    browser.open("about:blank")  # else a new fragment alone would load nothing
    browser.open(f"{server.url}/{path}")
    browser.wait("document.readyState === 'complete'")


def text(browser, selector):
    return browser.run(f"document.querySelector({json.dumps(selector)}).innerText")


def tap(browser, selector):
    browser.run(f"document.querySelector({json.dumps(selector)}).click()")


def choose(browser, file, *, until=ANSWERED, by="#pick"):
    browser.wait(MET)
    browser.run("document.querySelector('#time').hidden = true")
    browser.choose_file(by, file)
    return browser.wait(until)


def hand_over(browser, kind, *files):
    """Drops or pastes files as a person does, only that no mouse or clipboard is moved."""
    event = {"drop": "DragEvent", "paste": "ClipboardEvent"}[kind]
    carrier = {"drop": "dataTransfer", "paste": "clipboardData"}[kind]
    contents = [[file.name, base64.b64encode(file.read_bytes()).decode()] for file in files]
    browser.wait(MET)
    browser.run(f"""(() => {{
        document.querySelector('#time').hidden = true;
        const data = new DataTransfer();
        for (const [name, content] of {json.dumps(contents)}) {{
            data.items.add(new File([Uint8Array.from(atob(content), (one) => one.charCodeAt(0))], name, {{type: "image/png"}}));
        }}
        document.querySelector('#stage').dispatchEvent(
            new {event}("{kind}", {{{carrier}: data, bubbles: true, cancelable: true}})); }})()""")
