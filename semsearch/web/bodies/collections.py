"""Collections: what one is made of, how far it is, and what could not be embedded."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from semsearch.fields import FieldType
from semsearch.records import Distance
from semsearch.store.failures import Choice
from semsearch.web.bodies.base import Answer, Body, Moment, example

DESCRIBED: dict[str, Any] = {
    "name": "handbook",
    "model": "sentence-transformers:all-MiniLM-L6-v2",
    "dimensions": 384,
    "distance": "cosine",
    "vector_type": "vector",
    "fields": {"year": "integer", "lang": "text"},
    "chunk_size": 256,
    "chunk_overlap": 25,
    "cache": False,
    "language": "english",
    "tenant": None,
    "attached": False,
}
STATUS: dict[str, Any] = {
    **{name: DESCRIBED[name] for name in ("name", "model", "dimensions", "distance", "vector_type")},
    "documents": 1200,
    "stored_documents": 1140,
    "coverage": 0.95,
    "chunks": 8310,
    "backlog": 60,
    "leased": 32,
    "lag_seconds": 4.2,
    "rate": 48.5,
    "estimated_finish": "2024-05-01T12:00:02Z",
    "hit_rate": None,
    "tokens_today": 412_000,
    "token_budget": None,
    "failed": 1,
    "index": None,
    "bytes": 21_340_160,
    "state": "active",
    "reason": None,
}
FAILURE: dict[str, Any] = {
    "document_id": "broken.md",
    "reason": "the model does not take its text",
    "attempts": 8,
    "failed_at": "2024-05-01T12:00:00Z",
    "waiting": False,
}


class NewCollection(Body):
    """What `Database.create_collection` takes. The model is one that the server knows: /v1/models lists them."""

    model_config = ConfigDict(
        json_schema_extra=example(
            name="handbook",
            model="sentence-transformers:all-MiniLM-L6-v2",
            fields={"year": "integer", "lang": "text"},
        )
    )

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,47}$")]
    model: Annotated[str | None, Field(description="None: for embeddings that you bring yourself.")] = None
    dimensions: Annotated[int | None, Field(ge=1, le=16000)] = None
    distance: Distance = "cosine"
    vector_type: Literal["vector", "halfvec"] | None = None
    fields: Annotated[
        dict[str, FieldType], Field(description="Keys of the metadata that filters use often.", max_length=100)
    ] = Field(default_factory=dict)
    chunk_size: Annotated[int | None, Field(ge=1, le=100_000, description="Tokens.")] = None
    chunk_overlap: Annotated[int | None, Field(ge=0, le=100_000, description="Tokens.")] = None
    index: Literal["auto", "hnsw", "ivfflat", "none"] = "auto"
    quantization: Literal["none", "halfvec", "binary"] | None = None
    index_dimensions: Annotated[int | None, Field(ge=1, le=16000)] = None
    cache: Annotated[bool, Field(description="Keep embeddings by text: the same text is never paid for twice.")] = False
    token_budget: Annotated[int | None, Field(ge=0, le=2**62, description="Tokens a day (UTC).")] = None
    language: Annotated[str | None, Field(description="Of the full text; None: none.", max_length=63)] = "english"
    tenant: Annotated[str | None, Field(description="The declared text field that says whose a document is.")] = None


class Description(Answer):
    """What a collection is. `attached`: its documents are the rows of a table."""

    model_config = ConfigDict(json_schema_extra=example(**DESCRIBED))

    name: str
    model: str | None
    dimensions: int
    distance: Distance
    vector_type: Literal["vector", "halfvec"]
    fields: dict[str, FieldType]
    chunk_size: int
    chunk_overlap: int
    cache: bool
    language: str | None
    tenant: str | None
    attached: bool


class Status(Answer):
    """A collection at a glance: `backlog` documents wait to be embedded; `coverage` is the share that has chunks.

    A key of one tenant is told of the tenant's own searchable documents and chunks; what is about all tenants is null.
    """

    model_config = ConfigDict(json_schema_extra=example(**STATUS))

    name: str
    model: str | None
    dimensions: int
    distance: str
    vector_type: str
    documents: int
    stored_documents: int
    chunks: int
    coverage: float | None = None
    backlog: int | None = None
    leased: int | None = None
    lag_seconds: float | None = None
    rate: float | None = None
    estimated_finish: datetime | None = None
    hit_rate: float | None = None
    tokens_today: int | None = None
    token_budget: int | None = None
    failed: int | None = None
    index: str | None = None
    bytes: int | None = None
    state: str | None = None
    reason: str | None = None


class Whole(Description):
    """What a collection is, and how far it is."""

    model_config = ConfigDict(json_schema_extra=example(**DESCRIBED, status=STATUS))

    status: Status


class Descriptions(Answer):
    """By name."""

    model_config = ConfigDict(json_schema_extra=example(collections=[DESCRIBED]))

    collections: list[Description]


class Statuses(Answer):
    """By name."""

    model_config = ConfigDict(json_schema_extra=example(collections=[STATUS]))

    collections: list[Status]


class IndexAnswer(Answer):
    """An ANN index. One that does not serve is being built, or was left by a build that was cut off.

    `bytes` is null for a key of one tenant.
    """

    name: str
    kind: str
    quantization: str
    dimensions: int
    valid: bool
    bytes: int | None


class Indexes(Answer):
    """That of all chunks, and those of large tenants."""

    model_config = ConfigDict(
        json_schema_extra=example(
            indexes=[
                {"name": "chunks_3_hnsw", "kind": "hnsw", "quantization": "none", "dimensions": 384}
                | {"valid": True, "bytes": 16_400_384}
            ]
        )
    )

    indexes: list[IndexAnswer]


class VerifyBody(Body):
    """`repair` has workers bring up to date what differs; `force` even if that removes much."""

    model_config = ConfigDict(json_schema_extra=example(repair=True))

    repair: bool = False
    force: bool = False


class Difference(Answer):
    """So many documents differ in one way; these are the first of them."""

    count: int
    examples: list[str]


class Verification(Answer):
    """Of `documents` that were compared; `enqueued` ones will be brought up to date."""

    model_config = ConfigDict(
        json_schema_extra=example(
            documents=1200,
            waiting=0,
            failed=1,
            differences={"stale": {"count": 1, "examples": ["a1"]}},
            indexes=[],
            enqueued=1,
            rebuilt=[],
            refused=None,
            blocked=None,
            clean=False,
            seconds=0.8,
        )
    )

    documents: int
    waiting: int
    failed: int
    differences: dict[str, Difference]
    indexes: list[str]
    enqueued: int
    rebuilt: list[str]
    refused: str | None
    blocked: str | None
    clean: bool
    seconds: float


class FailuresBody(Body):
    """Which documents that were given up; none of the three: all of them."""

    model_config = ConfigDict(json_schema_extra=example(reason="too long"))

    document_id: Annotated[str | None, Field(max_length=1024)] = None
    reason: Annotated[str | None, Field(description="A text that the reason contains.", max_length=1000)] = None
    since: Annotated[Moment | None, Field(description="Those given up since then, with a time zone.")] = None
    tenant: Annotated[str | None, Field(max_length=1024)] = None

    @property
    def choice(self) -> Choice:
        return Choice(self.document_id, self.reason, self.since)


class Failure(Answer):
    """A document that was given up after so many attempts. `waiting`: it will be tried again."""

    document_id: str
    reason: str
    attempts: int
    failed_at: datetime
    waiting: bool


class Failures(Answer):
    """The latest first. `next` goes on behind the last, given as `after`."""

    model_config = ConfigDict(json_schema_extra=example(failures=[FAILURE], next=None))

    failures: list[Failure]
    next: str | None


class Retried(Answer):
    """How many."""

    model_config = ConfigDict(json_schema_extra=example(retried=1))

    retried: int


class Forgotten(Answer):
    """How many."""

    model_config = ConfigDict(json_schema_extra=example(forgotten=1))

    forgotten: int
