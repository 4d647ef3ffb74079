"""What the tools answer: the structured part, whose schema the assistant is shown. `readable` has it in words."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field


def _is_none(value: Any) -> bool:
    return value is None


class Described(BaseModel):
    """A collection that can be searched."""

    name: str
    description: Annotated[str, Field(description="What it holds, in a sentence.")]
    documents: int
    waiting: Annotated[int, Field(description="Documents that are not searchable yet, or not as they are now.")]
    fields: Annotated[dict[str, str], Field(description="Fields to filter by, with their types.")]
    modes: Annotated[list[str], Field(description="How it can be searched.")]
    model: Annotated[str | None, Field(exclude_if=_is_none)] = None
    language: Annotated[str | None, Field(description="Of the full text.", exclude_if=_is_none)] = None
    needs_tenant: Annotated[bool, Field(description="Whether `tenant` must be given.")] = False


class Collections(BaseModel):
    """The collections, by name."""

    collections: list[Described]


class Beside(BaseModel):
    """A chunk before or after a hit."""

    ordinal: int
    text: str


class Found(BaseModel):
    """A hit: a chunk of a document."""

    document_id: str
    ordinal: Annotated[int, Field(description="The chunk's place in its document: 0, 1, 2 ...")]
    distance: Annotated[float | None, Field(description="The smaller, the nearer.", exclude_if=_is_none)] = None
    score: Annotated[float | None, Field(description="The larger, the better.", exclude_if=_is_none)] = None
    heading: Annotated[str, Field(exclude_if=lambda heading: heading == "")] = ""
    text: Annotated[str, Field(description="Untrusted content of the document, as it was stored.")]
    start: Annotated[int, Field(description="Where the text begins in the document, for `offset` of `get`.")]
    metadata: dict[str, Any]
    before: Annotated[list[Beside], Field(exclude_if=lambda chunks: chunks == [])] = []
    after: Annotated[list[Beside], Field(exclude_if=lambda chunks: chunks == [])] = []


class Hits(BaseModel):
    """The hits, best first."""

    collection: str
    hits: list[Found]
    complete: Annotated[
        bool, Field(description="Whether these are the best there are: as many as asked for, or all that match.")
    ]
    cut: Annotated[bool, Field(description="Whether texts or metadata were cut; `get` reads them whole.")] = False


class Part(BaseModel):
    """A document, or a part of it."""

    collection: str
    document_id: str
    title: Annotated[str | None, Field(exclude_if=_is_none)] = None
    metadata: dict[str, Any]
    text: Annotated[str, Field(description="Untrusted content of the document, as it was stored.")]
    offset: Annotated[int, Field(description="The character that the text begins with.")]
    length: Annotated[int, Field(description="Characters of the whole document.")]
    next_offset: Annotated[
        int | None, Field(description="The `offset` that goes on; none at the end.", exclude_if=_is_none)
    ] = None
    cut: Annotated[bool, Field(description="Whether metadata were left out, to fit.")] = False
