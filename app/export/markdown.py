"""Tables and texts in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """A table in Markdown.

    Args:
        left: how many columns are text; the others are numbers, and stand to the right.
    """
    line = ["---" if place < left else "---:" for place in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, line, *rows))


def plain(text: str) -> str:
    """A text that Markdown shows as it is, also in a table; an underscore between letters means nothing to it."""
    marked = re.sub(r"[\\`*\[\]]|(?<![^\W_])_|_(?![^\W_])", lambda found: f"\\{found[0]}", text)
    return re.sub(r"[&<>|~$]", lambda found: f"&#{ord(found[0])};", marked)


def percent(share: float) -> str:
    """`98.6 %`; 100 % only if it is all."""
    text = f"{100 * share:.1f}"
    return "99.9 %" if share < 1 and text == "100.0" else f"{text} %"
