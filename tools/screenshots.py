"""``bin/screenshots``: the pictures in docs/images, taken of the running demo shop with headless Chromium."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode

from tools import chromium
from tools.demo import CHECKOUT, StepFailed, manage, serving, use_demo_project
from tools.services.exceptions import ServiceError
from tools.services.postgres import running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IMAGES = CHECKOUT / "docs" / "images"
LARGEST_KIB = 300


@dataclass(frozen=True)
class Shot:
    """One picture: what is asked, and of which window."""

    name: str
    query: dict[str, str]
    width: int
    height: int
    scheme: Literal["light", "dark"] = "light"
    scale: float = 1
    """Pixels of the picture for each pixel of the page."""
    opened: int = 0
    """How many "Why" of the results are opened, from the top."""
    from_element: str = "body"
    """CSS selector of what stands at the upper edge."""


SHOTS = (
    Shot("search-light", {"q": "halcyon h9uc3"}, 1280, 1180, opened=1),
    Shot(
        "search-dark", {"q": "halcyon h9uc3"}, 1280, 1180, scheme="dark", from_element=".found:nth-child(4)"
    ),
    Shot(
        "search-phone",
        {"q": "selling our flat, will the new people be able to spy through my gadgets"},
        390,
        844,
        scale=2,
    ),
)


def take(browser: Browser, url: str, shot: Shot) -> Path:
    """Open the page as a visitor would and save what the window shows."""
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height},
        color_scheme=shot.scheme,
        device_scale_factor=shot.scale,
        locale="en-GB",
    )
    page = context.new_page()
    page.goto(f"{url}?{urlencode(shot.query)}")
    page.reload()  # the first search of a process loads the model, and the page tells how long it took
    for number in range(shot.opened):
        page.locator("details.why > summary").nth(number).click()
    page.locator(shot.from_element).first.evaluate("element => element.scrollIntoView({behavior: 'instant'})")
    path = IMAGES / f"{shot.name}.png"
    page.screenshot(path=path, animations="disabled")
    context.close()
    return path


def take_all(url: str) -> int:
    """1 when a picture is larger than the repository wants."""
    from playwright.sync_api import sync_playwright

    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.FLAGS)
        sizes = {path: path.stat().st_size // 1024 for path in (take(browser, url, shot) for shot in SHOTS)}
        browser.close()
    for path, size in sizes.items():
        print(f"{path.relative_to(CHECKOUT)}  {size} KiB")
    return int(max(sizes.values()) > LARGEST_KIB)


def main(arguments: Sequence[str]) -> int:
    """0 when the pictures are taken; 3 when Chromium or PostgreSQL is missing."""
    if chromium.find() is None:
        print("No Chromium on this machine: install it, or set CHROMIUM to its program.", file=sys.stderr)
        return 3
    try:
        with running("demo") as database_url:
            use_demo_project(database_url)
            manage("migrate", "--verbosity", "0")
            manage("load_shop")
            with serving(0) as url:
                return take_all(url)
    except (ServiceError, StepFailed) as error:
        print(error, file=sys.stderr)
        return 3 if isinstance(error, ServiceError) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
