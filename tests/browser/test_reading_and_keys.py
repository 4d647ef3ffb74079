"""For everybody: with the keyboard alone, on a phone, in light and dark, read aloud."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Response, expect

import semsearch
from semsearch.database import Database
from tests.browser.conftest import MODEL, NewPage, address
from tests.provider import Provider

VIEWS = {
    "start": address(collection="notes"),
    "hits": address(collection="notes", q="travel", mode="hybrid", is_lang="en"),
    "no hits": address(collection="notes", q="zzzz", mode="text"),
    "document": address(collection="notes", q="travel", document="note-05", chunk=0, mark="0-20"),
    "collections": address(view="collections"),
    "failures": address(view="failures", collection="faulty"),
    "empty": address(collection="empty"),
    "trouble": address(collection="nothing"),
}
FITS = "document.documentElement.scrollWidth <= innerWidth"
SHIFTS = """
window.shifts = 0;
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) shifts += one.value;
}).observe({ type: "layout-shift", buffered: true });
"""
SHOW = """(dialog) => {
  for (const empty of dialog.querySelectorAll("h2:empty, button:empty")) empty.textContent = "Sure?";
  dialog.showModal();
}"""


@pytest.fixture
def everything(db: Database, notes: semsearch.Collection, provider: Provider) -> None:
    db.create_collection("empty", model=MODEL)
    provider.rules(poison="poison")
    with pytest.raises(semsearch.IngestError):
        db.create_collection("faulty", model=MODEL).put([{"id": "bad", "text": "poison"}])
    provider.rules()


@pytest.mark.parametrize(("scheme", "width"), [("light", 375), ("dark", 1280)])
def test_every_view_is_accessible_and_fits(new_page: NewPage, everything: None, scheme: Any, width: int) -> None:
    page = new_page(color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
    papers = set()
    for name, url in VIEWS.items():
        page.goto(url)
        _open_all(page)
        found = Axe().run(page)
        assert not found.response["violations"], f"{name} in {scheme}: {found.generate_report()}"
        assert page.evaluate(FITS), name
        papers.add(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    assert len(papers) == 1
    light = next(int(part) for part in re.findall(r"\d+", papers.pop())) > 128
    assert light == (scheme == "light")
    for dialog in ("#help", "#sure", "#key-dialog"):
        page.locator(dialog).evaluate(SHOW)
        assert not Axe().run(page).response["violations"], dialog
        page.keyboard.press("Escape")


@pytest.mark.parametrize("width", [320, 375])
def test_every_view_fits_a_phone_with_a_key(new_page: NewPage, everything: None, width: int) -> None:
    page = new_page(viewport={"width": width, "height": 800})
    page.add_init_script("sessionStorage.setItem('semsearch.key', 'ss_0123456789ab_secret')")
    for name, url in VIEWS.items():
        page.goto(url)
        expect(page.get_by_role("button", name="Forget key")).to_be_visible()
        assert page.evaluate(FITS), name


def test_a_hit_shows_three_lines_of_its_title_and_the_document_all(new_page: NewPage, db: Database) -> None:
    title = "word " * 199 + "end"
    collection = db.create_collection("notes", model=MODEL)
    collection.put([{"id": "a", "text": "a text", "title": title}])
    page = new_page(viewport={"width": 320, "height": 800})
    tall = "one => one.scrollHeight > one.clientHeight"
    for url in (address(collection="notes"), address(collection="notes", q="text")):
        page.goto(url)
        shown = page.locator(".open")
        assert shown.evaluate(tall) and shown.bounding_box()["height"] < 100, url
    shown.click()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    assert not page.locator("h1").evaluate(tall)


def _open_all(page: Page) -> None:
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    if page.locator(".how").count():
        expect(page.get_by_label("Plan", exact=True)).to_be_visible()
    if page.locator("[data-load]").count():
        expect(page.locator("[data-load]:empty")).to_have_count(0)


def test_colours_can_be_chosen(page: Page, notes: semsearch.Collection) -> None:
    page.goto("/")
    background = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(background)
    button = page.get_by_role("button", name="Colours")
    button.click()
    assert page.evaluate(background) == light
    button.click()
    expect(page.get_by_role("button", name="Colours: dark")).to_be_visible()
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == dark
    button.click()
    assert page.evaluate(background) == light and page.evaluate("localStorage.length") == 0


def typed(page: Page, query: str) -> None:
    """Typed, and answered as a whole: the hits for a part of it would be there sooner, and give way to others."""
    page.keyboard.type(query)
    expect(page).to_have_url(re.compile(f"q={query}&"))
    expect(page.locator("#main")).to_have_attribute("aria-busy", "false")


def test_with_the_keyboard_alone(page: Page, notes: semsearch.Collection) -> None:
    press = page.keyboard.press
    page.goto(address(collection="notes", q="travel", mode="text"))
    press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    press("Enter")
    expect(page.locator("#main")).to_be_focused()
    press("/")
    expect(page.get_by_label("Query")).to_be_focused()
    typed(page, "invoices")
    expect(page.locator(".hit .id bdi").first).to_have_text("note-02")
    press("ArrowDown")
    opened = page.locator(".open")
    expect(opened.nth(0)).to_be_focused()
    press("j")
    press("ArrowDown")
    expect(opened.nth(2)).to_be_focused()
    press("k")
    expect(opened.nth(1)).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    second = page.locator(".hit .id bdi").nth(1).inner_text()
    press("Enter")
    expect(page.locator(".document .id")).to_have_text(second)
    press("Escape")
    expect(opened.nth(1)).to_be_focused()  # where it was left
    press("m")
    expect(page.locator(".count")).to_contain_text(f"like {second}")
    press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    press("c")
    expect(page.get_by_role("heading", name="Collections")).to_be_visible()
    press("j")
    expect(page.get_by_role("link", name="notes", exact=True)).to_be_focused()
    press("Enter")
    expect(page.get_by_label("Query")).to_be_focused()
    page.keyboard.type("parking")
    expect(page.locator(".hit").first).to_be_visible()
    press("Escape")
    expect(page.get_by_label("Query")).to_have_value("")
    press("Escape")
    expect(page.get_by_label("Query")).not_to_be_focused()


def test_keys_of_one_letter_can_be_switched_off(page: Page, notes: semsearch.Collection) -> None:
    page.goto(address(collection="notes", q="travel", mode="text"))
    page.keyboard.press("?")
    switch = page.get_by_label("Keys that are one letter or sign")
    expect(page.get_by_role("button", name="Close")).to_be_focused()
    switch.uncheck()
    page.keyboard.press("Escape")
    page.reload()
    for letter in "jkmc/?":
        page.keyboard.press(letter)
    page.locator(".open").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".open").nth(1)).to_be_focused()
    expect(page).to_have_url(re.compile("q=travel&mode=text$"))
    page.get_by_role("button", name="Keyboard shortcuts").click()
    expect(switch).not_to_be_checked()
    switch.check()
    page.keyboard.press("Escape")
    page.locator(".open").first.focus()
    page.keyboard.press("j")
    expect(page.locator(".open").nth(1)).to_be_focused()
    assert page.evaluate("localStorage.length") == 0


def test_nothing_jumps_and_little_is_loaded(new_page: NewPage, notes: semsearch.Collection) -> None:
    page = new_page(reduced_motion="reduce")
    page.add_init_script(SHIFTS)
    loaded: dict[str, int] = {}

    def note(response: Response) -> None:
        loaded[response.url] = len(response.body())

    page.on("response", note)
    page.goto(address(collection="notes", q="travel", mode="text"))
    expect(page.locator(".hit")).to_have_count(5)
    page.wait_for_load_state("networkidle")
    page.remove_listener("response", note)  # what is typed may end requests, whose answers have no body then
    assert sum(loaded.values()) < 72_000, loaded
    assert page.evaluate("shifts") < 0.02
    page.get_by_label("Query").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("printers", delay=20)
    expect(page.locator(".hit .id bdi").first).to_have_text("note-04")
    assert page.evaluate("shifts") < 0.02
    assert page.evaluate("getComputedStyle(document.querySelector('#busy'), '::before').animationName") == "none"


def test_files_are_kept_by_browsers(page: Page, notes: semsearch.Collection) -> None:
    page.goto("/")
    style = page.locator("link[rel=stylesheet]").get_attribute("href")
    script = page.locator("script[type=module]").get_attribute("src")
    assert style and script
    first = page.request.get(style)
    assert first.headers["content-type"] == "text/css; charset=utf-8"
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert page.request.get(script).headers["content-type"] == "text/javascript; charset=utf-8"
    again = page.request.get(style, headers={"If-None-Match": first.headers["etag"]})
    assert again.status == 304 and not again.body()
    assert page.request.get(style.replace("page.css", "nothing.css")).status == 404
    assert page.request.get(re.sub(r"/[0-9a-f]{16}/", "/0000000000000000/", style)).status == 404
    policy = page.request.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    page.emulate_media(media="print")
    expect(page.get_by_label("Query")).to_be_hidden()
