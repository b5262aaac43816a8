"""Alice asks, Bob approves, the bank pays: in a real browser, with real workers."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.demo.shop.test_browser import contrast_failures, overflow

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SHOTS = Path(os.environ["SHOTS"]) if os.environ.get("SHOTS") else None
WIDTHS = (360, 768, 1280)


def look_at(page, name):
    """Whatever the window's width and the colours: nothing over the edge, all text legible."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            if SHOTS:
                page.screenshot(path=SHOTS / f"{name}-{scheme}-{width}.png", full_page=True)
            assert (name, width, overflow(page)) == (name, width, 0)
        assert (name, contrast_failures(page)) == (name, [])


def become(page, name):
    page.get_by_role("button", name=name).click()
    page.wait_for_selector(f"button[aria-pressed=true]:has-text('{name}')")


def test_a_refund_from_the_form_to_the_mail_with_a_worker_killed_on_the_way(page, browser, open_shop):
    url, behind = open_shop
    page.goto(f"{url}orders/")
    look_at(page, "orders")
    page.get_by_role("link", name="LS-20098").click()
    page.get_by_role("button", name="Order it again").click()
    page.wait_for_function("!location.pathname.includes('LS-20098')")
    page.get_by_label("What is wrong with it?").fill("One of the batteries came broken.")
    page.get_by_label("The bank shall take its time").check()
    look_at(page, "order")
    page.get_by_role("button", name="Ask for a refund").click()
    page.wait_for_selector("text=Waiting for a colleague to approve it", timeout=60_000)
    look_at(page, "waiting")
    mine = page.url

    staff = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    staff.goto(mine)
    become(staff, "Bob")
    staff.get_by_role("link", name="Decide about it").click()
    staff.wait_for_selector("text=One of the batteries came broken.")
    staff.get_by_label("Pence").fill("8450")
    look_at(staff, "review")
    staff.get_by_role("button", name="Approve with changes").click()
    staff.wait_for_selector("text=the run goes on")

    page.bring_to_front()
    killed = page.wait_for_selector("code:has-text('kill -9')", timeout=60_000)
    page.wait_for_selector("li[aria-current=step]:has-text('Our bank is told to pay')", timeout=60_000)
    os.kill(int(re.sub(r"\D", "", killed.inner_text().removeprefix("kill -9"))), signal.SIGKILL)
    page.wait_for_selector("text=We have paid £84.50", timeout=60_000)
    assert page.locator("text=1 worker died here; another went on").count() == 1
    assert page.locator("#progress").get_attribute("data-live") is None
    look_at(page, "paid")

    page.goto(behind.bank_url)
    row = page.locator("tr", has_text="£84.50")
    assert row.count() == 1
    assert "2 times" in row.inner_text()
    assert "No order was paid twice." in page.content()
    look_at(page, "bank")
    assert len([text for text in behind.mail.iterdir() if "£84.50" in text.read_text()]) == 1
    staff.context.close()


def test_a_small_refund_needs_nobody_and_no_javascript(browser, open_shop):
    url, _ = open_shop
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}orders/LS-20064/")
    page.get_by_role("button", name="Order it again").click()
    page.get_by_label("What is wrong with it?").fill("I have changed my mind.")
    page.get_by_role("button", name="Ask for a refund").click()
    page.wait_for_selector("text=We have paid", timeout=60_000)
    assert page.locator("text=A colleague looks at it").count() == 0
    context.close()
