"""Code that asks an SDK itself is found, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lockstep.llm.bypass import direct_uses
from lockstep.llm.checks import check_bypass


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import openai\n", [(1, "openai")]),
        ("def ask():\n    from openai.types import chat\n", [(2, "openai.types")]),
        ("import json, anthropic as a\n", [(1, "anthropic")]),
        ("from google import genai\n", [(1, "google.genai")]),
        ("from langchain_openai import (\n    ChatOpenAI,\n)\n", [(1, "langchain_openai")]),
        ("import openai  # lockstep: direct\n", []),
        ("from . import openai\nfrom .openai import x\n", []),
        ("import openai_like\nfrom google.cloud import storage\n", []),
        ("# import openai\n'openai'\n", []),
        ("import openai (\n", []),
        ("openai\0", []),
    ],
)
def test_imports_of_sdks(source: str, found: list[tuple[int, str]]) -> None:
    assert list(direct_uses(source)) == found


def test_an_app_of_the_project_is_named_with_file_and_line(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "views.py").write_text("import json\nimport litellm\n")
    ours = SimpleNamespace(path=str(tmp_path), name="shop")
    installed = SimpleNamespace(path=str(Path(pytest.__file__).parent), name="pytest")
    monkeypatch.setattr(
        "lockstep.llm.bypass.apps", SimpleNamespace(get_app_configs=lambda: [ours, installed])
    )
    (warning,) = check_bypass()
    assert (warning.id, f"{tmp_path / 'views.py'}:2 imports litellm" in warning.msg) == (
        "lockstep_llm.W003",
        True,
    )


def test_our_own_house_is_clean() -> None:
    assert check_bypass() == []
