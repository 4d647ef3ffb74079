"""Documents as a stream of lines, of any length: read, stored and forgotten a batch at a time.

The next batch is read when the one before is stored, so that a sender is no faster than the database. What became of
the lines is told when all of them are in: whoever sends does not read meanwhile, and an answer that nobody reads would
stop both.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from semsearch import cleaning
from semsearch.collection import Collection
from semsearch.errors import CollectionChanged, Conflict, InvalidInput, UnsupportedMedia
from semsearch.records import Document
from semsearch.web import json_scan
from semsearch.web.access import Writer
from semsearch.web.routes.answers import COUNTS, failed_of
from semsearch.web.routes.lines import Line, Lines
from semsearch.web.routes.opened import opened
from semsearch.web.routes.parameters import KNOWN, NamePath, TenantQuery, WaitQuery
from semsearch.web.state import Shared

router = APIRouter(prefix="/v1/collections/{name}", tags=["documents"], dependencies=[KNOWN])

NDJSON = "application/x-ndjson"
READ = (NDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines")
MOST_LINES = 500  # of a batch
MOST_BYTES = 4 * 2**20
MOST_TOLD = 10_000  # lines; short ones that are all broken would have a report many times as long
LONGEST_ERROR = 1000  # characters
PIECE = 64 * 2**10
REPORT = (
    'One line for each that was not stored or not embedded, `{"line": 7, "id": "a7", "error": "..."}`, as it was found '
    'out, which need not be in their order, with `"id": null` where the line has none; and a last one, '
    f'`{{"summary": {{"lines": 1000, "added": 998, ...}}}}`. Of more than {MOST_TOLD:,} the first are told, and '
    "`untold` says how many others there are."
)
EXAMPLE = '{"id": "a1", "text": "The sky is blue."}\n{"id": "a2", "text": "Grass is green.", "metadata": {"a": 1}}\n'
BODY: dict[str, Any] = {
    "required": True,
    "description": "A document a line, each as PUT takes it.",
    "content": {NDJSON: {"schema": {"type": "string"}, "example": EXAMPLE}},
}
TOLD: dict[str, Any] = {
    "description": REPORT,
    "content": {
        NDJSON: {
            "schema": {"type": "string"},
            "example": '{"line":2,"id":null,"error":"not JSON"}\n{"summary":{"lines":2,"added":1,"broken":1}}\n',
        }
    },
}


@router.post(
    "/documents/bulk",
    response_class=StreamingResponse,
    summary="Put a stream of documents",
    operation_id="put_many_documents",
    openapi_extra={"requestBody": BODY},
    responses={200: TOLD, 202: {**TOLD, "description": f"Stored; workers will embed them. {REPORT}"}},
)
async def put_many_documents(
    request: Request,
    name: NamePath,
    state: Shared,
    caller: Writer,
    wait: WaitQuery = True,
    strict: Annotated[bool, Query(description="Stop at the first line that is not stored.")] = False,
    tenant: TenantQuery = None,
) -> Response:
    """NDJSON of any length: a line that is broken stops no other. Needs scope `write`.

    Where embedding a batch takes too long, as behind a large backlog, it and the following are left to workers (202).
    Lines are stored in batches; what was stored stays, whatever comes behind it, and to send all of them again does no
    harm. Bytes may come as slowly as the answer to a batch takes.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in READ:
        raise UnsupportedMedia(f"documents in bulk are sent as {NDJSON}, one a line.")
    tenant = caller.tenant_for(tenant)
    collection = await anyio.to_thread.run_sync(opened, state, caller, name)
    lines = Lines(longest=state.options.max_document_bytes)
    told = tempfile.TemporaryFile(prefix="semsearch-")  # noqa: SIM115  (the answer closes it)
    try:
        bulk = Bulk(collection, tenant, told, wait=wait, within=state.options.admin_deadline, strict=strict)
        await anyio.to_thread.run_sync(bulk.begin)
        async for piece in request.stream():
            for line in lines.feed(piece):
                if bulk.add(line):
                    await anyio.to_thread.run_sync(bulk.store)
        for line in lines.rest():
            bulk.add(line)
        await anyio.to_thread.run_sync(bulk.end)
    except BaseException:
        told.close()
        raise
    return StreamingResponse(_read(told), 200 if bulk.wait else 202, media_type=NDJSON)


