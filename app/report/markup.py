"""The pieces of the page: every text that comes in is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from PIL import Image

STYLESHEET = """
:root { color-scheme: light dark; --ground: #f6f6f4; --card: #ffffff; --text: #1b1b1b; --quiet: #595959; --line: #dcdcd8;
        --accent: #005a91; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #16181a; --card: #202325; --text: #e9e9e6; --quiet: #a9adb0; --line: #3a3e41; --accent: #7cc4f5; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 1rem; display: grid; gap: 1rem; grid-template-columns: minmax(0, 1fr); }
@media (min-width: 60rem) {
  main { grid-template-columns: repeat(2, minmax(0, 1fr)); align-items: start; padding: 2rem 1.5rem; }
  header, section.wide, footer { grid-column: 1 / -1; }
}
h1 { font-size: 1.25rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 .5rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem;
          overflow-x: auto; }
p { margin: .4rem 0; max-width: 44rem; overflow-wrap: anywhere; }
.headline { font-size: clamp(3rem, 12vw, 5rem); line-height: 1.1; font-weight: 650; color: var(--accent); margin: .3rem 0 0; }
.quiet { color: var(--quiet); font-size: .92rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .8rem 1.2rem; margin: 0; }
.facts dt { color: var(--quiet); font-size: .85rem; }
.facts dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
img { display: block; width: 100%; max-width: 40rem; height: auto; margin: .5rem auto 0; background: #fff; border-radius: .4rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
caption { text-align: left; color: var(--quiet); padding-bottom: .4rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .5rem .3rem 0; border-top: 1px solid var(--line);
         overflow-wrap: anywhere; }
thead th { border-top: 0; color: var(--quiet); font-weight: 500; overflow-wrap: normal; }
tbody th { font-weight: 600; }
.settings { font-size: .86rem; }
.settings th { overflow-wrap: normal; }
.settings td { overflow-wrap: break-word; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
pre { margin: .3rem 0 .9rem; padding: .6rem .7rem; background: var(--ground); border: 1px solid var(--line); border-radius: .4rem;
      white-space: pre-wrap; overflow-wrap: anywhere; font-size: .9rem; }
.legend { list-style: none; margin: .6rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .92rem; }
.legend i { display: inline-block; width: .9em; height: .9em; margin-inline-end: .4em; border: 1px solid var(--line);
            vertical-align: -.1em; }
summary { cursor: pointer; padding: .4rem 0; color: var(--accent); }
a { color: var(--accent); }
"""


def page(title: str, sections: Iterable[str]) -> str:
    """A whole page: one file, nothing loaded but the pictures beside it."""
    body = "\n".join(section for section in sections if section)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLESHEET}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def section(heading: str, *parts: str, wide: bool = False) -> str:
    """A card with a heading; a wide one takes both columns of a desktop page."""
    opening = '<section class="wide">' if wide else "<section>"
    return "\n".join([opening, f"<h2>{escape(heading)}</h2>", *parts, "</section>"])


def header(title: str, *parts: str) -> str:
    """The top of the page."""
    return "\n".join(["<header>", f"<h1>{escape(title)}</h1>", *parts, "</header>"])


def paragraph(text: str, kind: str = "") -> str:
    """Text; `kind` is `quiet` or `headline`."""
    opening = f'<p class="{kind}">' if kind else "<p>"
    return f"{opening}{escape(text)}</p>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values that fill the width they find."""
    return '<dl class="facts">' + "".join(_fact(name, value) for name, value in pairs) + "</dl>"


def _fact(name: str, value: str) -> str:
    return f'<div><dt>{escape(name)}</dt><dd dir="auto">{escape(value)}</dd></div>'


def image(file: Path, alternative: str) -> str:
    """A picture beside the page, that a tap opens in full size."""
    with Image.open(file) as picture:
        width, height = picture.size
    sizes = f'width="{width}" height="{height}"'
    return f'<a href="{escape(file.name)}"><img src="{escape(file.name)}" {sizes} alt="{escape(alternative)}"></a>'


def table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = (), caption: str = "", kind: str = ""
) -> str:
    """A table whose first column names its rows; the columns in `numbers` are set to the right. `kind` may be `settings`."""
    kinds = [' class="number"' if column in numbers else "" for column in range(len(headers))]
    head = "".join(f'<th scope="col"{kind}>{escape(header)}</th>' for header, kind in zip(headers, kinds, strict=True))
    body = "\n".join(f"<tr>{_cells(row, kinds)}</tr>" for row in rows)
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    opening = f'<table class="{kind}">' if kind else "<table>"
    return f"{opening}{above}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _cells(row: Sequence[str], kinds: Sequence[str]) -> str:
    first, *rest = (escape(cell) for cell in row)
    cells = [f'<th scope="row" dir="auto"{kinds[0]}>{first}</th>']
    return "".join(cells + [f'<td dir="auto"{kind}>{cell}</td>' for cell, kind in zip(rest, kinds[1:], strict=True)])


def legend(pairs: Iterable[tuple[str, tuple[int, int, int]]]) -> str:
    """Names, each behind its colour."""
    items = "".join(f'<li dir="auto">{_swatch(*colour)}{escape(name)}</li>' for name, colour in pairs)
    return f'<ul class="legend">{items}</ul>'


def _swatch(red: int, green: int, blue: int) -> str:
    return f'<i style="background:#{red:02x}{green:02x}{blue:02x}"></i>'


def more(summary: str, content: str) -> str:
    """Something long, folded."""
    return f"<details><summary>{escape(summary)}</summary>\n{content}\n</details>"


def command(text: str) -> str:
    """A command to copy."""
    return f"<pre><code>{escape(text)}</code></pre>"
