"""The little Markdown that help articles use: headings, lists, tables, indented code, bold, italics, code.

Text is escaped before any of it is read, so an article cannot bring HTML of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

INLINE = (
    (re.compile(r"`([^`\n]+)`"), r"<code>\1</code>"),
    (re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]+?)(?<=[^\s*])\*(?![\w*])"), r"<em>\1</em>"),
)
HEADING = re.compile(r"(#{2,4}) +(.+)")
BULLET = re.compile(r"[-*] +(.+)")
NUMBER = re.compile(r"\d+[.)] +(.+)")
RULE = re.compile(r"\|?[\s|:-]+\|?")


def render(text: str) -> SafeString:
    """HTML of a help article."""
    blocks = re.split(r"\n\s*\n", text.replace("\r\n", "\n").strip("\n"))
    return mark_safe("\n".join(html for block in blocks for html in _block(block)))  # noqa: S308


def _inline(text: str) -> str:
    html = str(escape(text))
    for pattern, replacement in INLINE:
        html = pattern.sub(replacement, html)
    return html


def _block(block: str) -> Iterator[str]:
    if block.startswith("    "):
        yield f"<pre>{escape(re.sub(r'(?m)^ {4}', '', block))}</pre>"
        return
    for kind, lines in groupby(block.strip().split("\n"), key=_kind):
        yield from RENDERERS[kind](list(lines))


def _kind(line: str) -> str:
    if HEADING.fullmatch(line):
        return "heading"
    if BULLET.fullmatch(line):
        return "bullet"
    if NUMBER.fullmatch(line):
        return "number"
    return "table" if line.startswith("|") else "text"


def _headings(lines: list[str]) -> Iterator[str]:
    for line in lines:
        hashes, title = HEADING.fullmatch(line).groups()  # type: ignore[union-attr]
        yield f"<h{len(hashes)}>{_inline(title)}</h{len(hashes)}>"


def _bullets(lines: list[str]) -> Iterator[str]:
    yield f"<ul>{''.join(f'<li>{_inline(line[1:].strip())}</li>' for line in lines)}</ul>"


def _numbers(lines: list[str]) -> Iterator[str]:
    items = (NUMBER.fullmatch(line)[1] for line in lines)  # type: ignore[index]
    yield f"<ol>{''.join(f'<li>{_inline(item)}</li>' for item in items)}</ol>"


def _table(lines: list[str]) -> Iterator[str]:
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    has_head = len(lines) > 1 and bool(RULE.fullmatch(lines[1]))
    html = "".join(
        "<tr>" + "".join(_cell(cell, "th" if has_head and number == 0 else "td") for cell in row) + "</tr>"
        for number, row in enumerate(rows)
        if not (has_head and number == 1)
    )
    yield f'<div class="scroll"><table>{html}</table></div>'


def _cell(text: str, tag: str) -> str:
    return f"<{tag}>{_inline(text)}</{tag}>"


def _text(lines: list[str]) -> Iterator[str]:
    yield f"<p>{_inline(' '.join(lines))}</p>"


RENDERERS = {"heading": _headings, "bullet": _bullets, "number": _numbers, "table": _table, "text": _text}