def _read(told: IO[bytes]) -> Iterator[bytes]:
    with told:
        told.seek(0)
        while piece := told.read(PIECE):
            yield piece


@dataclass
class Bulk:
    """A stream on its way into a collection; `told` is where it is written what became of its lines.

    It waits for each batch, for `within` seconds at most; for no other where that was not enough.
    """

    collection: Collection
    tenant: str | None
    told: IO[bytes]
    wait: bool
    within: float
    strict: bool
    counts: Counter[str] = field(default_factory=Counter)
    _lines: list[Line] = field(default_factory=list)
    _size: int = 0
    _begun: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """Raises InvalidInput where nothing can be put at all."""
        self.collection.bring([], tenant=self.tenant, wait=False)

    def add(self, line: Line) -> bool:
        """Take a line; whether there are enough to be stored."""
        self._lines.append(line)
        self._size += len(line[1] or b"")
        return len(self._lines) >= MOST_LINES or self._size >= MOST_BYTES

    def store(self) -> None:
        """Store what was taken. Raises InvalidInput at the first line that cannot be, if it is strict."""
        lines, self._lines, self._size = self._lines, [], 0
        read: list[tuple[int, Document]] = []
        for number, line in lines:
            item: dict[str, Any] = {}
            try:
                if line is None or line.strip():
                    self.counts["lines"] += 1
                    item = _item(line)
                    read.append((number, self._document(item)))
            except InvalidInput as error:
                if self.strict:
                    self._put(read)
                id = item.get("id")
                self._refuse(number, id if cleaning.is_id(id) else None, str(error))
        self._put(read)

    def end(self) -> None:
        """Store the rest, and sum up."""
        self.store()
        names = ("lines", *COUNTS, "failed", "broken", "untold")
        summary = {name: self.counts[name] for name in names}
        self._write({"summary": {**summary, "seconds": round(time.monotonic() - self._begun, 3)}})

    def _document(self, item: dict[str, Any]) -> Document:
        """It as it will be stored. Raises InvalidInput."""
        space = self.collection.space
        if self.tenant is not None and space.tenant is not None:
            item = cleaning.of_tenant(item, space.tenant, self.tenant)
        made = cleaning.document(item, space.field_types, space.tenant)
        if made.embedding is None and space.model is None:
            raise InvalidInput(f"document {made.id!r:.80} brings no embedding, and the collection has no model.")
        return made

    def _put(self, batch: Sequence[tuple[int, Document]]) -> None:
        """Store them together; if one of them will not do, all but that one."""
        if not batch:
            return
        try:
            documents = [document for _, document in batch]
            report = self.collection.bring(documents, tenant=self.tenant, wait=self.wait, within=self.within)
        except CollectionChanged:
            raise
        except (InvalidInput, Conflict) as error:
            if len(batch) == 1:
                self._refuse(batch[0][0], batch[0][1].id, str(error))
                return
            half = len(batch) // 2
            self._put(batch[:half])
            self._put(batch[half:])
            return
        self.wait = self.wait and not report.waiting
        self.counts.update({name: getattr(report, name) for name in COUNTS})
        numbers = {document.id: number for number, document in batch}
        for id, reason in failed_of(report, numbers).items():
            self._tell("failed", numbers[id], id, f"it could not be embedded: {reason}")

    def _refuse(self, number: int, id: str | None, error: str) -> None:
        if self.strict:
            raise InvalidInput(f"line {number}: {error} The lines before it were stored.")
        self._tell("broken", number, id, error)

    def _tell(self, count: Literal["failed", "broken"], number: int, id: str | None, error: str) -> None:
        if self.counts["failed"] + self.counts["broken"] < MOST_TOLD:
            self._write({"line": number, "id": id, "error": error[:LONGEST_ERROR]})
        else:
            self.counts["untold"] += 1
        self.counts[count] += 1

    def _write(self, content: dict[str, Any]) -> None:
        self.told.write(json.dumps(content).encode() + b"\n")


def _item(line: bytes | None) -> dict[str, Any]:
    """What a line holds. Raises InvalidInput."""
    if line is None:
        raise InvalidInput("the line is longer than a document may be.")
    try:
        json_scan.check(line)
    except InvalidInput as error:
        raise InvalidInput(str(error).replace("the body", "the line", 1)) from None
    item = json.loads(line)
    if not isinstance(item, dict):
        raise InvalidInput("the line is no JSON object.")
    return item
