"""Reads ``demo/content``: products and orders as JSON, help articles as Markdown, and the committed questions."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "content"

ARTICLE = re.compile(
    r"# (?P<title>.+)\nslug: (?P<slug>[a-z0-9-]+)\naudience: (?P<audience>\w+)\nupdated: (?P<updated>[\d-]+)\n"
    r"\n(?P<body>(?:(?!# ).*\n?)*)"
)


@dataclass(frozen=True, slots=True)
class ArticleText:
    slug: str
    title: str
    body: str
    topic: str
    audience: str
    updated: date


FILES = ("products/*.json", "help/*.md", "questions.json", "orders.json")


def digest() -> str:
    """SHA-256 of every file that is read, and of its name."""
    seen = hashlib.sha256()
    for path in sorted(path for pattern in FILES for path in FOLDER.glob(pattern)):
        data = path.read_bytes()
        seen.update(f"{path.relative_to(FOLDER)} {len(data)}\n".encode() + data)
    return seen.hexdigest()


def products() -> list[dict[str, Any]]:
    """Rows with sku, ean, name, description, brand, category, price_pence, audience and compatible_with."""
    return [row for path in sorted(FOLDER.glob("products/*.json")) for row in json.loads(path.read_text())]


def articles() -> list[ArticleText]:
    """Every article, its topic taken from the name of its file."""
    return [article for path in sorted(FOLDER.glob("help/*.md")) for article in _articles_of(path)]


def _articles_of(path: Path) -> Iterator[ArticleText]:
    text = path.read_text()
    found = list(ARTICLE.finditer(text))
    if len(found) != text.count("\nslug: "):
        raise ValueError(f"{path.name}: an article is not in the form of demo/content/README.md")
    for match in found:
        yield ArticleText(
            slug=match["slug"],
            title=match["title"].strip(),
            body=match["body"].strip(),
            topic=path.stem,
            audience=match["audience"],
            updated=date.fromisoformat(match["updated"]),
        )


def orders() -> list[dict[str, Any]]:
    """Rows with number, customer, placed_at and lines, part number -> quantity."""
    rows: list[dict[str, Any]] = json.loads((FOLDER / "orders.json").read_text())
    return rows


def questions() -> list[dict[str, str]]:
    """Rows with question, shelf, expects, kind and as (who asks)."""
    rows: list[dict[str, str]] = json.loads((FOLDER / "questions.json").read_text())
    return rows
