"""The page in a real browser, on a server of the module's own; every page is watched for what must not happen."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright
from pydantic import SecretStr

import semsearch
from semsearch import Document, web
from semsearch.config import Settings
from semsearch.database import Database
from semsearch.web import server
from tests.provider import Provider

MODEL = "openai:test-model"
FIELDS = {"lang": "text", "year": "integer", "public": "boolean", "day": "date"}
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
TOPICS = ("passwords", "holidays", "invoices", "parking", "printers", "travel")
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
window.alert = window.pwned = () => violations.push("a script of a document ran");
"""

expect.set_options(timeout=60_000)  # after a look that took 2 s, events are told 20 s later


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of the module, not of the session: while Playwright runs, no other test could start an event loop."""
    program = os.environ.get("SEMSEARCH_TEST_CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium: install it, or set SEMSEARCH_TEST_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def db(
    module_database_url: str, provider_process: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """`openai:` models are the scripted provider's."""
    settings = Settings(
        database_url=module_database_url,
        home=Path(tmp_path_factory.getbasetemp()) / "unused",
        openai_api_key=SecretStr("sk-test"),
        openai_base_url=provider_process.url,
    )
    with semsearch.connect(settings=settings) as database:
        yield database


@pytest.fixture(scope="module")
def site(db: Database) -> Iterator[str]:
    """The address of a server that needs no key."""
    with server.running(db, web.Options(port=0, grace=2.0, search_deadline=60.0)) as running:
        yield running.url


@pytest.fixture(autouse=True)
def _emptied(db: Database, provider: Provider) -> Iterator[None]:
    yield
    provider.reset()
    for name in db.names():
        db.drop_collection(name)
    with db.pools.writing.begin() as connection:
        connection.exec_driver_sql("DELETE FROM semsearch.api_keys")


@pytest.fixture
def notes(db: Database) -> semsearch.Collection:
    """Thirty documents on six topics, each with a few sentences and every kind of field."""
    collection = db.create_collection("notes", model=MODEL, chunk_size=24, chunk_overlap=0, fields=FIELDS)
    collection.put([_note(number) for number in range(30)])
    return collection


def _note(number: int) -> Document:
    topic = TOPICS[number % len(TOPICS)]
    text = (
        f"Everything about {topic} is written down in chapter {number}. Ask the office when something is missing.\n\n"
        "The second part says who answers for it this year, and whom to call at night or during the weekend."
    )
    metadata: dict[str, Any] = {
        "lang": "de" if number % 5 < 2 else "en",
        "year": 2000 + number,
        "public": number % 2 == 0,
        "day": f"2024-01-{number + 1:02}",
        "tags": ["office", topic],
    }
    return Document(id=f"note-{number:02}", text=text, title=f"Chapter {number}", metadata=metadata)


@dataclass
class Watched:
    """What happened in a page that nobody asked for."""

    site: str
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def attach(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("request", self._request)

    def _note(self, kind: str, text: str) -> None:
        # The browser itself reports every status from 400 on, and a server that is away.
        if kind == "error" and not text.startswith("Failed to load resource"):
            self.errors.append(text)

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.site, "data:", "blob:", "about:")):
            self.strangers.append(request.url)


NewPage = Callable[..., Page]


@pytest.fixture
def new_page(browser: Browser, site: str) -> Iterator[NewPage]:
    """Opens pages in contexts of their own: `new_page(color_scheme="dark")`; nothing may have gone wrong in the end."""
    contexts: list[BrowserContext] = []
    pages: list[Page] = []
    watched = Watched(site)

    def make(**options: Any) -> Page:
        address = options.pop("site", site)
        watched.site = address
        context = browser.new_context(**{"base_url": address, "locale": "en-GB", **options})
        contexts.append(context)
        context.add_init_script(WATCH)
        page = context.new_page()
        watched.attach(page)
        pages.append(page)
        return page

    yield make
    scripted = [page for page in pages if not page.is_closed() and page.evaluate("typeof violations") == "object"]
    violations = [violation for page in scripted for violation in page.evaluate("violations")]
    for context in contexts:
        context.close()
    assert not violations
    assert not watched.errors
    assert not watched.strangers


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()


def address(**parameters: Any) -> str:
    """`/?...`; `is_lang` is the parameter `is.lang`."""
    return "/?" + urlencode({re.sub("^(is|from|to)_", r"\1.", name): value for name, value in parameters.items()})
