"""The page about the API: every route of the description, with lines for the terminal that work as they stand."""

import json
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.demo.chromium import PROGRAM
from tests.serve.pages import ANSWERED, choose, open_page, opened_browser, tap, text

pytestmark = [pytest.mark.browser, pytest.mark.skipif(PROGRAM is None, reason="needs Chromium")]
ROUTES = "document.querySelectorAll('.route').length"
LINES = "[...document.querySelectorAll('.terminal code')].map((one) => one.textContent)"


@pytest.fixture
def browser():
    with opened_browser() as opened:
        yield opened


def test_every_route_is_listed_with_all_that_is_said_of_it(browser, server):
    described = server.get("/openapi.json").json()
    open_page(browser, server, "docs")
    browser.wait(ROUTES)
    titles = (
        "[...document.querySelectorAll('summary')].map((one) => [...one.children].slice(0, 2).map((part) => part.textContent))"
    )
    shown = [(method.lower(), path) for method, path in browser.run(titles)]
    operations = [(method, path, what) for path, item in described["paths"].items() for method, what in item.items()]
    assert len(operations) > 20
    assert sorted(shown) == sorted((method, path) for method, path, _ in operations)
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for method, path, what in operations:
        place = shown.index((method, path))
        part = f"document.querySelectorAll('.route')[{place}]"
        assert browser.run(f"{part}.querySelector('summary span').textContent") == what["summary"].replace("`", "")
        parameters = browser.run(f"[...{part}.querySelectorAll('dt code')].map((one) => one.textContent)")
        assert len(parameters) == len(what.get("parameters", []))
        assert browser.run(f"[...{part}.querySelectorAll('.status b')].map((one) => one.textContent)") == list(what["responses"])
        kinds = browser.run(f"[...{part}.querySelectorAll(':scope > .type')].map((one) => one.textContent)")
        assert kinds == list(what.get("requestBody", {}).get("content", {}))
        assert browser.run(f"{part}.querySelectorAll('.terminal').length") == max(1, len(kinds))
    assert not any("{model}" in line or "undefined" in line for line in browser.run(LINES))


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_lines_for_a_terminal_are_answered_as_they_stand(browser, server, release, tmp_path):
    open_page(browser, server, "docs")
    browser.wait(ROUTES)
    shutil.copy(release.folder / "samples/00.png", tmp_path / "picture.jpg")  # what it is, not what it is called, is looked at
    for name in ("one.jpg", "two.jpg"):
        shutil.copy(tmp_path / "picture.jpg", tmp_path / name)
    shortened = ("body.bin", "/infer ", "/unload")  # tensors of an example are shorter than any network's; and one takes it away
    lines = [line for line in browser.run(LINES) if not any(part in line for part in shortened)]
    assert len(lines) > 20
    assert all(f"{server.url}/" in line for line in lines)
    for line in lines:
        command = f"{line} -sS -o answer -w '%{{http_code}}'"
        status = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert status.stdout.endswith("200"), (line, status.stdout, status.stderr, (tmp_path / "answer").read_text())
    [picture] = [line for line in lines if "models/lenet5-digits:predict" in line and "image/jpeg" in line]
    answered = subprocess.run(["bash", "-c", f"{picture} -sS"], cwd=tmp_path, capture_output=True, timeout=60).stdout
    asked = server.post(
        "/v1/models/lenet5-digits:predict?top=5", (tmp_path / "picture.jpg").read_bytes(), content_type="image/png"
    )
    assert json.loads(answered) == asked.json()


def test_a_line_is_copied_whole_and_the_address_keeps_the_route(browser, server):
    open_page(browser, server, "docs#post-v1-models-model-predict")
    browser.wait(ROUTES)
    assert browser.run("[...document.querySelectorAll('details[open]')].map((one) => one.id)") == ["post-v1-models-model-predict"]
    browser.run("navigator.clipboard.writeText = async (line) => { window.copied = line; }")
    tap(browser, "[open] .copy")
    line = browser.wait("window.copied")
    assert line == browser.run("document.querySelector('[open] .terminal code').textContent")
    assert line.startswith("curl ")
    assert "\n" not in line
    browser.wait("document.querySelector('#copied').textContent === 'Copied'")
    browser.run("document.querySelector('#get-v1-models summary').click()")
    browser.wait("location.hash === '#get-v1-models'")


def test_where_a_key_is_wanted_the_lines_have_a_place_for_it(browser, server, start, release):
    open_page(browser, server, "docs")
    browser.wait(ROUTES)
    assert not any("Authorization" in line for line in browser.run(LINES))
    locked = start(release.folder, environment={"CONVOY_API_KEY": "open-sesame"})
    open_page(browser, locked, "docs")
    browser.wait(ROUTES)
    asked = {
        path: locked.get(path).status == 401 for path in ("/v1/models", "/v2/health/live", "/metrics", "/openapi.json", "/docs")
    }
    assert len(set(asked.values())) == 2
    for path, wanted in asked.items():
        [line] = [line for line in browser.run(LINES) if f"{locked.url}{path} " in f"{line} "]
        assert ('-H "Authorization: Bearer $CONVOY_API_KEY"' in line) == wanted, line


def test_both_pages_work_behind_a_prefix_of_a_proxy(browser, server, release):
    class Proxy(BaseHTTPRequestHandler):
        """Hands on what comes under /apps/convoy/, and nothing else."""

        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = self.path.removeprefix("/apps/convoy") if self.path.startswith("/apps/convoy/") else "/none"
            answer = server.ask(self.command, path, body, {"content-type": self.headers.get("content-type", "")})
            self.send_response(answer.status)
            for name in ("content-type", "content-length", "content-security-policy"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.end_headers()
            self.wfile.write(answer.body)

        do_POST = do_GET

        def log_message(self, *parts):
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    Thread(target=proxy.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{proxy.server_port}/apps/convoy/"
    browser.open(base)
    choose(browser, release.folder / "samples/00.png", until=ANSWERED)
    browser.run("document.querySelector('header a').click()")
    browser.wait(ROUTES)
    assert text(browser, "h1") == "Convoy API"
    assert all(base in line for line in browser.run(LINES))
    proxy.shutdown()


def test_the_policy_of_the_pages_allows_nothing_inline_and_nothing_foreign(server):
    for path in ("/", "/docs", "/page/main.js"):
        policy = server.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert "*" not in policy
