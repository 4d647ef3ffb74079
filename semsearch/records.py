"""The nouns: what goes in (Document), what is stored (Chunk), what comes out (Hit, Hits)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, SupportsIndex, overload

import numpy as np
import numpy.typing as npt

Embedding = npt.NDArray[np.float32]
Format = Literal["text", "markdown", "rst"]
Distance = Literal["cosine", "l2", "inner_product", "l1"]

MAX_TITLE = 1000  # characters: it is embedded, and stored, with every chunk


@dataclass(frozen=True, slots=True)
class Document:
    """What a user puts in and gets back.

    `title` is embedded in front of every chunk but never shown as part of it; `format` tells the chunker which
    headings and breaks to respect. `embedding` brings a vector of your own: one chunk, and no model is called.
    """

    id: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    title: str | None = None
    format: Format = "text"
    embedding: Sequence[float] | Embedding | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document: `text` is exactly `document.text[start:end]`.

    `heading` is the title and heading path ("Handbook > Passwords"); `input` is what the model reads (heading and
    text), without the model's own prompt.
    """

    ordinal: int
    start: int
    end: int
    text: str
    heading: str
    input: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A chunk beside a hit: `text` is `document.text[start:end]`, which may overlap that of the next."""

    ordinal: int
    start: int
    end: int
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer. The smaller the distance, the nearer (None where only words were looked for); `text` is
    `document.text[start:end]`.

    `score` orders the hits where something else than the distance does (words, fusion, rerank, boosts): larger is
    better. `highlight` are the offsets, within `text`, of the sentence that answers best; `before` and `after` the
    neighbouring chunks. They are there where they were asked for.
    """

    distance: float | None
    document_id: str
    ordinal: int
    text: str
    metadata: dict[str, Any]
    heading: str
    start: int
    end: int
    score: float | None = None
    highlight: tuple[int, int] | None = None
    before: tuple[Neighbour, ...] = ()
    after: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True)
class Hits(Sequence[Hit]):
    """The answers to one query, best first: as many as `top_k`, or all that match.

    `plan` is how the nearest were found: `exact` compares every matching chunk, `ann` walks the index, `text` looks
    for words only. `sql` is the statement as PostgreSQL received it, with numbered parameters. `seen` chunks were
    compared: those that match, of an exact plan; of a walk at least so many.

    `complete` says that no more could have come: it is false only when a deadline ended the search, when words that
    are in very many documents were not followed into all of them, or behind the last of the `candidates`. `next` goes
    on behind the last hit, given to the same search as `after`; None when there is nothing more. `explanation` is
    there when it was asked for.
    """

    hits: tuple[Hit, ...]
    plan: Literal["exact", "ann", "text"]
    sql: str
    seen: int = 0
    complete: bool = True
    next: str | None = None
    explanation: str | None = None

    @overload
    def __getitem__(self, index: SupportsIndex) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: Any) -> Any:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)
