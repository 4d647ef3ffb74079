"""Files that are sent as they are, and become documents as `semsearch ingest` makes them."""

from __future__ import annotations

import tempfile
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from semsearch import sources
from semsearch.sources.source import Kind
from semsearch.sources.uploaded import UploadedFile, check_name
from semsearch.web.access import Writer
from semsearch.web.bodies import documents as bodies
from semsearch.web.routes.answers import answer, as_report, failed_for
from semsearch.web.routes.opened import opened
from semsearch.web.routes.parameters import KNOWN, NamePath, TenantQuery, WaitQuery
from semsearch.web.state import Shared

router = APIRouter(prefix="/v1/collections/{name}", tags=["documents"], dependencies=[KNOWN])

FilePath = Annotated[
    str, Path(description="The file's name, with folders: it becomes the document's id.", examples=["guide/install.md"])
]
FieldQuery = Annotated[str | None, Query(max_length=256)]
FieldsQuery = Annotated[list[str] | None, Query(max_length=64)]
BODY: dict[str, Any] = {
    "required": True,
    "description": "The file itself: text, Markdown, HTML, PDF, docx, JSON, JSONL, CSV or Parquet.",
    "content": {
        "application/octet-stream": {
            "schema": {"type": "string", "format": "binary"},
            "example": "# Passwords\n\nTo reset your password, open the settings.\n",
        }
    },
}


@router.put(
    "/files/{filename:any}",
    response_model=bodies.Report,
    summary="Ingest a file",
    operation_id="put_file",
    openapi_extra={"requestBody": BODY},
    responses={202: {"model": bodies.Report, "description": "Stored; workers will embed it."}},
)
async def put_file(
    request: Request,
    name: NamePath,
    filename: FilePath,
    state: Shared,
    caller: Writer,
    wait: WaitQuery = True,
    tenant: TenantQuery = None,
    id_field: FieldQuery = None,
    text_field: FieldsQuery = None,
    title_field: FieldQuery = None,
    metadata_field: FieldsQuery = None,
    encoding: FieldQuery = None,
    format: Annotated[Kind | None, Query(description="What the file is, whatever its name says.")] = None,
) -> Response:
    """What `semsearch ingest` does with one file of this name. Rows of JSONL, CSV and the like are a document each.

    It is read in a process of its own, within limits. What could not be read or embedded is in the report; everything
    else is stored; what waits too long to be embedded is left to workers (202). Needs scope `write`.
    """
    options = sources.Options(
        id_field=id_field,
        text_fields=tuple(text_field or ()),
        title_field=title_field,
        metadata_fields=tuple(metadata_field) if metadata_field is not None else None,
        encoding=encoding,
        format=format,
    )
    check_name(filename)
    tenant = caller.tenant_for(tenant)
    collection = await anyio.to_thread.run_sync(opened, state, caller, name)
    with tempfile.TemporaryFile(prefix="semsearch-") as content:
        async for piece in request.stream():
            await anyio.to_thread.run_sync(content.write, piece)

        def ingest() -> Response:
            file, within = UploadedFile(content, filename, options), state.options.admin_deadline
            report = collection.ingest(file, tenant=tenant, wait=wait, within=within)
            status = 200 if wait and not report.waiting else 202
            return answer(as_report(report, failed_for(report, collection, tenant)), status)

        content.seek(0)
        return await anyio.to_thread.run_sync(ingest)
