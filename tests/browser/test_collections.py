"""The overview as it changes, files that are brought in, and documents that were given up."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

import semsearch
from semsearch import web
from semsearch.database import Database
from semsearch.web import server
from tests.browser.conftest import MODEL, NewPage, address
from tests.provider import Provider

DROP = """([name, text, target]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([text], name, { type: "text/plain" }));
  const place = document.querySelector(target);
  const event = (type) => new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: transfer });
  place.dispatchEvent(event("dragover"));
  window.veil = !document.querySelector("#drop").hidden;
  place.dispatchEvent(event("drop"));
}"""

TOLD = """() => {
  window.told = [];
  const place = document.querySelector("#live");
  new MutationObserver(() => told.push(place.textContent)).observe(place, { childList: true });
}"""


def card(page: Page, name: str, what: str) -> str:
    return page.locator(f"#collections .card[data-name={name}] [data-live={what}]").inner_text()


def test_an_empty_database_says_how_to_begin(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_label("Commands")).to_contain_text("semsearch create handbook")


def test_progress_is_seen_as_it_is_made(page: Page, db: Database, notes: semsearch.Collection) -> None:
    page.goto(address(view="collections"))
    live = page.locator("#collections .card[data-name=notes]")
    expect(page.locator("#live")).to_have_text("live")
    expect(live.locator("[data-live=documents]")).to_have_text("30")
    notes.put([{"id": f"more-{at}", "text": f"one more {at}"} for at in range(30)], wait=False)
    expect(live.locator("[data-live=documents]")).to_have_text("60")
    expect(live.locator("[data-live=backlog]")).to_have_text("30")
    expect(live.locator("[data-live=coverage]")).to_have_text("50 %")
    assert live.locator("progress").evaluate("bar => bar.value") == 0.5
    notes.work()
    expect(live.locator("[data-live=backlog]")).to_have_text("0")
    expect(live.locator("[data-live=coverage]")).to_have_text("100 %")
    notes.put([{"id": "blank", "text": ""}])
    blank = re.compile(r"98\.3 %, 1 without chunks")
    expect(live.locator("[data-live=coverage]")).to_have_text(blank)
    assert live.locator("progress").evaluate("bar => bar.value") == 1
    page.reload()
    expect(live.locator("[data-live=coverage]")).to_have_text(blank)
    assert live.locator("progress").evaluate("bar => bar.value") == 1
    db.create_collection("later", dimensions=2)
    expect(page.locator("#collections .card")).to_have_count(2)
    db.drop_collection("later")
    expect(page.locator("#collections .card")).to_have_count(1)
    live.get_by_role("link", name="notes", exact=True).click()
    expect(page.get_by_label("Collection")).to_have_value("notes")


def test_files_are_dropped_and_chosen(page: Page, db: Database) -> None:
    db.create_collection("handbook", model=MODEL)
    page.goto("/")
    expect(page.get_by_label("Command")).to_contain_text("semsearch ingest handbook docs/")
    page.evaluate(DROP, ["50% off & more #1?.md", "# Discounts\n\nWho asks gets one.", "#results"])
    assert page.evaluate("veil")
    files = page.get_by_role("region", name="Files being ingested")
    expect(files).to_contain_text("1 added")
    expect(page.get_by_text("1 document in 1 chunk")).to_be_visible()
    assert db.collection("handbook").get("50% off & more #1?.md").text.startswith("# Discounts")

    with page.expect_file_chooser() as chooser:
        page.get_by_role("link", name="Collections").click()
        page.get_by_role("button", name="Add files").click()
    rows = b'{"id": "r1", "text": "a row"}\n{"id": "r2", "text": "a row"}\n[1]\n'
    chosen = {"rows.jsonl": rows, "picture.xyz": b"\x89PNG\x00"}
    chooser.value.set_files([{"name": name, "mimeType": "", "buffer": held} for name, held in chosen.items()])
    expect(files).to_contain_text(re.compile(r"2 added; rows\.jsonl:3: "))
    expect(files.locator("li.bad")).to_have_count(2)
    expect(page.locator("[data-live=documents]")).to_have_text("3")
    page.keyboard.press("Escape")
    expect(files).to_be_hidden()


@pytest.fixture
def failed(db: Database, provider: Provider) -> Iterator[semsearch.Collection]:
    collection = db.create_collection("faulty", model=MODEL)
    provider.rules(poison="poison")
    with pytest.raises(semsearch.IngestError):
        collection.put([{"id": f"bad/{at}", "text": f"poison {at}"} for at in range(3)] + [{"id": "good", "text": "x"}])
    provider.rules()
    yield collection


def test_failures_are_tried_again_and_forgotten(page: Page, failed: semsearch.Collection) -> None:
    page.goto(address(view="collections"))
    page.get_by_role("link", name="Failures of faulty: 3").click()
    expect(page.get_by_role("heading", name="Failures of faulty")).to_be_focused()
    cards = page.locator(".card")
    expect(cards).to_have_count(3)
    expect(cards.first).to_contain_text(re.compile("given up after 1 attempt"))
    one = page.locator(".card", has=page.get_by_role("heading", name="bad/1"))
    one.get_by_role("button", name="Retry").click()
    expect(one).to_contain_text("waits to be tried again")
    failed.work()
    page.reload()
    expect(cards).to_have_count(2)
    cards.first.get_by_role("button", name="Forget").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    expect(cards).to_have_count(1)
    page.get_by_role("button", name="Retry all").click()
    expect(cards.first.get_by_role("button", name="Retry")).to_be_disabled()
    failed.work()
    page.reload()
    expect(page.get_by_text("No document was given up.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Collections")).to_be_visible()


def test_what_is_done_to_all_failures_is_done_to_those_of_the_tenant(
    page: Page, db: Database, provider: Provider
) -> None:
    shared = db.create_collection("shared", model=MODEL, fields={"team": "text"}, tenant="team")
    provider.rules(poison="poison")
    for team in ("red", "blue"):
        shared.bring([{"id": f"{team}-{at}", "text": "poison"} for at in range(2)], tenant=team)
    provider.rules()
    page.goto(address(view="failures", collection="shared", tenant="red"))
    expect(page.locator(".card")).to_have_count(2)
    page.get_by_role("button", name="Retry all").click()
    expect(page.locator("#said")).to_have_text("all failures of shared, red: tried again")
    waiting = {one.document_id: one.waiting for one in shared.failures()}
    assert waiting == {"red-0": True, "red-1": True, "blue-0": False, "blue-1": False}
    page.get_by_role("button", name="Forget all").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("all failures of shared, red")
    dialog.get_by_role("button", name="Forget").click()
    expect(page.get_by_text("No document was given up.")).to_be_visible()
    assert {one.document_id for one in shared.failures()} == {"blue-0", "blue-1"}


def test_an_upload_that_fails_does_not_hold_up_the_next(new_page: NewPage, db: Database) -> None:
    db.create_collection("handbook", model=MODEL)
    with server.running(db, web.Options(port=0, grace=1.0, upload_bytes=1000)) as running:
        page = new_page(site=running.url)
        page.route(re.compile("/files/broken.txt"), lambda route: route.fulfill(status=200, body="<html>a proxy's"))
        page.goto("/")
        for name, text in (("large.txt", "x" * 1001), ("broken.txt", "a"), ("good.txt", "a text")):
            page.evaluate(DROP, [name, text, "#results"])
        lines = page.locator("#uploads li")
        expect(lines.nth(2)).to_contain_text("1 added")
        expect(lines.nth(0)).to_contain_text("larger than 1000 B: use semsearch ingest")
        expect(lines.nth(1)).to_contain_text("what the server answered is no report")


def test_the_end_of_a_stream_is_no_loss(page: Page, notes: semsearch.Collection) -> None:
    """Servers end every stream after a while; then the next one begins, and nobody is alarmed."""
    status = json.dumps(page.request.get("/v1/status").json())

    def answer(route: Route) -> None:
        route.fulfill(content_type="text/event-stream", body=f"event: status\ndata: {status}\n\n")

    page.route(re.compile("/v1/events"), answer)
    page.goto(address(view="collections"))
    expect(page.locator("#live")).to_have_text("live")
    page.evaluate(TOLD)
    with page.expect_request(re.compile("/v1/events")):
        pass
    assert set(page.evaluate("told")) <= {"live"}
    page.route(re.compile("/v1/events"), lambda route: route.abort())  # in the place of the route before
    expect(page.locator("#live")).to_have_text(re.compile("connection lost"))


def test_progress_of_a_worker(page: Page, db: Database, provider: Provider) -> None:
    """What another process does is seen, too."""
    collection = db.create_collection("busy", model=MODEL)
    page.goto(address(view="collections"))
    expect(page.locator("#live")).to_have_text("live")
    collection.put([{"id": str(at), "text": f"text {at}"} for at in range(20)], wait=False)
    expect(page.locator("[data-live=backlog]")).to_have_text("20")
    working = threading.Thread(target=collection.work)
    working.start()
    expect(page.locator("[data-live=chunks]")).to_have_text("20")
    working.join()
