"""One run on the way in: where it goes, how far it is, what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine

from semsearch.embedders import Embedder
from semsearch.sources import Broken
from semsearch.store.connection import Address
from semsearch.store.documents import Put
from semsearch.store.spaces import Space


@dataclass(frozen=True)
class Progress:
    """How far it is: `done` of `total` (None: not known), documents when ingesting, tuples when indexing."""

    stage: str
    done: int
    total: int | None


OnProgress = Callable[[Progress], None]
Guard = Callable[[Connection, Callable[[], Put]], Put]


def unguarded(connection: Connection, store: Callable[[], Put]) -> Put:
    """Documents are stored whatever there is already."""
    return store()


@dataclass
class Report:
    """What became of what was put.

    `chunks` were stored; `embedded` texts went to the model, `cached` ones did not have to: the cache had them. So many
    documents are `waiting` where the time was over before they were embedded.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    waiting: int = 0
    chunks: int = 0
    embedded: int = 0
    cached: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Stored:
    """What became of one portion of the documents that were claimed.

    `documents` were stored or removed, `failed` of them given up; `delayed` are tried again later, `fenced` ones soon:
    they changed, or are just being deleted.
    """

    claimed: int
    documents: int
    failed: int
    delayed: int
    fenced: int
    chunks: int
    embedded: int
    cached: int
    tokens: int


@dataclass
class Road:
    """One run on the way in, for one collection. `embedder` loads the model when it is first called.

    `guard` surrounds what is done in the transaction that stores documents: it raises where it may not be done.
    """

    address: Address
    engine: Engine
    space: Space
    embedder: Callable[[], Embedder]
    on_progress: OnProgress | None = None
    total: int | None = None
    report: Report = field(default_factory=Report)
    done: int = 0
    on_stored: Callable[[Stored], None] | None = None
    guard: Guard = unguarded

    def tell(self, more: int) -> None:
        self.done += more
        if self.on_progress and more:
            self.on_progress(Progress("ingest", self.done, self.total))
