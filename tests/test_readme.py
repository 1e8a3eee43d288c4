"""The README's commands, typed as they stand, in a fresh copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import _parser
from app.config import make_config
from app.flags import given_options, given_settings
from models.registry import all_models

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```sh(?P<skip> skip: [^\n]+)?\n(?P<commands>.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page: Path, *, skipped: bool) -> list[str]:
    """The lines of a page's shell blocks; with `skipped` those that say why they are not run."""
    blocks = [block for block in FENCE.finditer(page.read_text()) if bool(block["skip"]) == skipped]
    return [line for block in blocks for line in block["commands"].splitlines() if line]


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """What git would hand out, without a virtual environment of its own: that of this Python is used."""
    place = tmp_path_factory.mktemp("clone") / "convoy"
    names = ("app", "models", "Makefile", "requirements.txt", "requirements-serve.txt", "pyproject.toml")
    place.mkdir()
    for name in names:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place / name)
    return place


def test_every_command_of_the_readme_works(clone):
    environment = {**os.environ, "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}
    for line in commands(ROOT / "README.md", skipped=False):
        # `-o setup`: what is installed already is not installed again, which would need a network.
        typed = line.replace("make ", f"make -o setup VENV={sys.prefix} ")
        done = subprocess.run(["bash", "-c", typed], cwd=clone, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert (clone / "exported/lenet5-digits/1/release.json").exists()
    assert (clone / "runs/answers.csv").exists()
    assert (clone / "runs/compare.png").exists()
    assert (clone / "runs/latest/report/index.html").exists()


def test_every_training_that_the_pages_name_has_flags_that_exist():
    """Those that take too long for a test, or need data that is not here, are at least understood."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    named = [line.strip() for page in pages for line in page.read_text().splitlines()]
    trainings = [
        line[line.index("python -m app train ") :] for line in named if re.match(r"^(\w+=\S+ )*python -m app train ", line)
    ]
    assert trainings
    for line in trainings:
        words = line.split("#")[0].replace("$SEED", "0").split()[3:]
        given = _parser().parse_args(words)
        make_config(given.model, given.data, given_settings(given), given_options(given, given.model))


def test_the_pages_speak_of_what_exists():
    """File names in the pages are those of the tree."""
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} names {link}"


def test_what_was_reached_is_what_the_page_of_results_has():
    """Each figure of `python -m app models` stands in a row of the network in docs/results.md, below the data's heading."""
    titles = {
        "mnist": "MNIST",
        "cifar10": "CIFAR-10",
        "digits": "Digits of scikit-learn",
        "scenes": "Scenes",
        "bccd": "BCCD",
        "camvid": "CamVid",
    }
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", (ROOT / "docs/results.md").read_text(), re.MULTILINE | re.DOTALL))
    told = [(spec.name, data, percent) for spec in all_models().values() for data, percent in spec.reached.items()]
    assert len(told) >= 10
    for name, data, percent in told:
        section = sections[titles[data]]
        rows = [line for line in section.splitlines() if line.startswith(f"| `{name}` |")]
        assert f"{percent:.2f}" in (rows[0] if rows else section), (name, data)
