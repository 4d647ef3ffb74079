"""Searches: every option that Python's `search` has, under the same name, and the hits."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias, cast

from pydantic import ConfigDict, Field, model_validator

from semsearch.request import (
    MAX_CANDIDATES,
    MAX_EXAMPLES,
    MAX_NEIGHBOURS,
    MAX_TOP_K,
    Options,
)
from semsearch.store.facets import MAX_FACETS, MAX_VALUES
from semsearch.web.bodies.base import Answer, Body, example

TopK: TypeAlias = Annotated[int, Field(ge=1, le=MAX_TOP_K, description="How many hits; documents, with per_document.")]
Filter: TypeAlias = Annotated[
    dict[str, Any] | None,
    Field(description="A condition on the metadata.", examples=[{"year": {"$gte": 2020}, "lang": "en"}]),
]
Tenant: TypeAlias = Annotated[
    str | None,
    Field(max_length=1024, description="Whose documents: a collection with tenants requires it, or the key says it."),
]
Candidates: TypeAlias = Annotated[int | None, Field(ge=1, le=MAX_CANDIDATES)]
Number: TypeAlias = float | None
Deadline: TypeAlias = Annotated[
    Number, Field(ge=0.001, le=86400, description="Seconds; no more than the server allows.")
]
Text: TypeAlias = Annotated[str, Field(max_length=32 * 2**10)]
Mode: TypeAlias = Literal["vector", "text", "hybrid"]


class SearchOptions(Body):
    """Whatever may be asked beside the query."""

    top_k: TopK = 10
    filter: Filter = None
    tenant: Tenant = None
    mode: Annotated[Mode, Field(description="By meaning, by words (BM25), or by both.")] = "vector"
    fusion: Annotated[
        Literal["scores", "rrf"] | None, Field(description="Of hybrid: how the two are put together.")
    ] = None
    weights: Annotated[
        list[float] | None, Field(min_length=2, max_length=2, description="Of hybrid: of meaning and of words.")
    ] = None
    depth: Annotated[Candidates, Field(description="Of hybrid: how many hits of each are put together.")] = None
    plan: Annotated[
        Literal["auto", "exact", "ann"], Field(description="`exact` compares all, `ann` walks the index only.")
    ] = "auto"
    rerank: Annotated[
        str | None, Field(description="A cross-encoder that ranks again; one that the server was told of.")
    ] = None
    boosts: Annotated[
        list[dict[str, Any]],
        Field(
            description="What raises a hit beyond its nearness.",
            max_length=100,
            examples=[[{"filter": {"lang": "en"}, "weight": 0.3}]],
        ),
    ] = Field(default_factory=list)
    diversity: Annotated[Number, Field(ge=0, le=1, description="Hits that differ from one another.")] = None
    candidates: Annotated[
        Candidates, Field(description="How many of the nearest rerank, boosts and diversity choose from.")
    ] = None
    per_document: Annotated[int | None, Field(ge=1, le=MAX_TOP_K, description="At most so many hits of one.")] = None
    max_distance: Annotated[Number, Field(description="Leave out what is farther.")] = None
    min_score: Annotated[Number, Field(description="Leave out what scores less.")] = None
    after: Annotated[str | None, Field(description="The `next` of the page before.")] = None
    highlight: Annotated[bool, Field(description="Mark the sentence of each hit that answers best.")] = False
    neighbours: Annotated[
        int, Field(ge=0, le=MAX_NEIGHBOURS, description="So many chunks before and after each hit.")
    ] = 0
    deadline: Deadline = None
    partial: Annotated[bool, Field(description="At the deadline, the best so far instead of an error.")] = False
    explain: Annotated[bool, Field(description="Add the SQL, and why it was asked so. Not for keys of one tenant.")] = (
        False
    )

    def options(self, tenant: str | None, longest: float) -> Options:
        """Those that were given, of this tenant, within the server's deadline."""
        given: dict[str, Any] = {
            name: getattr(self, name) for name in self.model_fields_set if name in Options.__annotations__
        }
        given |= {"tenant": tenant, "deadline": min(self.deadline or longest, longest)}
        return cast(Options, given)


