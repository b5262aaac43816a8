"""Fixtures that every folder of tests may use."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def labelled_sets() -> Path:
    """The folder of labelled collections: ``LOCKSTEP_DATA``, or ``shared/data`` beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LOCKSTEP_DATA") or beside)
    if not folder.is_dir():
        pytest.skip("no labelled collections: set LOCKSTEP_DATA to their folder")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Headless Chromium. Absent, the test is skipped; in CI it fails.

    One a module: async code of later modules would find Playwright's event loop in its thread.
    """
    program = chromium.find()
    if program is None:
        message = "no Chromium on this machine: install it, or set CHROMIUM to its program"
        if chromium.in_ci():
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    # Playwright's synchronous API keeps an event loop in this thread, which Django takes for async code
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    try:
        with sync_playwright() as playwright:
            started = playwright.chromium.launch(executable_path=program, args=chromium.FLAGS)
            yield started
            started.close()
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    """An empty page in a profile of its own; an uncaught JavaScript error fails the test."""
    errors: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []
