"""Reads what the views show: which collections there are, and hits for what was asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from semsearch import pages
from semsearch.collection import Collection
from semsearch.records import Hits
from semsearch.web.access import Caller
from semsearch.web.page.asking import Asked
from semsearch.web.routes import opened as routes
from semsearch.web.state import State


@dataclass(frozen=True)
class Found:
    """Hits with the milliseconds it took to find them."""

    hits: Hits
    took: float


def names(state: State, caller: Caller) -> list[str]:
    """The collections that this caller may see."""
    return routes.names(state, caller)


def opened(state: State, caller: Caller, asked: Asked) -> tuple[Collection, str | None]:
    """The collection that was asked for, and whose documents. Raises NotFound, Forbidden."""
    return routes.opened(state, caller, asked.collection or ""), caller.tenant_for(asked.tenant)


def seen_before(asked: Asked) -> int:
    """How many hits the pages before have shown. Raises InvalidInput."""
    return pages.parse(asked.after).seen if asked.after else 0


def modes(collection: Collection) -> tuple[str, ...]:
    """How the collection can be asked: by meaning, by words, or both."""
    if collection.space.language is None:
        return ("vector",) if collection.model else ()
    return ("vector", "hybrid", "text") if collection.model else ("text",)


def settled(asked: Asked, collection: Collection) -> Asked:
    """What was asked, in a mode that the collection has."""
    possible = modes(collection)
    return asked if asked.mode in possible or not possible else replace(asked, mode=possible[0])


def find(
    state: State, collection: Collection, asked: Asked, tenant: str | None, *, marks: bool, explain: bool = False
) -> Found:
    """The hits for a query, or for a document whose like is looked for. Raises what `Collection.search` does.

    `marks` has the best sentences marked, for which the model reads them: a few hundred milliseconds.
    """
    options = asked.options(collection.fields, tenant)
    options |= {"after": asked.after, "explain": explain, "highlight": marks or asked.mode == "text"}
    options["deadline"] = state.options.search_deadline
    began = time.perf_counter()
    if asked.like is not None:
        options |= {"mode": "vector", "highlight": False}
        options.pop("rerank", None)  # it reads a query
        hits = collection.search(document_id=asked.like, **options)
    else:
        hits = collection.search(asked.q, **options)
    return Found(hits, (time.perf_counter() - began) * 1000)


def first(state: State, caller: Caller, every: Sequence[str]) -> str | None:
    """The collection that is shown where none was named: the first that has documents."""
    found = (name for name in every if routes.status(state.collection(name), caller.tenant).documents)
    return next(found, every[0] if every else None)
