"""A headless Chromium with a phone's screen, spoken to by its DevTools protocol over a pipe: no package is needed for it."""

import base64
import fcntl
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
)  # fmt: skip
WIDTH, HEIGHT = 390, 844
PATIENCE_SECONDS = 120


class Navigated(Exception):
    """The page was left while it was asked."""


class Chromium:
    """A browser with one page; what the page asked for and complained about is kept."""

    def __init__(self, *flags: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="convoy-chromium-"))
        ours, theirs = _pipe(), _pipe()  # Chromium reads descriptor 3 and writes 4
        self.process = subprocess.Popen(
            ["bash", "-c", 'exec "$@" 3<&"$READ" 4>&"$WRITE"', "-", PROGRAM, *FLAGS, *flags, f"--user-data-dir={self.folder}"],
            pass_fds=(ours[0], theirs[1]),
            env={**os.environ, "READ": str(ours[0]), "WRITE": str(theirs[1])},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        self.to, self.back = os.fdopen(ours[1], "wb", buffering=0), os.fdopen(theirs[0], "rb")
        self.numbers, self.answers = count(1), {}
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.events: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.page = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._watch(self.page)
        self.screen()

    def screen(self, width=WIDTH, height=HEIGHT, scheme="light", scale=2):
        self.send(
            "Emulation.setDeviceMetricsOverride", self.page, width=width, height=height, deviceScaleFactor=scale, mobile=True
        )
        self.send("Emulation.setTouchEmulationEnabled", self.page, enabled=True)
        self.send("Emulation.setEmulatedMedia", self.page, features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url: str) -> None:
        while not self.events.empty():
            self.events.get_nowait()
        self.send("Page.navigate", self.page, url=url)
        while self.events.get(timeout=PATIENCE_SECONDS) != "Page.loadEventFired":
            pass

    def run(self, script: str):
        """The value of a JavaScript expression, awaited if it is a promise."""
        answer = self.send(
            "Runtime.evaluate", self.page, expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str):
        """Waits until a JavaScript expression is true, on whatever page that is; gives its value."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            with suppress(Navigated):
                if value := self.run(condition):
                    return value
            time.sleep(0.03)
        raise AssertionError(f"waited in vain for {condition}: {self.run('document.body.innerText')}")

    def draw(self, points):
        """A stroke through points of the page, by a mouse."""
        for kind, (x, y) in zip(["mousePressed", *["mouseMoved"] * (len(points) - 1)], points, strict=True):
            self.send("Input.dispatchMouseEvent", self.page, type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
        x, y = points[-1]
        self.send("Input.dispatchMouseEvent", self.page, type="mouseReleased", x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, code: int):
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", self.page, type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def choose_file(self, selector: str, file: Path):
        root = self.send("DOM.getDocument", self.page)["root"]["nodeId"]
        node = self.send("DOM.querySelector", self.page, nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", self.page, nodeId=node, files=[str(file)])

    def screenshot(self, file: Path):
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", self.page)["data"]))

    def send(self, method: str, session: str | None = None, **values):
        number = next(self.numbers)
        self.answers[number] = queue.Queue()
        message = {"id": number, "method": method, "params": values} | ({"sessionId": session} if session else {})
        self.to.write(json.dumps(message).encode() + b"\0")
        answer = self.answers[number].get(timeout=PATIENCE_SECONDS + 10)
        del self.answers[number]
        if "navigated" in str(answer.get("error")):
            raise Navigated
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _watch(self, session: str) -> None:
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.send(f"{domain}.enable", session)

    def _listen(self) -> None:
        waiting = b""
        while chunk := self.back.read1(1 << 20):
            *whole, waiting = (waiting + chunk).split(b"\0")
            for message in map(json.loads, whole):
                if "id" in message:
                    if number := self.answers.get(message["id"]):
                        number.put(message)
                else:
                    self._note(message["method"], message["params"])

    def _note(self, method: str, values) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(values["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "assert", "warning"):
            self.complaints.append(" ".join(str(one.get("value", one.get("description"))) for one in values["args"]))
        elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{values['entry']['text']} {values['entry'].get('url', '')}")
        elif method == "Page.loadEventFired":
            self.events.put(method)


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are none of the numbers that Chromium wants."""
    read, write = os.pipe()
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (read, write))
    os.close(read)
    os.close(write)
    return moved
