"""Compares a collection's source and chunks in both directions, and has what differs brought up to date.

The queue loses nothing that passes the triggers. What went around them (a restore, a replica, a disabled trigger, a
hand in the chunks) is found here, page by page: each page is one snapshot, so that users and workers may go on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from semsearch import embedding
from semsearch.embedders import Tokenizer
from semsearch.errors import Conflict
from semsearch.road import Progress, Road
from semsearch.store import index_build, indexes, source, triggers, verification
from semsearch.store.chunks import Row
from semsearch.store.guards import require_same
from semsearch.store.spaces import Space
from semsearch.store.transactions import in_transaction
from semsearch.store.triggers import Wrong
from semsearch.store.verification import Page, Stored

EXAMPLES = 10  # documents named for each kind
REMOVABLE = 0.2  # share of the documents that may leave in one sweep: more looks like rows that are hidden from us

KINDS: Mapping[str, str] = {
    "missing": "have text and no chunks",
    "stale": "have chunks that are not those of their text",
    "gaps": "have chunks whose ordinals are not 0, 1, 2 ...",
    "unusable": "have an embedding of wrong dimensions, zero, or not finite",
    "metadata": "have chunks with other metadata than their own",
    "orphaned": "have chunks and are not in the source",
}


@dataclass
class Difference:
    """How many documents differ in one way, and the first of them."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, id: str) -> None:
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(id)


