"""The views of the page: each becomes what stands in `<main>`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from semsearch.collection import Collection
from semsearch.contents import MAX_CHUNKS
from semsearch.store.deadlines import Deadline
from semsearch.store.failures import Choice
from semsearch.store.source import Excerpt
from semsearch.web.access import Caller
from semsearch.web.page import excerpts, facets, reading, rendering, wording
from semsearch.web.page.asking import Asked
from semsearch.web.page.reading import Found
from semsearch.web.routes.opened import status, statuses, visible
from semsearch.web.routes.search import check_explain, check_rerank, may_explain
from semsearch.web.state import State

FAILURES, DOCUMENTS = 100, 20  # that are listed at once

_EMBEDDING = re.compile(r"'\[[-0-9.,e+]{60,}\]'")


def main(state: State, caller: Caller, asked: Asked, *, explain: bool = False) -> str:
    """The view that was asked for. Raises what is wrong with it."""
    if asked.view == "collections":
        return overview(state, caller)
    names = reading.names(state, caller)
    if asked.collection is None:
        name = reading.first(state, caller, names)
        if name is None:
            return overview(state, caller)
        asked = asked.changed(collection=name)
    if asked.view == "failures":
        return failures(state, caller, asked)
    return document(state, caller, asked) if asked.document else search(state, caller, asked, names, explain=explain)


def title(asked: Asked) -> str:
    """What the browser calls it."""
    if asked.view == "collections":
        return "Collections · semsearch"
    what = "Failures" if asked.view == "failures" else asked.document or asked.q or asked.like
    return " · ".join(part for part in (what, asked.collection, "semsearch") if part)


def overview(state: State, caller: Caller) -> str:
    """How far each collection is."""
    own = {one.name for one in visible(state, caller) if _is_own(one)}
    return rendering.html("collections.html", statuses=statuses(state, caller), own=own)


def failures(state: State, caller: Caller, asked: Asked) -> str:
    """The documents of a collection that were given up."""
    collection, tenant = reading.opened(state, caller, asked)
    found, further = collection.failures_page(Choice(), after=asked.after, limit=FAILURES, tenant=tenant)
    return rendering.html("failures.html", asked=asked, failures=found, further=further)


def document(state: State, caller: Caller, asked: Asked) -> str:
    """A document with its chunks in place."""
    collection, tenant = reading.opened(state, caller, asked)
    found = collection.get(asked.document or "", tenant=tenant)
    chunks = collection.chunks(found.id, limit=MAX_CHUNKS, tenant=tenant)
    shown = excerpts.around(chunks, asked.chunk)
    return rendering.html(
        "document.html",
        asked=asked,
        document=found,
        chunks=chunks,
        shown=shown,
        parts=list(excerpts.parts(found.text, chunks, shown, asked.chunk, asked.marked)),
        back=asked.link(document=None, chunk=None, mark=None),
        is_own=_is_own(collection),
    )


def search(state: State, caller: Caller, asked: Asked, names: list[str], *, explain: bool) -> str:
    """The query, the filters and the hits."""
    collection, tenant = reading.opened(state, caller, asked)
    asked = reading.settled(asked, collection)
    return rendering.html(
        "search.html",
        asked=asked,
        names=names,
        modes=reading.modes(collection),
        offered=state.options.rerank,
        tenant_field=collection.space.tenant,
        bound=caller.tenant is not None,
        is_own=_is_own(collection),
        facets=rendering.safe(filters(state, collection, asked, tenant)),
        results=rendering.safe(hits(state, caller, collection, asked, tenant, marks=True, explain=explain)),
    )


def filters(state: State, collection: Collection, asked: Asked, tenant: str | None) -> str:
    """The filters, with how many documents each value has."""
    needed = collection.space.tenant is not None and tenant is None
    groups = [] if needed else facets.groups(collection, asked, tenant, state.options.search_deadline)
    return rendering.html("facets.html", asked=asked, groups=groups, example=_example(collection))


def hits(
    state: State,
    caller: Caller,
    collection: Collection,
    asked: Asked,
    tenant: str | None,
    *,
    marks: bool,
    explain: bool = False,
) -> str:
    """The hits, or what to do to have some. Raises Forbidden where the caller may not have them explained."""
    check_rerank(asked.rerank or None, state)
    if explain:
        check_explain(caller)
    modes = reading.modes(collection)
    needs_tenant = collection.space.tenant is not None and tenant is None
    if needs_tenant or not (asked.q or asked.like):
        shown = [] if needs_tenant or asked.is_filtered else _documents(collection, asked, tenant)
        return rendering.html(
            "start.html",
            asked=asked,
            status=status(collection, tenant),
            modes=modes,
            needs_tenant=needs_tenant,
            tenant_field=collection.space.tenant,
            is_own=_is_own(collection),
            documents=shown[:DOCUMENTS],
            further=shown[DOCUMENTS - 1].id if len(shown) > DOCUMENTS else None,
        )
    asked = reading.settled(asked, collection)
    found = reading.find(state, collection, asked, tenant, marks=marks, explain=explain)
    return rendering.html(
        "hits.html",
        asked=asked,
        collection=collection,
        found=found,
        modes=modes,
        start=reading.seen_before(asked) + 1,
        said=said(len(found.hits)),
        quick=not marks and asked.mode != "text" and asked.like is None,
        explained=rendering.safe(explained(found)) if explain else "",
        may_explain=may_explain(caller),
    )


def _documents(collection: Collection, asked: Asked, tenant: str | None) -> Sequence[Excerpt]:
    """The documents behind the one of that id, and one more than are shown."""
    return collection.documents(after=asked.after, limit=DOCUMENTS + 1, tenant=tenant)


def said(count: int) -> str:
    """How many hits, for ears too."""
    return "No hits" if not count else "1 hit" if count == 1 else f"{count:,} hits"


def explained(found: Found) -> str:
    """The statement and why it was made so."""
    plan = (found.hits.explanation or "").replace(found.hits.sql, "").replace("\n\n\n\n", "\n\n")
    plan = _EMBEDDING.sub("'[...]'", plan)
    return rendering.html("explain.html", hits=found.hits, plan=plan)


def explanation(state: State, collection: Collection, asked: Asked, tenant: str | None) -> str:
    """The same for a search that is made once more."""
    check_rerank(asked.rerank or None, state)
    asked = reading.settled(asked, collection)
    return explained(reading.find(state, collection, asked, tenant, marks=False, explain=True))


def parts(state: State, collection: Collection, asked: Asked, tenant: str | None, document_id: str) -> str:
    """What meaning and words each say of one chunk, which the score of mode hybrid puts together."""
    return rendering.html("parts.html", parts=list(_parts(state, collection, asked, tenant, document_id)))


def _parts(
    state: State, collection: Collection, asked: Asked, tenant: str | None, document_id: str
) -> Iterator[tuple[str, str]]:
    only: Any = {"$id": document_id}
    deadline = Deadline(state.options.search_deadline)
    for mode in ("vector", "text"):
        left = deadline.remaining()
        found = collection.search(asked.q, mode=mode, filter=only, tenant=tenant, top_k=1000, deadline=left)
        hit = next((hit for hit in found if hit.ordinal == asked.chunk), None)
        if mode == "vector" and hit is not None:
            yield "by meaning", f"distance {hit.distance:.4f}, a {wording.DISTANCES[collection.distance]}."
        elif mode == "text":
            yield "by words", "none of the query's words is in it." if hit is None else f"BM25 {hit.score:.4f}."


def _example(collection: Collection) -> str:
    """A filter that the collection understands."""
    fields = {name: type_ for name, type_ in collection.fields.items() if name != collection.space.tenant}
    for name, type_ in fields.items():
        if type_ in ("integer", "float"):
            return f"{name} >= 10"
        if type_ in ("date", "timestamp"):
            return f"{name} >= 2024-01-01"
    return next((f"{name} = ..." for name in fields), "year >= 2020")


def _is_own(collection: Collection) -> bool:
    """Whether documents can be put in here; those of an attached table come from there."""
    return collection.space.attachment is None
