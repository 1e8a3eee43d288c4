"""A release -> a folder that any web server can hand out as it is."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from app.demo.drawn import drawing
from app.demo.icons import SIZES, icon_path, write_icons
from app.demo.runtimes import RUNTIMES, copy_runtime, installed_runtimes
from app.errors import UserError
from app.release import Artifact, Release, check_artifact, check_extras

PAGES = (Path(__file__).parent / "page", Path(__file__).parents[1] / "page")  # its own parts, and those of the service's too
SITE = "site.json"
MANIFEST = "manifest.webmanifest"
WORKER = "sw.js"
PLACEHOLDER = "/* what was built */ {}"
SAMPLES = "samples"
DOES = {"classification": "Classifies", "detection": "Finds things in", "segmentation": "Finds the areas of things in"}
DRAWABLE = "classification"  # a drawing is set in the middle, as digits are prepared: nothing to find a place in
LARGE = 20 * 2**20  # bytes of a model that a phone fetches only when it is chosen
# Faithful first: the page starts with the first of them.
PREFERRED = ("onnx", "tflite")


def build(release: Release, site: Path) -> list[str]:
    """Writes the page of a release into a folder; gives the paths of its files.

    Args:
        site: empty, new, or an earlier page, whose files it replaces.
    Raises:
        UserError: the release cannot be shown in a browser, is not as it was verified, or the folder holds other things.
    """
    variants = browser_variants(release)
    earlier = _earlier_files(site)
    for variant in variants:
        check_artifact(release, variant)
    check_extras(release)
    installed = installed_runtimes()
    site.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=site.parent, prefix=f".{site.name}."))
    try:
        files = _write(release, variants, installed, partial)
        partial.chmod(0o755)  # a web server of another user reads it
        _publish(partial, site, earlier, files)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return files


def browser_variants(release: Release) -> list[Artifact]:
    """The files that browsers can run, the one to start with first.

    Raises:
        UserError: there is none.
    """
    found = [file for file in _runnable(release) if not file.tail]
    if not found:
        raise UserError(f"'{release.folder}' has no file for browsers; export it with --variants onnx-fp32 tflite-int8")
    return sorted(found, key=lambda file: PREFERRED.index(file.format))  # sorted keeps the release's order within a format


def _runnable(release: Release) -> list[Artifact]:
    return [file for file in release.files if file.format in RUNTIMES and file.input_dtype != "int8" and file.channels == "RGB"]


def _absent(release: Release) -> str:
    """Why files that a browser could run are not on the page."""
    halves = [f"{file.format}-{file.precision}" for file in _runnable(release) if file.tail]
    return f"Not here: {', '.join(halves)}, which is in two files; the page runs whole ones." if halves else ""


def describe(release: Release, variants: list[Artifact], samples: list[Path]) -> dict[str, Any]:
    """What the page is told of a release: `site.json`."""
    height, width, _ = release.picture_shape
    return {
        "name": release.name,
        "version": release.version,
        "objective": release.objective,
        "classes": list(release.classes),
        "shape": {"height": height, "width": width},
        "metric": release.metric,
        "threshold": release.threshold.get("probability", 0),
        "drawing": drawing(samples, release.classes) if release.objective == DRAWABLE else None,
        "heldout": release.run["heldout"],
        "absent": _absent(release),
        "variants": [
            {
                "name": f"{variant.format}-{variant.precision}",
                "path": f"model/{variant.path}",
                "file": variant.path,
                "format": variant.format,
                "runtime": RUNTIMES[variant.format].name,
                "precision": variant.precision,
                "bytes": variant.bytes,
                "metric": variant.metric,
                "input_dtype": variant.input_dtype,
            }
            for variant in variants
        ],
        "licences": [f"{RUNTIMES[name].name} ({RUNTIMES[name].licence})" for name in sorted({v.format for v in variants})],
    }


def _write(release: Release, variants: list[Artifact], installed: Path, site: Path) -> list[str]:
    for page in PAGES:
        shutil.copytree(page, site, dirs_exist_ok=True)
    (site / "model").mkdir()
    for variant in variants:
        shutil.copyfile(release.folder / variant.path, site / "model" / variant.path)
    for format_name in {variant.format for variant in variants}:
        copy_runtime(installed, RUNTIMES[format_name], site)
    (site / SAMPLES).mkdir()
    for path in release.extras:
        if path.startswith(f"{SAMPLES}/"):
            shutil.copyfile(release.folder / path, site / path)
    write_icons(site)
    pictures = sorted((site / SAMPLES).glob("*.png"))
    _write_json(site / SITE, describe(release, variants, pictures))
    _write_json(site / MANIFEST, _manifest(release))
    return _write_worker(site)


def _manifest(release: Release) -> dict[str, Any]:
    icons = [
        {"src": icon_path(size), "sizes": f"{size}x{size}", "type": "image/png", "purpose": purpose}
        for size in SIZES
        for purpose in ("any", "maskable")
    ]
    return {
        "name": f"Convoy {release.name}",
        "short_name": release.name,
        "description": f"{DOES[release.objective]} pictures on this device: {release.name}, version {release.version}.",
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#000000",
        "theme_color": "#000000",
        "icons": icons,
    }


def _write_worker(site: Path) -> list[str]:
    """Tells the service worker what to keep. Its own bytes change with any file's, so that browsers notice a new page."""
    template = (site / WORKER).read_text(encoding="utf-8")
    files = sorted(file.relative_to(site).as_posix() for file in site.rglob("*") if file.is_file())
    content = hashlib.sha256()
    for path in files:
        content.update(f"{path} {hashlib.sha256((site / path).read_bytes()).hexdigest()}\n".encode())
    kept = [path for path in files if path != WORKER]
    later = [path for path in kept if path.startswith("model/") and (site / path).stat().st_size > LARGE]
    built = json.dumps({"version": content.hexdigest()[:16], "files": kept, "later": later}, indent=1)
    (site / WORKER).write_text(template.replace(PLACEHOLDER, built), encoding="utf-8")
    return files


def _earlier_files(site: Path) -> list[str]:
    """The files of the page that lies in the folder already.

    Raises:
        UserError: the folder holds something else.
    """
    if site.exists() and not site.is_dir():
        raise UserError(f"'{site}' is a file; give --build a folder")
    if not site.is_dir() or not any(site.iterdir()):
        return []
    try:
        text = (site / WORKER).read_text(encoding="utf-8")
        built = json.loads(text[text.index("{") : text.index("};") + 1])
        return [*map(str, built["files"]), WORKER]
    except (OSError, ValueError, KeyError):
        raise UserError(f"'{site}' holds other files; give --build an empty or a new folder") from None


def _publish(partial: Path, site: Path, earlier: list[str], files: list[str]) -> None:
    """Moves the files into place, and removes what an earlier page had besides; other people's files stay."""
    if not site.exists():
        partial.rename(site)
        return
    for path in sorted(files, key=lambda path: path == WORKER):  # last, for it tells phones that there are new ones
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (partial / path).replace(site / path)
    inside = site.resolve()
    for path in sorted(set(earlier) - set(files)):
        stale = (site / path).resolve()
        if stale.is_relative_to(inside):
            stale.unlink(missing_ok=True)
            if stale.parent != inside and not any(stale.parent.iterdir()):
                stale.parent.rmdir()


def _write_json(file: Path, values: dict[str, Any]) -> None:
    file.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