@dataclass
class Verification:
    """What was found. `documents` were compared; those `waiting` for a worker and those that `failed` were not.

    `differences` has every kind of KINDS. `enqueued` documents will be brought up to date by workers; `refused` says
    why orphans were left, `blocked` why nothing was compared. Of an embedding only its length is looked at: to compare
    it with its text would take the model.
    """

    name: str
    documents: int = 0
    waiting: int = 0
    failed: int = 0
    differences: dict[str, Difference] = field(default_factory=lambda: {kind: Difference() for kind in KINDS})
    indexes: list[str] = field(default_factory=list)
    triggers: list[Wrong] = field(default_factory=list)
    enqueued: int = 0
    rebuilt: list[str] = field(default_factory=list)
    refused: str | None = None
    blocked: str | None = None
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether all was as it should be."""
        return not (self.differing or self.indexes or self.triggers or self.blocked)

    @property
    def differing(self) -> int:
        """Documents that differ, each counted once."""
        return sum(difference.count for difference in self.differences.values())

    @property
    def healed(self) -> bool:
        """Whether all that was wrong will be right once the workers are done."""
        repaired = self.enqueued >= self.differing and set(self.rebuilt) >= set(self.indexes)
        return repaired and not (self.triggers or self.blocked)


def verify(
    road: Road, tokenizer: Callable[[], Tokenizer], *, repair: bool = False, force: bool = False
) -> Verification:
    """Compare; `repair` enqueues what differs and rebuilds invalid indexes, `force` however many documents would go."""
    begun = time.monotonic()
    found = Verification(road.space.name)
    with road.engine.connect() as connection:
        require_same(connection, road.space)
        found.blocked = source.check(connection, road.space)
        if not found.blocked:
            road.total = source.count(connection, road.space)
            found.triggers = triggers.wrong(connection, road.space)
            found.indexes = indexes.invalid(connection, road.space)
    if not found.blocked:
        _compare_documents(road, tokenizer, found, repair)
        _compare_chunks(road, found, repair, force)
        if repair and found.indexes:
            with suppress(Conflict):  # somebody else is just building
                found.rebuilt = index_build.restore(road.address, road.engine, road.space)
    found.seconds = time.monotonic() - begun
    return found


def _compare_documents(road: Road, tokenizer: Callable[[], Tokenizer], found: Verification, repair: bool) -> None:
    """From the source: has every document the chunks it should have?"""
    position: str | None = None
    while (page := verification.page(road.engine, road.space, position)).position is not None:
        differing = list(_differing(page, _planned(road.space, tokenizer, page), found))
        if repair:
            _enqueue(road, found, differing)
        found.waiting += page.waiting
        _tell(road, len(page.found) + page.waiting)
        position = page.position


@dataclass(frozen=True)
class _Differing:
    """A document to be done again, and ordinal and hash of its chunks whose embeddings must not be kept."""

    id: str
    distrusted: Sequence[tuple[int, bytes]]


def _differing(page: Page, plans: Mapping[str, list[Row] | None], found: Verification) -> Iterator[_Differing]:
    """Counts what was found; yields what a worker can set right."""
    for id, planned in plans.items():
        stored = page.stored.get(id, ())
        kind = compare(stored, planned)
        if kind == "missing" and id in page.failed:
            found.failed += 1
            continue
        if kind == "missing" and page.filling:
            found.waiting += 1
            continue
        found.documents += 1
        if kind:
            found.differences[kind].add(id)
            distrusted = _distrusted(stored, planned)
            if kind != "unusable" or distrusted:
                yield _Differing(id, distrusted)


def _planned(space: Space, tokenizer: Callable[[], Tokenizer], page: Page) -> dict[str, list[Row] | None]:
    """The chunks a worker would store for each document; None for one it would write off."""
    hashes = {id: {chunk.ordinal: chunk.hash for chunk in chunks} for id, chunks in page.stored.items()}
    documents = [each.document for each in page.found if each.document]
    plan = embedding.estimate(space, documents, hashes, tokenizer)
    return {**dict.fromkeys(plan.failed), **plan.rows, **plan.fresh}


def compare(stored: Sequence[Stored], planned: Sequence[Row] | None) -> str | None:
    """In which of KINDS the chunks differ from those a worker would store; None when they do not."""
    if not stored:
        return "missing" if planned is None or planned else None
    if [chunk.ordinal for chunk in stored] != list(range(len(stored))):
        return "gaps"
    if [_content(chunk) for chunk in stored] != [_planned_content(row) for row in planned or ()]:
        return "stale"
    if not all(chunk.usable for chunk in stored):
        return "unusable"
    if any(_json(chunk.metadata) != _json(row.metadata) for chunk, row in zip(stored, planned or (), strict=True)):
        return "metadata"
    return None


def _content(chunk: Stored) -> tuple[Any, ...]:
    return chunk.start, chunk.end, chunk.hash, chunk.heading, chunk.text


def _planned_content(row: Row) -> tuple[Any, ...]:
    return row.chunk.start, row.chunk.end, row.hash, row.chunk.heading, row.chunk.text


def _json(metadata: Mapping[str, Any]) -> str:
    """Python takes true for 1; PostgreSQL does not."""
    return json.dumps(metadata, sort_keys=True)


def _distrusted(stored: Sequence[Stored], planned: Sequence[Row] | None) -> list[tuple[int, bytes]]:
    """Chunks that a worker would take for unchanged by their hash, though they are not what it stands for.

    Never of a document that brought its own embedding: that could not be made again.
    """
    if planned is None or [row.hash for row in planned] == [embedding.given_hash(row.chunk.text) for row in planned]:
        return []
    texts = {row.hash: (row.chunk.heading, row.chunk.text) for row in planned}
    return [
        (c.ordinal, c.hash)
        for c in stored
        if c.hash in texts and not (c.usable and texts[c.hash] == (c.heading, c.text))
    ]


def _compare_chunks(road: Road, found: Verification, repair: bool, force: bool) -> None:
    """From the chunks: is every document that has some in the source? They are counted before the first is to go."""
    orphaned = found.differences["orphaned"]
    documents = 0
    for number, ids in _orphans(road):
        documents += number
        for id in ids:
            orphaned.add(id)
    if not (repair and orphaned.count):
        return
    if orphaned.count > REMOVABLE * documents and not force:
        found.refused = (
            f"{orphaned.count:,} of {documents:,} documents would be removed from the collection: if that is right, "
            "and no row of the source is just hidden from this role, say --force"
        )
        return
    for _, ids in _orphans(road):
        _enqueue(road, found, [_Differing(id, ()) for id in ids])


def _orphans(road: Road) -> Iterator[tuple[int, list[str]]]:
    """Page by page: how many documents have chunks, and which of them are orphaned."""
    position: str | None = None
    while True:
        position, number, ids = verification.orphans(road.engine, road.space, position)
        if position is None:
            return
        yield number, ids


def _enqueue(road: Road, found: Verification, differing: Sequence[_Differing]) -> None:
    if not differing:
        return
    ids = [each.id for each in differing]
    distrusted = [(each.id, *chunk) for each in differing for chunk in each.distrusted]
    in_transaction(road.engine, lambda connection: verification.enqueue(connection, road.space, ids, distrusted))
    found.enqueued += len(ids)


def _tell(road: Road, more: int) -> None:
    road.done += more
    if road.on_progress and more:
        road.on_progress(Progress("verify", road.done, road.total))
