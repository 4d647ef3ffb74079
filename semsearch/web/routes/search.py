"""Searches, and what is counted beside them."""

from __future__ import annotations

import time
from typing import Annotated, Any, cast

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from semsearch.collection import Collection
from semsearch.errors import Forbidden, InvalidInput
from semsearch.records import Hits
from semsearch.request import MAX_TOP_K, Options
from semsearch.web.access import Caller, Reader
from semsearch.web.bodies import searching as bodies
from semsearch.web.routes.answers import answer, as_hits
from semsearch.web.routes.opened import opened
from semsearch.web.routes.parameters import KNOWN, DocumentQuery, FilterQuery, NamePath, TenantQuery, filter_form
from semsearch.web.state import Shared, State

router = APIRouter(prefix="/v1/collections/{name}", tags=["search"], dependencies=[KNOWN])

TopKQuery = Annotated[int, Query(alias="top_k", ge=1, le=MAX_TOP_K, description="How many hits.")]
ModeQuery = Annotated[bodies.Mode, Query(alias="mode", description="By meaning, by words, or by both.")]


@router.post(
    "/search",
    response_model=bodies.Hits | bodies.Answers,
    response_model_exclude_unset=True,
    summary="Search",
    operation_id="search",
)
def search(name: NamePath, asked: Annotated[bodies.Search, Body()], state: Shared, caller: Reader) -> Response:
    """By a text, an embedding or a document; with `queries`, several texts at once. Needs scope `read`."""
    collection = opened(state, caller, name)
    check_rerank(asked.rerank, state)
    if asked.explain:
        check_explain(caller)
    options = asked.options(caller.tenant_for(asked.tenant), state.options.search_deadline)
    if asked.queries is not None:
        return answer({"answers": [as_hits(hits) for hits in _each(collection, asked.queries, options, state)]})
    found = collection.search(asked.query, embedding=asked.embedding, document_id=asked.document_id, **options)
    return answer(as_hits(found))


def _each(collection: Collection, queries: list[str], options: Options, state: State) -> list[Hits]:
    """The hits of each query, within one deadline for all of them."""
    if len(queries) > state.options.max_batch_queries:
        raise InvalidInput(f"at most {state.options.max_batch_queries} queries are answered at once.")
    ends = time.monotonic() + (options["deadline"] or 0)
    if options.get("mode") != "text":
        collection.embed_queries(queries)
    found = []
    for query in queries:
        options["deadline"] = max(0.001, ends - time.monotonic())
        found.append(collection.search(query, **options))
    return found


@router.get("/search", response_model=bodies.Hits, summary="Search, in short", operation_id="search_by_address")
def search_by_address(
    name: NamePath,
    q: Annotated[str, Query(min_length=1, max_length=32 * 2**10, description="What is asked, in words.")],
    state: Shared,
    caller: Reader,
    top_k: TopKQuery = 10,
    filter: FilterQuery = None,
    mode: ModeQuery = "vector",
    tenant: TenantQuery = None,
) -> Response:
    """The options that are used most; the others are those of POST. Needs scope `read`."""
    options = _options(state, top_k=top_k, filter=filter_form(filter), mode=mode, tenant=caller.tenant_for(tenant))
    return answer(as_hits(opened(state, caller, name).search(q, **options)))


@router.get("/similar", response_model=bodies.Hits, summary="More like a document", operation_id="similar")
def similar(
    name: NamePath,
    document_id: DocumentQuery,
    state: Shared,
    caller: Reader,
    top_k: TopKQuery = 10,
    filter: FilterQuery = None,
    tenant: TenantQuery = None,
) -> Response:
    """The chunks nearest to the mean of the document's; it is not among them itself. Needs scope `read`."""
    options = _options(state, top_k=top_k, filter=filter_form(filter), tenant=caller.tenant_for(tenant))
    return answer(as_hits(opened(state, caller, name).search(document_id=document_id, **options)))


def _options(state: State, **given: Any) -> Options:
    return cast(Options, {**given, "deadline": state.options.search_deadline})


@router.post("/recommend", response_model=bodies.Hits, summary="Recommend by examples", operation_id="recommend")
def recommend(name: NamePath, asked: Annotated[bodies.Recommend, Body()], state: Shared, caller: Reader) -> Response:
    """The chunks nearest to examples and far from others; the examples are not among them. Needs scope `read`."""
    collection = opened(state, caller, name)
    check_rerank(asked.rerank, state)
    if asked.explain:
        check_explain(caller)
    options = asked.options(caller.tenant_for(asked.tenant), state.options.search_deadline)
    texts = {"positive_texts": asked.positive_texts, "negative_texts": asked.negative_texts}
    return answer(as_hits(collection.recommend(asked.positive, asked.negative, **texts, **options)))


@router.post("/facets", response_model=bodies.Facets, summary="Count values", operation_id="facets")
def facets(name: NamePath, asked: Annotated[bodies.FacetsBody, Body()], state: Shared, caller: Reader) -> Response:
    """How many documents have which values at fields, among those that match the filter. Needs scope `read`."""
    longest = state.options.search_deadline
    found = opened(state, caller, name).facets(
        asked.names,
        filter=asked.filter,
        tenant=caller.tenant_for(asked.tenant),
        limit=asked.limit,
        deadline=min(asked.deadline or longest, longest),
    )
    shown = {
        field: {
            "values": [{"value": value, "count": count} for value, count in facet.values],
            "distinct": facet.distinct,
            "missing": facet.missing,
        }
        for field, facet in found.items()
    }
    return answer({"facets": shown})


def check_rerank(model: str | None, state: State) -> None:
    """Raise InvalidInput for a model that nobody on the server has chosen."""
    if model is not None and model != state.options.rerank:
        offered = f"it has {state.options.rerank!r}" if state.options.rerank else "it has none"
        raise InvalidInput(f"rerank {model!r:.200} is no model of this server: {offered} (`semsearch serve --rerank`).")


def may_explain(caller: Caller) -> bool:
    """Whether the caller may see plans: they count the chunks of all tenants, and say which words these have."""
    return caller.tenant is None


def check_explain(caller: Caller) -> None:
    """Raises Forbidden."""
    if not may_explain(caller):
        raise Forbidden("a key of one tenant gets no `explain`: a plan tells of the documents of all tenants.")
