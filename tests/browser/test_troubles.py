"""Keys, and what the page says when something is away."""

from __future__ import annotations

import json
import re
import socket

import pytest
from playwright.sync_api import Page, Route, expect

import semsearch
from semsearch import web
from semsearch.database import Database
from semsearch.store import api_keys
from semsearch.web import server
from tests.browser.conftest import TOPICS, NewPage, address
from tests.provider import Provider

PROBLEMS = [  # status, code, a part of the advice, whether it passes by itself
    (503, "database_unavailable", "Nothing is lost", True),
    (503, "model_unavailable", "Searching for words still works", False),
    (503, "overloaded", "too much to do", True),
    (429, "too_many_requests", "faster than this server allows", True),
    (504, "deadline_exceeded", "Narrow the search", False),
    (500, "internal_error", "The server's log", False),
]


@pytest.fixture
def key(db: Database, notes: semsearch.Collection) -> str:
    return new_key(db, "read")


def new_key(db: Database, scope: api_keys.KeyScope, **limits: object) -> str:
    with db.pools.writing.begin() as connection:
        return api_keys.create(connection, f"a {scope} key", scope, **limits)[1]  # type: ignore[arg-type]


def enter(page: Page, key: str) -> None:
    page.get_by_role("dialog").get_by_label("Key").fill(key)
    page.get_by_role("button", name="Use the key").click()


def test_a_key_is_asked_for_and_kept_out_of_the_address(new_page: NewPage, db: Database, key: str) -> None:
    with server.running(db, web.Options(port=0, grace=2.0, search_deadline=60.0)) as running:
        page = new_page(site=running.url)
        page.goto(address(collection="notes", q="travel", mode="text"))
        dialog = page.get_by_role("dialog", name="This server asks for an API key")
        expect(dialog.get_by_label("Key")).to_be_focused()
        assert "note-" not in page.content()
        enter(page, "ss_nonsense")
        expect(dialog.get_by_role("alert")).to_be_visible()
        enter(page, key)
        expect(page.locator(".hit")).to_have_count(5)
        assert key not in page.url and key not in page.content()
        assert not page.context.cookies() and page.evaluate("localStorage.length") == 0
        page.reload()
        expect(page.locator(".hit")).to_have_count(5)

        page.locator(".open").first.click()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("alert")).to_contain_text("needs a key with scope 'write'")
        expect(page.get_by_role("alert")).to_contain_text("a key with more rights")

        page.get_by_role("link", name="Collections").first.click()
        expect(page.locator("#live")).to_have_text("live")
        page.get_by_role("button", name="Forget key").click()
        expect(dialog).to_be_visible()
        assert "note-" not in page.content() and page.evaluate("sessionStorage.length") == 0
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("alert")).to_contain_text("semsearch keys create makes one")


def test_a_key_of_one_tenant_sees_no_other(new_page: NewPage, db: Database) -> None:
    shared = db.create_collection("shared", dimensions=2, tenant="team", fields={"team": "text"})
    db.create_collection("other", dimensions=2)
    for team in ("red", "blue"):
        shared.put([{"id": team, "text": f"the {team} plan", "embedding": [1, 1]}], tenant=team)
    key = new_key(db, "read", collections=["shared"], tenant="red")
    with server.running(db, web.Options(port=0, grace=2.0, search_deadline=60.0)) as running:
        page = new_page(site=running.url)
        page.goto("/")
        enter(page, key)
        expect(page.locator(".open")).to_have_text(["red"])
        assert page.locator("#collection option").all_inner_texts() == ["shared"]
        expect(page.get_by_label("team")).to_have_count(0)
        expect(page.get_by_label("Filter in words or JSON")).to_have_attribute("placeholder", "year >= 2020")
        page.goto(address(collection="shared", tenant="blue"))
        expect(page.get_by_role("alert")).to_contain_text("another tenant")
        page.goto(address(collection="other"))
        expect(page.get_by_role("alert")).to_contain_text("'other' does not exist")
        page.goto(address(view="collections"))
        expect(page.locator("#live")).to_have_text("live")
        expect(page.locator("[data-live=documents]")).to_have_text(["1"])
        expect(page.locator("[data-live=failed]")).to_have_text(["–"])
        expect(page.locator("[data-live=coverage]")).to_have_text(["–"])
        page.goto(address(collection="shared", q="plan", mode="text"))
        expect(page.locator(".open")).to_have_text(["red"])
        expect(page.get_by_text("SQL and plan")).to_have_count(0)


