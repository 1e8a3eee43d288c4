"""The browsers' runtimes: npm packages of pinned versions, of which the page takes a few files."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from app.data.cache import cached
from app.errors import UserError

HERE = Path(__file__).parent
PINS = ("package.json", "package-lock.json")
NEEDED = "install Node.js 20 or newer (nodejs.org)"
PATIENCE_SECONDS = 600


@dataclass(frozen=True)
class Runtime:
    """What runs the files of a format in a browser.

    Args:
        name: for people.
        licence: under which its files may be handed on.
        files: of the installed packages, and where in the site they lie.
        renamed: what is called otherwise in the site: a browser finds no package by its name.
    """

    name: str
    licence: str
    files: dict[str, str]
    renamed: dict[str, str]


_ONNX, _LITERT, _WASM = "onnxruntime-web/dist", "@litertjs/core", "@litertjs/wasm-utils"
RUNTIMES = {
    "onnx": Runtime(
        name="ONNX Runtime Web",
        licence="MIT",
        files={
            f"{_ONNX}/{file}": f"runtime/onnx/{file}"
            for file in ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
        },
        renamed={},
    ),
    "tflite": Runtime(
        name="LiteRT.js",
        licence="Apache 2.0",
        files={
            f"{_LITERT}/dist/index.js": "runtime/litert/index.js",
            f"{_WASM}/dist/index.js": "runtime/litert/wasm-utils.js",
            # The second pair is for browsers without relaxed SIMD, such as those of older iPhones.
            **{
                f"{_LITERT}/wasm/{file}.{suffix}": f"runtime/litert/{file}.{suffix}"
                for file in ("litert_wasm_internal", "litert_wasm_compat_internal")
                for suffix in ("js", "wasm")
            },
        },
        renamed={'"@litertjs/wasm-utils"': '"./wasm-utils.js"'},
    ),
}


def installed_runtimes() -> Path:
    """The folder with the runtimes' files as the site has them, installed now or at an earlier time.

    Raises:
        UserError: npm is missing, or cannot install.
    """
    pins = b"".join((HERE / file).read_bytes() for file in PINS)
    return cached(f"demo/runtimes-{hashlib.sha256(pins).hexdigest()[:16]}", _install)


def copy_runtime(installed: Path, runtime: Runtime, site: Path) -> None:
    """Copies a runtime's files into a site."""
    for place in runtime.files.values():
        (site / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(installed / place, site / place)


def _install(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(f"npm is missing, which fetches what runs networks in a browser; {NEEDED}, then go on")
    work = folder / "npm"
    work.mkdir()
    for file in PINS:
        shutil.copyfile(HERE / file, work / file)
    _run([npm, "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"], work)
    for runtime in RUNTIMES.values():
        for source, place in runtime.files.items():
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(work / "node_modules" / source, target)
            if target.suffix in (".js", ".mjs"):
                target.write_text(_as_served(target.read_text(encoding="utf-8"), runtime), encoding="utf-8")
    shutil.rmtree(work)


def _as_served(text: str, runtime: Runtime) -> str:
    for package, path in runtime.renamed.items():
        text = text.replace(package, path)
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("//# sourceMappingURL="))  # the maps stay behind


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UserError("npm took more than ten minutes to install the demo's packages; check the network, then go on") from None
    if done.returncode:
        told = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        reason = next((line for line in told if "npm notice" not in line and "npm warn" not in line), "no reason given")
        raise UserError(f"npm cannot install the demo's packages ({reason}); check the network, or {NEEDED}, then go on")
