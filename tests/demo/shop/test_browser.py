from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.browser]

PAGES = ("", "?q=kestra+headlamp+rechargeable", "questions/", "help/charged-twice/", "?q=kettle&k=0")


def first_hit(page: Page, shelf: str) -> str | None:
    return page.locator(f"[data-shelf={shelf}]").first.get_attribute("data-key")


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than the window."""
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width


def contrast_failures(page: Page) -> list[str]:
    """Texts whose contrast with what is behind them is below WCAG AA (4.5, or 3 where large)."""
    failures: list[str] = page.evaluate(CONTRAST)
    return failures


CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = (rgb) => {
    const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.slice(0, 3).map((v) => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const failures = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join("");
    if (!own || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(parse(style.color)), light(behind(element))].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (a + .05) / (b + .05);
    if (ratio < (isLarge ? 3 : 4.5)) failures.push(`${ratio.toFixed(2)} ${element.tagName} ${own.slice(0, 40)}`);
  }
  return failures;
}"""


def test_a_person_searches_by_keyboard_and_sees_why(page, site):
    page.goto(site)
    page.keyboard.press("/")
    page.keyboard.type("xr2000a")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=xr2000a*")
    assert first_hit(page, "products") == "XR-2000A"
    summary = page.locator("[data-shelf=products] details.why > summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("[data-shelf=products] .reasons").first.is_visible()


def test_alice_becomes_bob_and_the_hidden_drill_appears(page, site):
    page.goto(f"{site}?q=BD18-70X")
    assert page.locator("[data-key='BD18-70X']").count() == 0
    page.get_by_role("button", name="Bob").click()
    page.wait_for_selector("[data-key='BD18-70X']")
    assert "q=BD18-70X" in page.url
    assert first_hit(page, "products") == "BD18-70X"


def test_a_slider_renews_the_results_in_place(page, site):
    page.goto(f"{site}?q=something+to+keep+soup+hot+on+a+hike")
    page.locator("summary", has_text="Ranking").click()
    slider = page.locator("#id_k")
    slider.focus()
    with page.expect_response("**k=59**"):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("location.search.includes('k=59')")
    assert page.locator("output[for=id_k]").inner_text() == "59"
    assert first_hit(page, "products")
    page.reload()
    assert page.locator("#id_k").input_value() == "59"


def test_everything_works_without_javascript(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site)
    page.get_by_label("Search products and help").fill("ws 4.0 x 40 200")
    page.get_by_role("button", name="Search").click()
    assert first_hit(page, "products") == "WS 4.0x40/200"
    page.locator("summary", has_text="Filters").click()
    page.get_by_label("Look in").select_option("help")
    page.get_by_role("button", name="Search").click()
    assert page.locator("[data-shelf=products]").count() == 0
    context.close()


def retitle(page: Page, site: str, title: str) -> str:
    """Give an article another title, as Bob does; its former title. (The ORM would open a connection of its own
    in this thread, where Playwright keeps an event loop.)"""
    page.goto(f"{site}help/charged-twice/edit/")
    field = page.get_by_label("Title")
    former = field.input_value()
    field.fill(title)
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector("text=In step")
    return former


def test_an_edited_title_is_found_at_once_and_plain_sql_is_refused(page, site):
    page.goto(f"{site}help/charged-twice/")
    page.get_by_role("button", name="Bob").click()
    assert page.get_by_role("link", name="Edit the text").is_visible()
    former = retitle(page, site, "Zanzibar invoices")
    try:
        page.goto(f"{site}?q=zanzibar")
        assert first_hit(page, "help") == "charged-twice"
        page.goto(f"{site}help/charged-twice/")
        page.get_by_role("button", name="Change it by plain SQL").click()
        page.wait_for_selector("text=PostgreSQL refused the commit")
        assert page.locator("text=Out of step").count() == 0
    finally:
        retitle(page, site, former)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_nothing_runs_over_the_edge_and_all_text_is_legible(page, site, path, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(site + path)
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true })")
    for width in (360, 390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert (width, overflow(page)) == (width, 0)
    assert contrast_failures(page) == []


def test_every_control_has_a_name(page, site):
    page.goto(f"{site}?q=kettle")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input:not([type=hidden]), select, button, a[href]")]
             .filter((e) => !(e.labels?.length || e.textContent.trim() || e.getAttribute("aria-label")))
             .map((e) => e.outerHTML)"""
    )
    assert nameless == []
    assert page.evaluate("document.documentElement.lang") == "en-GB"
    assert page.locator("h1").count() == 1
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((h) => Number(h.tagName[1]))")
    assert all(after - before <= 1 for before, after in pairwise(levels))