def test_without_javascript_a_key_cannot_be_sent(new_page: NewPage, db: Database, key: str) -> None:
    with server.running(db, web.Options(port=0, grace=2.0, search_deadline=60.0)) as running:
        page = new_page(site=running.url, java_script_enabled=False)
        page.goto(address(collection="notes", q="travel"))
        expect(page.get_by_text("That takes JavaScript.")).to_be_visible()
        assert "note-" not in page.content()


def test_a_server_that_is_stopped_and_comes_back(new_page: NewPage, db: Database, notes: semsearch.Collection) -> None:
    with socket.socket() as held:  # it keeps the port for the second server, and listens at it never
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        options = web.Options(port=held.getsockname()[1], grace=1.0, search_deadline=60.0)
        with server.running(db, options) as running:
            page = new_page(site=running.url)
            page.goto(address(collection="notes", mode="text"))
        page.get_by_label("Query").fill("travel")
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
        with server.running(db, options):
            expect(page.locator(".hit")).to_have_count(5)  # by itself
            page.close()


def problem(status: int, code: str, title: str) -> dict[str, object]:
    said = {"title": title, "status": status, "detail": "said by the server", "code": code, "retry_after": 1}
    return {"status": status, "content_type": "application/problem+json", "body": json.dumps(said)}


def test_every_problem_says_what_to_do(page: Page, notes: semsearch.Collection) -> None:
    answers: list[dict[str, object]] = []  # one at most, until it was read: what passes is tried again in a second

    def answer(route: Route) -> None:
        if answers:
            route.fulfill(**answers[0])  # type: ignore[arg-type]
        else:
            route.continue_()

    page.goto(address(collection="notes", mode="text"))
    page.route(re.compile("/page/hits"), answer)
    alert = page.get_by_role("alert")
    for at, (status, code, advice, passes) in enumerate(PROBLEMS):
        answers.append(problem(status, code, "A title"))
        page.get_by_label("Query").fill(TOPICS[at])
        expect(alert).to_contain_text("said by the server")
        expect(alert.locator(".advice:visible")).to_have_count(1)
        expect(alert).to_contain_text(advice)
        answers.clear()
        if not passes:
            alert.get_by_role("link", name="Try again").click()
        expect(page.locator(".hit")).to_have_count(5)


def test_a_model_that_is_away(page: Page, notes: semsearch.Collection, provider: Provider) -> None:
    page.goto(address(collection="notes"))
    provider.rules(always={"fault": "status", "status": 401})
    page.get_by_label("Query").fill("zebra")
    expect(page.get_by_role("alert")).to_contain_text("Searching for words still works")
    page.get_by_text("Words", exact=True).click()
    expect(page.get_by_text("No chunk has these words.")).to_be_visible()
    page.get_by_label("Query").fill("travel")
    expect(page.locator(".hit")).to_have_count(5)


def test_a_collection_that_is_dropped_meanwhile(page: Page, db: Database, notes: semsearch.Collection) -> None:
    page.goto(address(collection="notes", mode="text"))
    db.drop_collection("notes")
    page.get_by_label("Query").fill("travel")
    expect(page.get_by_role("alert")).to_contain_text("does not exist")
    page.get_by_role("alert").get_by_role("link", name="Collections").click()
    expect(page.get_by_text("There are no collections yet.")).to_be_visible()


def test_no_page_of_another_site_sees_anything(new_page: NewPage, site: str, notes: semsearch.Collection) -> None:
    """A name that leads here, but is not ours, as in an attack by DNS rebinding."""
    page = new_page()
    answer = page.request.get(address(collection="notes", q="travel", mode="text"), headers={"Host": "evil.example"})
    assert "note-" not in answer.text()
    answer = page.request.get(address(collection="notes"), headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.ok and "note-" not in answer.text()
