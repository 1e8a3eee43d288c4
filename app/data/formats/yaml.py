"""As much of YAML as a data.yaml has: keys with a word, a list or a mapping. Saves a dependency for a dozen lines."""

from __future__ import annotations

import re
from typing import Any

KEY = re.compile(r"""("[^"]*"|'[^']*'|[^\s'"#\[\]{},-][^:#]*?)\s*:(?:\s+(.*))?$""")
TOKEN = re.compile(
    r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[\[\]{},:]|(?:[^\[\]{},:\s]|(?<=\S)[ \t]+(?=[^\[\]{},:\s])|:(?=\S))+)\s*"""
)


def parse(text: str) -> dict[str, Any]:
    """The keys at the margin with their values: str, list of str, or dict of str; what is nested deeper is passed over.

    Raises:
        ValueError: a line is no key, a list is not closed.
    """
    lines = [(number, stripped) for number, line in enumerate(text.splitlines(), start=1) if (stripped := _bare(line)).strip()]
    found: dict[str, Any] = {}
    index = 0
    while index < len(lines):
        number, line = lines[index]
        index += 1
        if line.strip() in ("---", "..."):
            continue
        match = KEY.match(line)
        if line[0].isspace() or not match:
            raise ValueError(f"line {number} is not understood: {line.strip()[:60]}")
        value = (match[2] or "").strip()
        if value[:1] in ("[", "{"):
            while not _closed(value):
                if index == len(lines):
                    raise ValueError(f"line {number} opens a list that is not closed")
                value += " " + lines[index][1].strip()
                index += 1
            found[_word(match[1])] = _flow(value, number)
            continue
        block = []
        while index < len(lines) and (lines[index][1][0].isspace() or lines[index][1].startswith("- ")):
            block.append(lines[index][1])
            index += 1
        found[_word(match[1])] = _block(block) if block else _word(value)
    return found


def _bare(line: str) -> str:
    """A line without its comment, which begins at a # after a space that is not in quotes."""
    quote, before = "", " "
    for place, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and before in " \t[{,:":
            quote = letter
        elif letter == "#" and before.isspace():
            return line[:place].rstrip()
        before = letter
    return line.rstrip()


def _block(lines: list[str]) -> list[str] | dict[str, str]:
    """The items of lines that begin with a dash, or the keys of others, at the least indentation."""
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    own = [line.strip() for line in lines if len(line) - len(line.lstrip()) == margin]
    if own[0].startswith("- "):
        return [_word(line[2:].strip()) for line in own if line.startswith("- ")]
    pairs = [match for line in own if (match := KEY.match(line))]
    return {_word(match[1]): _word((match[2] or "").strip()) for match in pairs}


def _closed(value: str) -> bool:
    tokens = TOKEN.findall(value)
    return sum(token in ("[", "{") for token in tokens) <= sum(token in ("]", "}") for token in tokens)


def _flow(value: str, number: int) -> list[str] | dict[str, str]:
    """The words of `[a, 'b c']`, or the pairs of `{0: a, 1: b}`."""
    tokens = TOKEN.findall(value)
    inside, rest = tokens[1:], tokens[1:-1]
    if not inside or inside[-1] != {"[": "]", "{": "}"}[tokens[0]] or any(token in "[]{}" for token in rest):
        raise ValueError(f"line {number} is not understood: {value[:60]}")
    items: list[list[str]] = [[]]
    for token in rest:
        if token == ",":
            items.append([])
        else:
            items[-1].append(token)
    if tokens[0] == "[":
        return [_word("".join(item)) for item in items if item]
    if any(len(item) < 2 or item[1] != ":" for item in items if item):
        raise ValueError(f"line {number} is not understood: {value[:60]}")
    return {_word(item[0]): _word("".join(item[2:])) for item in items if item}


def _word(text: str) -> str:
    """A word without the quotes around it."""
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) > 1 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return "" if text in ("null", "~") else text
