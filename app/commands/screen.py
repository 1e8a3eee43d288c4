"""What the commands say on the screen."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def say(line: str) -> None:
    """A line, at once."""
    print(line, flush=True)


def nothing(line: str) -> None:
    """Keeps the line to itself: where a program reads the output."""
    del line


def command(*words: str) -> str:
    """A command as it can be typed here: by the Python that runs this, where `python` is another one."""
    ours, found = Path(sys.executable), shutil.which("python")
    same = found is not None and Path(found).parent == ours.parent  # of one folder; links would lead out of both environments
    return shlex.join(["python" if same else shown(ours), "-m", "app", *words])


def shown(path: Path) -> str:
    """A path as short as it can be typed from here."""
    return min(os.path.relpath(path), str(path.absolute()), key=len)
