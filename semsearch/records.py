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
class Hit:
    """One answer. The smaller the distance, the nearer; `text` is `document.text[start:end]`."""

    distance: float
    document_id: str
    ordinal: int
    text: str
    metadata: dict[str, Any]
    heading: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Hits(Sequence[Hit]):
    """The answers to one query, nearest first: as many as `top_k`, or all that match.

    `plan` is how they were found: `exact` compares every matching chunk, `ann` walks the index. `sql` is the
    statement as PostgreSQL received it, with numbered parameters.
    """

    hits: tuple[Hit, ...]
    plan: Literal["exact", "ann"]
    sql: str

    @overload
    def __getitem__(self, index: SupportsIndex) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: Any) -> Any:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)
