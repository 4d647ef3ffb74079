"""Search as you type, filters, ways of searching, and the address that holds all of it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

import semsearch
from semsearch import web
from semsearch.database import Database
from semsearch.web import server
from tests.browser.conftest import NewPage, address

SAID = """(button) => {
  new MutationObserver(() => { button.dataset.said ??= button.textContent; }).observe(button, { childList: true });
}"""  # it says so for a moment only
NO_MORE = '<section id="hits"><ol class="hits"></ol></section>'  # where the rest was deleted meanwhile


def hits(page: Page, count: int) -> None:
    expect(page.locator(".hit")).to_have_count(count)


def settled(page: Page) -> None:
    """Nothing is being asked: filters that come late are put in the place of those that are being filled in."""
    expect(page.locator("#main")).to_have_attribute("aria-busy", "false")


def ids(page: Page) -> list[str]:
    return page.locator(".hit .id bdi").all_inner_texts()


def test_typing_finds_filters_narrow_and_the_address_holds_it_all(page: Page, notes: semsearch.Collection) -> None:
    page.goto("/")
    expect(page.get_by_label("Query")).to_be_focused()
    expect(page.get_by_text("30 documents in 60 chunks")).to_be_visible()
    page.keyboard.type("parking spots", delay=5)
    hits(page, 10)
    expect(page.locator(".count")).to_contain_text(re.compile(r"10 hits in \d+ ms, exact plan"))
    expect(page.locator("#said")).to_have_text("10 hits")
    expect(page.locator(".excerpt mark").first).to_be_visible()  # once nobody types any more
    expect(page).to_have_url(re.compile(r"\?collection=notes&q=parking\+spots$"))
    expect(page).to_have_title("parking spots · notes · semsearch")

    page.get_by_text("Words", exact=True).click()
    hits(page, 5)
    assert {*ids(page)} == {"note-03", "note-09", "note-15", "note-21", "note-27"}
    facets = page.locator("#facets")
    facets.get_by_label("de", exact=False).check()
    hits(page, 2)
    expect(facets.get_by_role("group", name="lang")).to_contain_text(re.compile(r"de\s+12.*en\s+18", re.DOTALL))
    expect(facets.get_by_role("group", name="public")).to_contain_text(re.compile(r"false\s+6"))
    facets.get_by_label("year to").fill("2018")
    hits(page, 1)
    settled(page)
    facets.get_by_label("day from").fill("2024-01-10")
    expect(page).to_have_url(re.compile(r"mode=text&is.lang=de&to.year=2018&from.day=2024-01-10$"))
    assert ids(page) == ["note-15"]
    page.reload()
    hits(page, 1)
    expect(facets.get_by_label("year to")).to_have_value("2018")
    page.get_by_role("link", name="Clear the filters").click()
    hits(page, 5)
    page.go_back()
    hits(page, 1)
    facets.get_by_label("Filter in words or JSON").fill("year between 2000 and")
    expect(page.get_by_role("alert")).to_contain_text("Filters look like this: year >= 2020 and lang in (en, de).")
    expect(page.get_by_role("alert").get_by_role("heading")).to_have_text("That cannot be asked")
    facets.get_by_label("Filter in words or JSON").fill("")
    hits(page, 1)


def test_another_collection_is_asked_the_same(page: Page, db: Database, notes: semsearch.Collection) -> None:
    db.create_collection("others", dimensions=2).put([{"id": "a", "text": "travel far", "embedding": [1, 1]}])
    page.goto(address(collection="notes", q="travel", mode="text", is_lang="en"))
    page.locator("#collection").select_option("others")
    expect(page.locator(".open")).to_have_text(["a"])
    expect(page.get_by_label("Query")).to_have_value("travel")
    expect(page).to_have_url(re.compile(r"\?collection=others&q=travel&mode=text$"))


def test_a_filter_is_not_lost_while_filters_are_on_their_way(page: Page, notes: semsearch.Collection) -> None:
    page.goto(address(collection="notes", q="travel", mode="text"))
    hits(page, 5)
    filters, held = re.compile("/page/facets"), list[Route]()
    page.route(filters, lambda route: held.append(route))
    since, until = page.get_by_label("year from"), page.get_by_label("year to")
    with page.expect_request(filters):
        until.fill("2018")
    since.evaluate("(field) => { field.value = '20'; }")  # somebody is typing
    with page.expect_response(filters):
        held.pop().continue_()
    settled(page)
    expect(since).to_have_value("20")
    page.unroute(filters)
    since.fill("2005")
    page.get_by_label("Query").fill("parking")  # before the filter was asked for
    expect(page).to_have_url(re.compile(r"q=parking&mode=text&from.year=2005&to.year=2018$"))
    expect(page.locator("#filters-set")).to_have_text("2")


def test_hits_are_explained_and_go_on(page: Page, notes: semsearch.Collection) -> None:
    page.goto(address(collection="notes", q="who answers for travel", mode="hybrid", top_k=5))
    hits(page, 5)
    page.get_by_text("Why this hit").first.click()
    why = page.locator(".why").first
    expect(why).to_contain_text("Larger is better.")
    expect(why).to_contain_text("exact: every chunk that matches was compared")
    expect(why).to_contain_text(re.compile(r"by meaning\s*distance \d"))
    expect(why).to_contain_text(re.compile(r"by words\s*(BM25|none)"))
    page.get_by_text("SQL and plan").click()
    expect(page.get_by_label("SQL", exact=True)).to_contain_text("FROM semsearch.chunks_")
    expect(page.get_by_label("Plan", exact=True)).to_contain_text("plan: exact, because")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    copy = page.locator(".how .copy").first
    copy.evaluate(SAID)
    copy.click()
    expect(copy).to_have_attribute("data-said", "Copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.get_by_label("SQL", exact=True).inner_text()

    page.get_by_role("link", name="More hits").click()
    hits(page, 10)
    expect(page.locator(".open").nth(5)).to_be_focused()
    shown = page.locator(".hit").evaluate_all("hits => hits.map(hit => hit.dataset.chunk)")
    assert len(set(shown)) == 10
    page.route(re.compile("after="), lambda route: route.fulfill(content_type="text/html", body=NO_MORE))
    page.get_by_role("link", name="More hits").click()
    expect(page.locator("#said")).to_have_text("No more")
    expect(page.locator(".open").last).to_be_focused()
    hits(page, 10)


def test_what_cannot_be_copied_is_selected(page: Page, notes: semsearch.Collection) -> None:
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.goto(address(collection="notes", q="travel", mode="text"))
    page.get_by_text("SQL and plan").click()
    copy = page.locator(".how .copy").first
    copy.evaluate(SAID)
    copy.click()
    expect(copy).to_have_attribute("data-said", "Selected")
    assert page.evaluate("getSelection().toString()").startswith("WITH best AS")


def test_more_like_this(page: Page, notes: semsearch.Collection) -> None:
    page.goto(address(collection="notes", q="invoices", mode="text"))
    page.locator(".hit", has_text="Chapter 8").get_by_role("link", name="More like this").click()
    expect(page.locator(".count")).to_contain_text("like note-08")
    found = [hit.document_id for hit in notes.search(document_id="note-08")]
    assert ids(page) == found
    page.get_by_label("Query").fill("printers")
    expect(page.locator(".count")).not_to_contain_text("like")
    page.go_back()
    hits(page, 5)
    expect(page.get_by_label("Query")).to_have_value("invoices")


def test_an_answer_that_comes_late_is_dropped(page: Page, notes: semsearch.Collection) -> None:
    late: list[object] = []
    page.route(re.compile(r"/page/hits\?.*q=hol&"), lambda route: late.append(route))
    page.goto(address(collection="notes", mode="text"))
    page.get_by_label("Query").fill("hol")
    expect(page.locator("#main")).to_have_attribute("aria-busy", "true")
    page.get_by_label("Query").fill("printers")
    hits(page, 5)
    for route in late:
        route.continue_()  # type: ignore[attr-defined]
    assert late
    expect(page.locator("#main")).to_have_attribute("aria-busy", "false")
    assert {*ids(page)} == {"note-04", "note-10", "note-16", "note-22", "note-28"}


def test_without_javascript(new_page: NewPage, notes: semsearch.Collection) -> None:
    page = new_page(java_script_enabled=False)
    page.goto("/")
    page.get_by_label("Query").fill("holidays")
    page.get_by_text("Words", exact=True).click()
    page.get_by_role("button", name="Search").click()
    hits(page, 5)
    expect(page.locator("mark")).to_have_count(5)
    page.get_by_label("false").check()
    page.get_by_label("year to").fill("2005")
    page.get_by_role("button", name="Apply").click()
    hits(page, 1)
    page.get_by_text("SQL and plan").click()
    page.get_by_role("link", name="Show them").click()
    expect(page.get_by_label("Plan", exact=True)).to_contain_text("plan: text")
    page.locator(".open").click()
    expect(page.locator(".chunk.here mark")).to_be_visible()
    page.get_by_role("link", name="Hits").click()
    hits(page, 1)
    page.get_by_role("link", name="Collections").click()
    expect(page.get_by_role("heading", name="notes")).to_be_visible()
    expect(page.get_by_role("button", name="Add files")).to_be_hidden()
    page.goto(address(collection="note"))
    expect(page.get_by_role("alert")).to_contain_text("collection 'note' does not exist. Did you mean 'notes'?")


def test_tenants_are_asked_for(page: Page, db: Database) -> None:
    shared = db.create_collection("shared", dimensions=2, tenant="team", fields={"team": "text", "year": "integer"})
    for team in ("red", "blue"):
        put = [{"id": f"{team}-{at}", "text": f"the {team} plan {at}", "embedding": [1, at]} for at in range(3)]
        shared.put(put, tenant=team)
    page.goto("/")
    expect(page.get_by_text("say whose team to search")).to_be_visible()
    page.get_by_label("team").fill("red")
    expect(page.locator(".open").first).to_be_visible()
    page.get_by_label("Query").fill("plan")  # embeddings of its own: it can be searched for words
    hits(page, 3)
    assert all(id.startswith("red") for id in ids(page))
    page.locator(".open").first.click()
    expect(page.locator(".document .id")).to_contain_text("red-")
    expect(page).to_have_url(re.compile("tenant=red"))


def test_hits_are_ranked_again_by_the_model_of_the_server(
    new_page: NewPage, db: Database, notes: semsearch.Collection
) -> None:
    away = "sentence-transformers:nobody/has-this-model"
    with server.running(db, web.Options(port=0, grace=2.0, search_deadline=60.0, rerank=away)) as running:
        page = new_page(site=running.url)
        page.goto(address(collection="notes", q="travel"))
        hits(page, 10)
        page.get_by_label("Rerank").check()
        expect(page.get_by_role("alert")).to_contain_text("semsearch doctor says why")
        expect(page).to_have_url(re.compile("rerank="))
        page.get_by_label("Rerank").uncheck()
        hits(page, 10)
        page.goto(address(collection="notes", q="travel", rerank="sentence-transformers:any/other"))
        expect(page.get_by_role("alert")).to_contain_text("is no model of this server")


@pytest.mark.model
def test_by_meaning(page: Page, db: Database, model_name: str) -> None:
    handbook = db.create_collection("handbook", model=model_name)
    handbook.put(
        [
            {
                "id": "passwords",
                "text": "To reset your password, open the settings. The cafeteria is closed on Sundays.",
            },
            {"id": "food", "text": "Lunch is served from noon. Vegetarian dishes are marked green."},
            {"id": "cars", "text": "Parking is free for visitors. Leave the number of your car at the gate."},
        ]
    )
    page.goto("/")
    page.get_by_label("Query").type("I cannot log in", delay=5)
    expect(page.locator(".open").first).to_have_text("passwords")
    expect(page.locator(".excerpt mark").first).to_have_text("To reset your password, open the settings.")
    page.get_by_label("Query").fill("where do I leave my vehicle")
    expect(page.locator(".open").first).to_have_text("cars")
