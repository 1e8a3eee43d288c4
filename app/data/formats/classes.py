"""A person's list of classes: `classes.txt` or `labels.txt`, a line a class."""

from __future__ import annotations

import re
from pathlib import Path

from app.data.spec import VOID
from app.errors import UserError

FILES = ("classes.txt", "labels.txt", "class_names.txt")
VOID_NAMES = ("void", "unlabelled", "unlabeled", "ignore", "ignored")
NUMBERED = re.compile(r"(\d+)[\s,:;]+(\S.*)")


def find_list(folder: Path) -> Path | None:
    """The file that names the classes, if there is one."""
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def read_list(file: Path) -> dict[int, str]:
    """Number -> name of each line, counted from 0 or as the lines say themselves; what is called void or the like is `void`.

    Raises:
        UserError: a number or a name stands there twice, or a number is above 255.
    """
    lines = [line.strip() for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    split = [NUMBERED.fullmatch(line) for line in lines]
    numbered = all(split)
    names: dict[int, str] = {}
    for line, match in zip(lines, split, strict=True):
        own = match if match and (numbered or match[2].lower() in VOID_NAMES) else None
        number, name = (int(own[1]), own[2]) if own else (len(names), line)
        if number in names or number > VOID:
            raise UserError(f"{file} has the number {number} {'twice' if number in names else f'above {VOID}'} ({line}); mend it")
        names[number] = "void" if name.lower() in VOID_NAMES else name
    kept = [name for name in names.values() if name != "void"]
    if twice := sorted({name for name in kept if kept.count(name) > 1}):
        raise UserError(f"{file} has {', '.join(twice)} twice; give each class one line")
    return names
