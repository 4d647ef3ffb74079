"""The view of a document; and whatever documents hold, it stays text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import semsearch
from semsearch import Document
from semsearch.database import Database
from tests.browser.conftest import MODEL, NewPage, address

FITS = "document.documentElement.scrollWidth <= innerWidth"
CANARIES = {
    "image": "<img src=x onerror=pwned()><img src=http://canary.invalid/x.png>",
    "script": "</script><script>pwned()</script>",
    "closing": "\"'></title></textarea></template><svg onload=pwned()><iframe src=javascript:pwned()>",
    "link": "javascript:pwned()",
    "template": "{{ 7 * 7 }}{% raw %}${pwned()}",
    "style": "</style><style>*{background:url(http://canary.invalid/)}</style>",
    "direction": "safe \u202egnp.exe\u202c \u2066isolated and never closed \u202e",
    "stacked": "z" + "\u0336\u0322\u0351\u030e" * 100,
    "long": "w" * 4000,
    "ids": "a b/c?d#e%2F&f=g+h\\i;j",
    "emoji": "\U0001f9ea\U0001f468\u200d\U0001f469\u200d\U0001f467",
}


def test_a_document_with_its_chunks_in_place(page: Page, notes: semsearch.Collection) -> None:
    page.goto(address(collection="notes", q="holidays", mode="text"))
    page.locator(".open", has_text=re.compile("Chapter 1$")).click()
    expect(page.get_by_role("heading", name="Chapter 1", exact=True, level=1)).to_be_focused()
    expect(page.locator(".chunk")).to_have_count(2)
    expect(page.locator(".chunk.here")).to_have_count(1)
    marked = page.locator(".chunk.here mark").inner_text()
    assert marked in notes.get("note-01").text
    shown = " ".join(page.locator(".prose").all_inner_texts())
    assert re.sub(r"\s+", " ", shown) == re.sub(r"\s+", " ", notes.get("note-01").text)
    expect(page.locator(".metadata")).to_contain_text(re.compile(r"year\s*2001"))
    page.get_by_role("link", name="#1").click()
    expect(page.locator("#chunk-1")).to_have_class(re.compile("here"))
    page.go_back()
    page.get_by_role("link", name="Hits").click()
    expect(page.locator(".hit")).to_have_count(5)
    expect(page.get_by_label("Query")).to_have_value("holidays")
    page.go_forward()
    expect(page.locator(".document")).to_be_visible()
    page.get_by_role("link", name="More like this").click()
    expect(page.locator(".hit")).to_have_count(10)


def test_deleting_asks_first(page: Page, notes: semsearch.Collection) -> None:
    page.goto(address(collection="notes", document="note-05"))
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete this document?")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert notes.get("note-05")
    page.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("29 documents")).to_be_visible()
    expect(page.locator("#said")).to_have_text("note-05 was deleted")
    with pytest.raises(semsearch.NotFound):
        notes.get("note-05")
    page.go_back()
    expect(page.get_by_role("alert")).to_contain_text("'note-05' does not exist")


def test_a_long_document_is_shown_around_the_chunk(page: Page, db: Database) -> None:
    long = db.create_collection("long", model=MODEL, chunk_size=16, chunk_overlap=0)
    long.put([{"id": "book", "text": "\n\n".join(f"Paragraph {at} has so many words in it." for at in range(400))}])
    chunks = len(long.chunks("book"))
    page.goto(address(collection="long", document="book", chunk=chunks // 2))
    expect(page.locator(".chunk.here")).to_be_in_viewport()
    expect(page.locator(".chunk")).to_have_count(120)
    page.get_by_role("link", name="Later chunks").click()
    expect(page.locator(f"#chunk-{chunks // 2 + 60}")).to_be_in_viewport()


def hostile(name: str, text: str, field: str) -> Document:
    long = text[:200]
    return Document(
        id=f"{name} {long}",
        title=f"canary {text}"[:1000],
        text=f"# {text}\n\ncanary {text} end.",
        metadata={f"{name} {long}": text, "list": [text, {text[:500]: text}], field: long},
        format="markdown",
    )


@pytest.fixture
def canaries(db: Database) -> semsearch.Collection:
    collection = db.create_collection("canaries", model=MODEL, fields={"kind": "text"})
    collection.put([hostile(name, text, "kind") for name, text in CANARIES.items()])
    return collection


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without"])
def test_what_documents_hold_stays_text(new_page: NewPage, canaries: semsearch.Collection, script: bool) -> None:
    page = new_page(java_script_enabled=script, viewport={"width": 375, "height": 800})
    page.goto(address(collection="canaries", q="canary", mode="text", top_k=50))
    expect(page.locator(".hit")).to_have_count(len(canaries.search("canary", mode="text", top_k=50)))
    assert page.locator("main :is(script, style, img, iframe, svg, object)").count() == 0
    assert not page.locator("main a").evaluate_all("all => all.filter(one => !one.href.startsWith(location.origin))")
    assert not page.locator("[style], [onerror], [onload], [onclick]").count()
    assert page.evaluate(FITS)
    ids = page.locator(".hit .id bdi").all_inner_texts()
    for name, text in CANARIES.items():
        id = f"{name} {text[:200]}"
        page.goto(address(collection="canaries", q="canary", mode="text", document=id))
        expect(page.locator(".document .id")).to_have_text(id, use_inner_text=False)
        assert page.locator("main :is(script, style, img, iframe, svg, object)").count() == 0
        assert page.evaluate(FITS)
    assert {id.split(" ")[0] for id in ids} <= set(CANARIES)


def test_any_id_can_be_opened_and_deleted(page: Page, db: Database) -> None:
    ids = ["a/b c", "?a#b", "a%2Fb", "..", "\U0001f9ea é", "<b>+&c=d"]
    odd = db.create_collection("odd", model=MODEL)
    odd.put([{"id": id, "text": f"the odd one {at}"} for at, id in enumerate(ids)])
    page.goto(address(collection="odd", q="odd", mode="text", top_k=20))
    for id in ids:
        hit = page.locator(".hit").filter(has=page.locator(".id bdi", has_text=re.compile(f"^{re.escape(id)}$")))
        hit.locator(".open").click()
        expect(page.locator(".document .id")).to_have_text(id)
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.locator("#said")).to_have_text(f"{id} was deleted")
    assert odd.status().documents == 0


def test_errors_and_failures_stay_text(page: Page, db: Database, provider: Any) -> None:
    text = CANARIES["image"]
    bad = db.create_collection("bad", model=MODEL)
    provider.rules(poison="poison")
    with pytest.raises(semsearch.IngestError):
        bad.put([{"id": text, "text": "poison"}])
    page.goto(address(view="failures", collection="bad"))
    expect(page.get_by_role("heading", name=text)).to_be_visible()
    page.goto(address(collection=text))
    expect(page.get_by_role("alert")).to_contain_text("does not exist")
    page.goto(address(collection="bad", q="x", filter=text))
    expect(page.get_by_role("alert")).to_contain_text("filter")
    page.goto(address(collection="bad", q=text))
    expect(page.get_by_label("Query")).to_have_value(text)
    page.goto(address(collection="bad", is_kind="x"))
    expect(page.get_by_role("alert")).to_contain_text("no field 'kind'")
