"""``bin/screenshots``: the pictures in docs/images, taken of the running demo shop with headless Chromium."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode, urljoin, urlsplit

from tools import chromium
from tools.backstage import redis_or_none
from tools.demo import CHECKOUT, StepFailed, manage, open_shop, use_demo_project
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
    path: str = ""
    """Of the page, where it is not the search."""


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


REFUND = Shot("refund-light", {}, 1280, 840)


def with_a_refund(browser: Browser, url: str) -> Shot:
    """Alice asks for a large refund, Bob approves it, and the worker that pays it is killed: as a visitor would."""
    alice, bob = browser.new_page(locale="en-GB"), browser.new_page(locale="en-GB")
    alice.goto(f"{url}orders/LS-20098/")
    alice.get_by_role("button", name="Order it again").click()
    alice.get_by_label("What is wrong with it?").fill("It came broken: the charger does nothing.")
    alice.get_by_label("The bank shall take its time").check()
    alice.get_by_role("button", name="Ask for a refund").click()
    alice.wait_for_selector("text=Waiting for a colleague", timeout=60_000)
    bob.goto(alice.url)
    bob.get_by_role("button", name="Bob").click()
    bob.get_by_role("link", name="Decide about it").click()
    bob.locator("input[name=approve]").click()
    alice.wait_for_selector("li[aria-current=step]:has-text('Our bank is told to pay')", timeout=60_000)
    pid = alice.locator("code", has_text="kill -9").inner_text().split()[-1]
    os.kill(int(pid), signal.SIGKILL)
    alice.wait_for_selector("text=We have paid", timeout=60_000)
    return replace(REFUND, path=urlsplit(alice.url).path)


def take(browser: Browser, url: str, shot: Shot) -> Path:
    """Open the page as a visitor would and save what the window shows."""
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height},
        color_scheme=shot.scheme,
        device_scale_factor=shot.scale,
        locale="en-GB",
    )
    page = context.new_page()
    page.goto(urljoin(url, shot.path) + (f"?{urlencode(shot.query)}" if shot.query else ""))
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
        shots = (*SHOTS, with_a_refund(browser, url))
        sizes = {path: path.stat().st_size // 1024 for path in (take(browser, url, shot) for shot in shots)}
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
        with running("demo") as database_url, redis_or_none("demo") as redis:
            use_demo_project(database_url)
            manage("migrate", "--verbosity", "0")
            manage("load_shop")
            with open_shop(0, redis, source="bank-check") as (url, _):
                return take_all(url)
    except (ServiceError, StepFailed) as error:
        print(error, file=sys.stderr)
        return 3 if isinstance(error, ServiceError) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
