"""Finds code of the project that asks a provider's SDK itself, past the ledger, the switch and every budget."""

from __future__ import annotations

import ast
import site
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from django.apps import apps

__all__ = ["ALLOWED", "SDKS", "bypasses", "direct_uses"]

SDKS = (
    "anthropic", "cohere", "google.genai", "google.generativeai", "groq", "langchain_anthropic", "langchain_aws",
    "langchain_cohere", "langchain_google_genai", "langchain_groq", "langchain_mistralai", "langchain_ollama",
    "langchain_openai", "litellm", "mistralai", "ollama", "openai", "together", "vertexai",
)  # fmt: skip
ALLOWED = "lockstep: direct"
"""A comment that says: somebody has decided that this import goes past the ledger."""


def bypasses() -> Iterator[tuple[Path, int, str]]:
    """File, line and module of each import of an SDK in an installed app that is the project's own."""
    for app in apps.get_app_configs():
        if _is_the_projects(Path(app.path), app.name):
            for path in sorted(Path(app.path).rglob("*.py")):
                for line, name in direct_uses(path.read_text("utf-8", "replace")):
                    yield path, line, name


def direct_uses(source: str) -> Iterator[tuple[int, str]]:
    """Line and module of each import of an SDK; a file that is no Python has none."""
    if not any(sdk.partition(".")[0] in source for sdk in SDKS):
        return
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    lines = source.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and ALLOWED not in lines[(node.end_lineno or 1) - 1]:
            for name in _modules(node):
                if any(name == sdk or name.startswith(f"{sdk}.") for sdk in SDKS):
                    yield node.lineno, name


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.level or not node.module:
        return []
    return [node.module] if node.module != "google" else [f"google.{alias.name}" for alias in node.names]


def _is_the_projects(folder: Path, name: str) -> bool:
    installed = [Path(place).resolve() for place in (*site.getsitepackages(), sysconfig.get_path("purelib"))]
    return not name.startswith("lockstep.") and not any(
        folder.resolve().is_relative_to(place) for place in installed
    )
