"""Excerpts of texts for the results page."""

from __future__ import annotations

import html
import re
import textwrap

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

LENGTH = 170
"""Characters of a text in which no word was found."""

MARKS = re.compile("</?mark>")
BLOCK_SIGNS = re.compile(r"(?:^|(?<=\s))(?:#{2,4}|[-*]|\d+\.)\s|\||-{3,}")
INLINE_SIGNS = re.compile(r"\*\*|`|(?<![\w*])\*(?=\S)|(?<=\S)\*(?![\w*])")
"""Signs of Markdown, none of which means anything in HTML."""


def heading(marked: SafeString, text: str) -> SafeString:
    """A whole heading with its highlights, of which ``marked`` may hold only a part."""
    whole, part = escape(text), MARKS.sub("", marked).strip()
    if not part or part not in whole:
        return whole
    return mark_safe(whole.replace(part, marked.strip(), 1))  # noqa: S308 -- both are escaped


def excerpt(marked: SafeString, text: str) -> SafeString:
    """A highlighted excerpt without Markdown, with dots where the text goes on.

    Args:
        marked: escaped HTML with ``<mark>``, as ``explain()`` gives it.
        text: the whole text that it was taken from.
    """
    if "<mark>" not in marked:
        return escape(textwrap.shorten(plain(text), LENGTH, placeholder=" …"))
    words = html.unescape(MARKS.sub("", marked))
    before = "" if text.startswith(words[:10]) else "… "
    after = "" if text.rstrip().endswith(words[-10:].rstrip()) else " …"
    return mark_safe(before + plain(marked) + after)  # noqa: S308 -- escaped before; only signs were taken out


def plain(text: str) -> str:
    """Without the signs of Markdown, in one line."""
    return " ".join(INLINE_SIGNS.sub("", BLOCK_SIGNS.sub(" ", text)).split())
