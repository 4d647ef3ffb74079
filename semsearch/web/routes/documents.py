"""Documents: put, read, listed, deleted."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query
from starlette.responses import Response

from semsearch import cleaning
from semsearch.collection import Collection
from semsearch.contents import version
from semsearch.errors import InvalidInput, NotFound
from semsearch.given import is_stored
from semsearch.records import Document
from semsearch.web.access import Reader, Writer
from semsearch.web.bodies import documents as bodies
from semsearch.web.routes.answers import answer, as_chunk, as_report, failed_of, raise_failed
from semsearch.web.routes.entity_tags import IfMatch, IfNoneMatch, expected, is_known, tag
from semsearch.web.routes.opened import opened
from semsearch.web.routes.parameters import KNOWN, DocumentQuery, NamePath, TenantQuery, WaitQuery
from semsearch.web.state import Shared

router = APIRouter(prefix="/v1/collections/{name}", tags=["documents"], dependencies=[KNOWN])

MOST_LISTED = 500
ID_HELP = (
    "The document's id. Slashes may stand as they are; what means something else in an address, or is changed on the "
    "way, is percent-encoded, as `%2E%2E` for an id `..`."
)
IdPath = Annotated[str, Path(description=ID_HELP, examples=["guide/install.md"])]
TAGGED: dict[str, Any] = {"ETag": {"description": "The state of the document.", "schema": {"type": "string"}}}
CHANGED: dict[str, Any] = {"$ref": "#/components/responses/PreconditionFailed"}


@router.get("/documents", response_model=bodies.Page, summary="List the documents", operation_id="list_documents")
def list_documents(
    name: NamePath,
    state: Shared,
    caller: Reader,
    after: Annotated[str | None, Query(max_length=1024, description="The `next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
    tenant: TenantQuery = None,
) -> Response:
    """With the beginning of each, in the order of their ids (of an attached table, of its key). Needs scope `read`."""
    found = opened(state, caller, name).documents(after=after, limit=limit + 1, tenant=caller.tenant_for(tenant))
    shown = [
        {"id": each.id, "title": each.title, "text": each.text, "bytes": each.bytes, "metadata": each.metadata}
        for each in found[:limit]
    ]
    return answer({"documents": shown, "next": shown[-1]["id"] if len(found) > limit else None})


@router.put(
    "/documents",
    response_model=bodies.Report,
    summary="Put documents",
    operation_id="put_documents",
    responses={202: {"model": bodies.Report, "description": "Stored; workers will embed them."}},
)
def put_documents(
    name: NamePath,
    given: Annotated[bodies.NewDocuments, Body()],
    state: Shared,
    caller: Writer,
    wait: WaitQuery = True,
    tenant: TenantQuery = None,
) -> Response:
    """Inserts or replaces them, all or none; they are searchable when it answers. Needs scope `write`.

    Where that takes too long, as behind a large backlog, it answers 202, and workers embed what is `waiting`.
    """
    if len(given.documents) > (most := state.options.max_batch_documents):
        raise InvalidInput(f"documents: at most {most:,} are put at once here, and these are {len(given.documents):,}.")
    documents = [each.model_dump(exclude_unset=True) for each in given.documents]
    collection = opened(state, caller, name)
    within = state.options.admin_deadline
    report = collection.bring(documents, tenant=caller.tenant_for(tenant), wait=wait, within=within)
    failed = failed_of(report, {each.id for each in given.documents})
    raise_failed(failed, len(documents))
    return answer(as_report(report, failed), 200 if wait and not report.waiting else 202)


@router.post(
    "/documents/delete", response_model=bodies.Deleted, summary="Delete documents", operation_id="delete_documents"
)
def delete_documents(
    name: NamePath, given: Annotated[bodies.Ids, Body()], state: Shared, caller: Writer, tenant: TenantQuery = None
) -> Response:
    """With their chunks, all at once; those that are not there are not counted. Needs scope `write`."""
    collection = opened(state, caller, name)
    return answer({"deleted": collection.delete(given.ids, tenant=caller.tenant_for(tenant))})


@router.get(
    "/documents/{id:any}",
    response_model=bodies.Document,
    summary="Get a document",
    operation_id="get_document",
    responses={200: {"headers": TAGGED}, 304: {"description": "It is still the one that you have.", "headers": TAGGED}},
)
def get_document(
    name: NamePath,
    id: IdPath,
    state: Shared,
    caller: Reader,
    if_none_match: IfNoneMatch = None,
    tenant: TenantQuery = None,
) -> Response:
    """As it was put, with an ETag of its content. Needs scope `read`."""
    collection = opened(state, caller, name)
    found = collection.with_embedding(collection.get(id, tenant=caller.tenant_for(tenant)))
    headers = {"etag": tag(found), "cache-control": "private, no-cache"}
    if is_known(if_none_match, version(found)):
        return Response(status_code=304, headers=headers)
    shown = {"id": found.id, "text": found.text, "title": found.title, "format": found.format}
    return answer({**shown, "metadata": found.metadata}, headers=headers)


@router.put(
    "/documents/{id:any}",
    response_model=bodies.Report,
    summary="Put a document",
    operation_id="put_document",
    responses={
        200: {"headers": TAGGED},
        201: {"model": bodies.Report, "description": "It was not there before.", "headers": TAGGED},
        202: {"model": bodies.Report, "description": "Stored; a worker will embed it.", "headers": TAGGED},
        412: CHANGED,
    },
)
def put_document(
    name: NamePath,
    id: IdPath,
    given: Annotated[bodies.DocumentBody, Body()],
    state: Shared,
    caller: Writer,
    wait: WaitQuery = True,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
    tenant: TenantQuery = None,
) -> Response:
    """Inserts or replaces it; it is searchable when it answers. Needs scope `write`.

    Where that takes too long, as behind a large backlog, it answers 202, and workers embed it. With If-Match or
    If-None-Match only in that state: look and change are one transaction, so that of two who change the same state one
    gets 412.
    """
    collection, tenant = opened(state, caller, name), caller.tenant_for(tenant)
    wanted, condition = Document(id, **dict(given)), expected(if_match, if_none_match)
    within = state.options.admin_deadline
    if condition is None:
        report = collection.bring([wanted], tenant=tenant, wait=wait, within=within)
    else:
        report = collection.put_if(wanted, condition, tenant=tenant, wait=wait, within=within)
    failed = failed_of(report, {id})
    raise_failed(failed, 1)
    status = 202 if not wait or report.waiting else 201 if report.added else 200
    return answer(as_report(report, failed), status, _tagged(collection, wanted, tenant))


def _tagged(collection: Collection, put: Document, tenant: str | None) -> dict[str, str]:
    """The ETag of what was put; none when somebody else has changed it since."""
    if tenant is not None and collection.space.tenant is not None:
        put = cleaning.of_tenant(put, collection.space.tenant, tenant)
    try:
        owner = tenant or put.metadata.get(collection.space.tenant or "")
        now = collection.with_embedding(collection.get(put.id, tenant=owner))
        is_same = put.embedding is None or is_stored(collection.space, put.embedding, now.embedding)
        return {"etag": tag(now)} if is_same and now == cleaning.document(put, collection.fields) else {}
    except (NotFound, InvalidInput):
        return {}


@router.delete(
    "/documents/{id:any}",
    status_code=204,
    summary="Delete a document",
    operation_id="delete_document",
    responses={412: CHANGED},
)
def delete_document(
    name: NamePath,
    id: IdPath,
    state: Shared,
    caller: Writer,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
    tenant: TenantQuery = None,
) -> Response:
    """With its chunks. With If-Match only in that state, as for PUT. Needs scope `write`."""
    collection, tenant = opened(state, caller, name), caller.tenant_for(tenant)
    condition = expected(if_match, if_none_match)
    if condition is None:
        gone = collection.delete([id], tenant=tenant)
    else:
        gone = collection.delete_if(id, condition, tenant=tenant)
    if not gone:
        raise NotFound(f"document {id!r:.80} does not exist in collection {name!r}.")
    return Response(status_code=204)


@router.get("/chunks", response_model=bodies.Chunks, summary="The chunks of a document", operation_id="list_chunks")
def list_chunks(
    name: NamePath,
    document_id: DocumentQuery,
    state: Shared,
    caller: Reader,
    after: Annotated[int, Query(ge=-1, le=2**31 - 1, description="The `next` of the page before.")] = -1,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
    tenant: TenantQuery = None,
) -> Response:
    """In the order of the document, each with its offsets in the text. Needs scope `read`."""
    found = opened(state, caller, name).chunks(
        document_id, after=after, limit=limit + 1, tenant=caller.tenant_for(tenant)
    )
    shown = [as_chunk(each) for each in found[:limit]]
    return answer({"chunks": shown, "next": shown[-1]["ordinal"] if len(found) > limit else None})
