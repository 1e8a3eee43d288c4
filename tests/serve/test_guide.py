"""What the pages say of the service works as it is typed."""

import json
import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from app.cli import _parser

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs" / "serving.md")
UNIT, CONTAINER = (ROOT / "docs" / "serving" / name for name in ("convoy.service", "Containerfile"))


def lines(start: str) -> list[str]:
    return [line for page in PAGES for line in page.read_text().splitlines() if line.startswith(start)]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing")
@pytest.mark.parametrize("line", lines("curl "))
def test_a_line_of_curl_is_answered(server, release, line):
    typed = line.replace("localhost:8000", f"{server.host}:{server.port}").replace(
        "exported/lenet5-digits/1", str(release.folder)
    )
    done = subprocess.run(["curl", "--silent", "--fail", *shlex.split(typed)[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    assert '"labels":[{"label":' in done.stdout


def test_lines_of_curl_are_there():
    assert len(lines("curl ")) >= 3


def test_the_commands_have_flags_that_exist():
    commands = lines("python -m app serve")
    # A unit and a container start the same command, by paths of their own.
    [unit] = re.findall(r"^ExecStart=\S+ -m app (.*)$", UNIT.read_text(), re.MULTILINE)
    entry, standard = (re.search(rf"^{word} (\[.*\])$", CONTAINER.read_text(), re.MULTILINE)[1] for word in ("ENTRYPOINT", "CMD"))
    words = [shlex.split(line)[3:] for line in commands] + [unit.split(), [*json.loads(entry)[3:], *json.loads(standard)]]
    assert len(words) >= 4
    for one in words:
        assert _parser().parse_args(one).command.__name__ == "serve"


def test_what_the_container_copies_is_there():
    copied = re.findall(r"^COPY (\S+) ", CONTAINER.read_text(), re.MULTILINE)
    assert {"requirements-serve.txt", "app", "models"} == set(copied)
    assert all((ROOT / name).exists() for name in copied)


def test_systemd_is_told_when_every_release_is_loaded(start, release, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        server = start(release.folder, environment={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert systemd.recv(100) == b"READY=1"
        assert server.get("/v2/health/ready").status == 200