class Search(SearchOptions):
    """One of query, queries, embedding and document_id, with any options."""

    model_config = ConfigDict(
        json_schema_extra=example(
            query="how do I reset my password?", top_k=5, filter={"year": {"$gte": 2020}}, mode="hybrid"
        )
    )

    query: Annotated[Text | None, Field(description="What is asked, in words.")] = None
    queries: Annotated[list[Text] | None, Field(min_length=1, description="Several, answered one by one.")] = None
    embedding: Annotated[list[float] | None, Field(description="What is asked, as an embedding.", max_length=16000)] = (
        None
    )
    document_id: Annotated[str | None, Field(description="More like this document.")] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [self.query, self.queries, self.embedding, self.document_id]
        if sum(each is not None for each in given) != 1:
            raise ValueError("a search takes one of query, queries, embedding and document_id")
        return self


class Recommend(SearchOptions):
    """Examples of what is looked for, and of what is not: documents by id, or texts."""

    model_config = ConfigDict(
        json_schema_extra=example(positive=["passwords.md"], negative_texts=["invoices and payments"], top_k=5)
    )

    positive: Annotated[list[str], Field(max_length=MAX_EXAMPLES)] = Field(default_factory=list)
    negative: Annotated[list[str], Field(max_length=MAX_EXAMPLES)] = Field(default_factory=list)
    positive_texts: Annotated[list[Text], Field(max_length=MAX_EXAMPLES)] = Field(default_factory=list)
    negative_texts: Annotated[list[Text], Field(max_length=MAX_EXAMPLES)] = Field(default_factory=list)


class Neighbour(Answer):
    """A chunk, beside a hit or in a document: `text` is from `start` to `end` in the document."""

    ordinal: int
    start: int
    end: int
    heading: str
    text: str


class Hit(Answer):
    """One chunk. The smaller the distance, the nearer; the larger the score, the better."""

    distance: float | None
    document_id: str
    ordinal: int
    text: str
    metadata: dict[str, Any]
    heading: str
    start: int
    end: int
    score: float | None = None
    highlight: Annotated[list[int] | None, Field(min_length=2, max_length=2)] = None
    before: list[Neighbour] = Field(default_factory=list)
    after: list[Neighbour] = Field(default_factory=list)


class Hits(Answer):
    """Best first. `next` goes on behind the last, given as `after`; `sql` and `explanation` come with `explain`."""

    model_config = ConfigDict(
        json_schema_extra=example(
            hits=[
                {
                    "distance": 0.31,
                    "document_id": "passwords.md",
                    "ordinal": 2,
                    "text": "To reset your password, open the settings.",
                    "metadata": {"year": 2024, "lang": "en"},
                    "heading": "Handbook > Passwords",
                    "start": 812,
                    "end": 854,
                }
            ],
            plan="exact",
            seen=1240,
            complete=True,
            next=None,
        )
    )

    hits: list[Hit]
    plan: Literal["exact", "ann", "text"]
    seen: int
    complete: bool
    next: str | None
    sql: str | None = None
    explanation: str | None = None


class Answers(Answer):
    """The hits of each query, in the order of the queries."""

    answers: list[Hits]


class FacetsBody(Body):
    """Which fields are counted."""

    model_config = ConfigDict(json_schema_extra=example(names=["lang", "year"], filter={"year": {"$gte": 2020}}))

    names: Annotated[list[str], Field(max_length=MAX_FACETS, description="Declared fields, or keys of the metadata.")]
    filter: Filter = None
    tenant: Tenant = None
    limit: Annotated[int, Field(ge=1, le=MAX_VALUES, description="How many values of each.")] = 10
    deadline: Deadline = None


class Value(Answer):
    value: str | int | float | bool
    count: int


class Facet(Answer):
    """Most frequent first. `distinct` values there are in all; `missing` documents have none."""

    values: list[Value]
    distinct: int
    missing: int


class Facets(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            facets={"lang": {"values": [{"value": "en", "count": 7}], "distinct": 1, "missing": 0}}
        )
    )

    facets: dict[str, Facet]
