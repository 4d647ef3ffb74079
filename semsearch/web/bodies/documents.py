"""Documents, their chunks, and what became of those that were put."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import ConfigDict, Field

from semsearch.records import MAX_TITLE, Format
from semsearch.web.bodies.base import Answer, Body, example
from semsearch.web.bodies.searching import Neighbour

MAX_DOCUMENTS = 1000
Embedding: TypeAlias = Annotated[
    list[float] | None,
    Field(description="One of your own: then there is one chunk, and no model is asked.", max_length=16000),
]
Id: TypeAlias = Annotated[str, Field(min_length=1, max_length=1024, description="1 to 1,024 bytes.")]


class DocumentBody(Body):
    """A document without its id, which the address says."""

    model_config = ConfigDict(
        json_schema_extra=example(
            text="To reset your password, open the settings.", title="Passwords", metadata={"year": 2024, "lang": "en"}
        )
    )

    text: str
    title: Annotated[str | None, Field(max_length=MAX_TITLE)] = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    format: Annotated[Format, Field(description="Which headings and breaks chunks respect.")] = "text"
    embedding: Embedding = None


class NewDocument(DocumentBody):
    """A document with its id."""

    model_config = ConfigDict(
        json_schema_extra=example(
            id="passwords.md", text="To reset your password, open the settings.", metadata={"year": 2024, "lang": "en"}
        )
    )

    id: Id


class NewDocuments(Body):
    """They are stored together, or none of them is."""

    model_config = ConfigDict(
        json_schema_extra=example(
            documents=[{"id": "a1", "text": "The sky is blue."}, {"id": "a2", "text": "Grass is green."}]
        )
    )

    documents: Annotated[list[NewDocument], Field(max_length=MAX_DOCUMENTS)]


class Ids(Body):
    """Documents that are to go."""

    model_config = ConfigDict(json_schema_extra=example(ids=["a1", "a2"]))

    ids: Annotated[list[str], Field(max_length=MAX_DOCUMENTS)]


class Deleted(Answer):
    """How many there were."""

    model_config = ConfigDict(json_schema_extra=example(deleted=2))

    deleted: int


class Document(Answer):
    """As it was put."""

    model_config = ConfigDict(
        json_schema_extra=example(
            id="passwords.md",
            text="To reset your password, open the settings.",
            title="Passwords",
            format="text",
            metadata={"year": 2024, "lang": "en"},
        )
    )

    id: str
    text: str
    title: str | None
    format: Format
    metadata: dict[str, Any]


class Excerpt(Answer):
    """A document in a list: `text` is its beginning, `bytes` how many it has in all."""

    id: str
    title: str | None
    text: str
    bytes: int
    metadata: dict[str, Any]


class Page(Answer):
    """`next` goes on behind the last, given as `after`."""

    model_config = ConfigDict(
        json_schema_extra=example(
            documents=[{"id": "a1", "title": None, "text": "The sky is", "bytes": 16, "metadata": {}}], next="a1"
        )
    )

    documents: list[Excerpt]
    next: str | None


class Chunks(Answer):
    """`next` is the ordinal of the last, to be given as `after`; none while the document waits to be embedded."""

    model_config = ConfigDict(
        json_schema_extra=example(
            chunks=[{"ordinal": 0, "start": 0, "end": 16, "heading": "", "text": "The sky is blue."}], next=None
        )
    )

    chunks: list[Neighbour]
    next: int | None


class Failed(Answer):
    id: str
    reason: str


class Broken(Answer):
    """`where` is a file, or a file and a line."""

    where: str
    reason: str
    id: str | None


class Report(Answer):
    """`failed` could not be embedded, `broken` could not be read; everything else is stored.

    With `wait` so many documents are `waiting` that the time was not enough for: workers will embed them.
    """

    model_config = ConfigDict(
        json_schema_extra=example(
            added=2,
            changed=0,
            unchanged=0,
            waiting=0,
            failed=[],
            broken=[],
            seconds=0.04,
        )
    )

    added: int
    changed: int
    unchanged: int
    waiting: int
    failed: list[Failed]
    broken: list[Broken]
    seconds: float
