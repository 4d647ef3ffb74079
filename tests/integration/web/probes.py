"""Routes of the tests' own: they wait, fail or tell what reached them, which the real ones do not do at will."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from semsearch import errors
from semsearch.web import access

router = APIRouter(prefix="/probe")
go_on = threading.Event()
arrived = threading.Semaphore(0)

FAILURES: dict[str, Exception] = {
    "filter": errors.FilterError("$.year", "a number is wanted."),
    "ingest": errors.IngestError("one failed.", {"a": "too long"}),
    "busy": errors.ProviderBusy("the provider asks to wait.", 2.2),
    "database": errors.DatabaseUnavailable("cannot connect to user=canary host=canary: refused."),
    "model": errors.ModelUnavailable("canary has no model."),
    "deadline": errors.DeadlineExceeded("it took too long."),
    "precondition": errors.PreconditionFailed("it has changed."),
    "surrogate": errors.NotFound("no document '\ud800'."),
    "unforeseen": RuntimeError("canary"),
    "recursion": RecursionError("canary"),
}


class Asked(BaseModel):
    model_config = {"extra": "forbid"}
    top_k: int = Field(10, ge=1, le=1000)
    texts: list[str] = []


@router.post("/search")
def search(body: Asked, _: access.Reader) -> dict[str, Any]:
    return {"top_k": body.top_k, "characters": sum(map(len, body.texts))}


@router.get("/search")
def slow_search(_: access.Reader) -> dict[str, Any]:
    """A search that takes until the test lets it end."""
    arrived.release()
    assert go_on.wait(30)
    return {}


@router.get("/wait")
def wait(_: access.Reader) -> dict[str, Any]:
    """Anything else that takes as long."""
    return slow_search(None)  # type: ignore[arg-type]


@router.put("/documents")
def documents(body: Annotated[Any, Body()], _: access.Writer) -> dict[str, Any]:
    return {"length": len(body)}


@router.post("/bulk")
async def bulk(request: Request, _: access.Writer) -> dict[str, Any]:
    return {"bytes": sum([len(part) async for part in request.stream()])}


@router.get("/fails/{how}")
def fails(how: str, _: access.Reader) -> None:
    raise FAILURES[how]


@router.get("/breaks")
def breaks(_: access.Reader) -> StreamingResponse:
    def half() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError("canary")

    return StreamingResponse(half())


@router.get("/events")
def events(_: access.Reader) -> StreamingResponse:
    arrived.release()

    def endless() -> Iterator[bytes]:
        while True:
            yield b"data: {}\n\n"
            go_on.wait(0.05)

    return StreamingResponse(endless(), media_type="text/event-stream")


@router.get("/text")
def text(length: int, _: access.Reader) -> dict[str, str]:
    return {"text": "x" * length}
