"""The documentation does what it says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, Project, snippets

HOWTO = sorted((DOCS / "howto").glob("*.md"))
PAGES = sorted(DOCS.rglob("*.md"))
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(#[^)]*)?\)")


@pytest.mark.slow
def test_the_tutorial_followed_literally_in_a_fresh_project_ends_with_a_search(
    after_tutorial: Project,
) -> None:
    assert (after_tutorial.folder / "shop" / "migrations" / "0001_initial.py").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["first-metered-call", "first-run"])
def test_each_other_tutorial_runs_in_a_project_without_search(
    name: str, start: Callable[[], Project]
) -> None:
    page = DOCS / "tutorial" / f"{name}.md"
    assert start().follow(page) == len(list(snippets(page)))


@pytest.mark.slow
@pytest.mark.parametrize("page", HOWTO, ids=lambda page: page.stem)
def test_each_how_to_page_does_what_it_says_after_the_tutorial(page: Path, project: Project) -> None:
    assert project.follow(page) == len(list(snippets(page)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    broken = [
        link for link, _ in LINK.findall(page.read_text()) if not (page.parent / link).resolve().exists()
    ]
    assert broken == []
