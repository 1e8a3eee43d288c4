import json
import os

import pytest

from app.demo import runtimes
from app.demo.runtimes import HERE, RUNTIMES, installed_runtimes
from app.errors import UserError


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH with what the test puts there, and a cache of its own."""
    monkeypatch.setenv("CONVOY_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(runtimes.shutil, "which", lambda name: str(folder / name) if (folder / name).exists() else None)
    return folder


def program(file, lines):
    file.write_text("#!/bin/sh\n" + lines)
    file.chmod(0o755)


def test_without_npm_one_line_says_what_to_install(programs):
    with pytest.raises(UserError, match=r"^npm is missing, .*; install Node.js 20 or newer") as told:
        installed_runtimes()
    assert "\n" not in str(told.value)


def test_npm_that_fails_is_told_in_one_line_and_leaves_nothing(programs, tmp_path):
    program(programs / "npm", "echo 'npm warn something' >&2; echo 'npm error network no route' >&2; exit 1\n")
    with pytest.raises(UserError, match=r"\(npm error network no route\); check the network") as told:
        installed_runtimes()
    assert "\n" not in str(told.value)
    assert not list((tmp_path / "cache/demo").iterdir())


def test_the_packages_are_installed_once_without_their_scripts_and_only_what_is_needed_is_kept(programs, tmp_path):
    wanted = [source for runtime in RUNTIMES.values() for source in runtime.files]
    made = "".join(f"mkdir -p node_modules/{os.path.dirname(path)}; printf 'import {{x}} from \"@litertjs/wasm-utils\";\\n"
                   f"//# sourceMappingURL=x.map' > node_modules/{path}\n" for path in wanted)  # fmt: skip
    program(programs / "npm", f'echo "$@" >> {tmp_path}/calls; test -f package-lock.json || exit 1\n{made}')
    first = installed_runtimes()
    assert installed_runtimes() == first
    (call,) = (tmp_path / "calls").read_text().splitlines()
    assert call.startswith("ci --ignore-scripts")
    files = {file.relative_to(first).as_posix() for file in first.rglob("*") if file.is_file()}
    assert files == {place for runtime in RUNTIMES.values() for place in runtime.files.values()}
    litert = (first / "runtime/litert/index.js").read_text()
    assert litert == 'import {x} from "./wasm-utils.js";\n'


def test_the_versions_are_pinned_with_their_hashes_and_name_no_registry():
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]
    text = (HERE / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    assert packages[""]["dependencies"] == wanted
    for name, version in wanted.items():
        assert packages[f"node_modules/{name}"]["version"] == version
    assert all(package["integrity"].startswith("sha512-") for path, package in packages.items() if path)
    assert "http" not in text
    assert "resolved" not in text
