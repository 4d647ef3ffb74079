"""From claimed documents to rows of chunks: chunk, keep what is unchanged, embed the rest once each.

What was paid for is kept: embeddings go into the cache right after the model's answer, where the collection has one.
What may not be paid for is left: documents beyond the token budget of the day are neither embedded nor failed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from sqlalchemy import Engine

from semsearch import budget, chunking
from semsearch.budget import Grant
from semsearch.embedders import Embedder, Tokenizer, packing
from semsearch.errors import BudgetExhausted, InvalidInput, ModelUnavailable, UnusableEmbedding
from semsearch.records import Chunk, Document, Embedding
from semsearch.store import embedding_cache
from semsearch.store.chunks import Row
from semsearch.store.spaces import Space
from semsearch.store.tasks import Work

Hashes = Mapping[str, Mapping[int, bytes]]  # document id -> ordinal -> hash, as stored

SLICE = 512  # texts embedded before the answer is put into the cache: about one request to a provider


@dataclass
class Plan:
    """What is to be stored for some documents: `rows` as they are, `fresh` rows once their `inputs` are embedded."""

    space: Space
    rows: dict[str, list[Row]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    delayed: dict[str, str] = field(default_factory=dict)
    fresh: dict[str, list[Row]] = field(default_factory=dict)
    inputs: dict[str, dict[bytes, str]] = field(default_factory=dict)
    embedder: Embedder | None = None


@dataclass
class Prepared:
    """Documents with the rows to store for each, and those that cannot be embedded with the reason why.

    `delayed` lack memory, which may pass. `left` must wait until the budget allows it, as `exhausted` says: tasks and
    chunks of both stay as they are.
    `embedded` texts went to the model, `cached` did not have to; `tokens` are those that `usage` does not know yet.
    """

    rows: dict[str, list[Row]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    delayed: dict[str, str] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    exhausted: BudgetExhausted | None = None
    embedded: int = 0
    cached: int = 0
    tokens: int = 0

    def spend(self, tokens: int) -> None:
        self.tokens += tokens

    def after(self, earlier: Prepared) -> Prepared:
        """This, with what an earlier answer has cost that could not be stored."""
        counts = {name: getattr(self, name) + getattr(earlier, name) for name in ("embedded", "cached", "tokens")}
        return replace(self, **counts)


def chunk_hash(fingerprint: str, text: str) -> bytes:
    """Equal for two chunks of one space exactly when their embeddings are."""
    return hashlib.sha256(f"{fingerprint}\0{text}".encode()).digest()


def given_hash(text: str) -> bytes:
    """Marks a chunk whose embedding came with the document, for as long as the text stays what it was."""
    return hashlib.sha256(b"given\0" + text.encode()).digest()


def whole(document: Document) -> Chunk:
    """The one chunk of a document that brings its own embedding."""
    return Chunk(0, 0, len(document.text), document.text, document.title or "", document.text)


def check_fits(space: Space, embeddings: Embedding) -> None:
    """Raise UnusableEmbedding for what half precision turns into infinity (from 65,520 on) or into zero, where the
    embeddings are stored in it, or will be indexed in it.
    """
    if not space.is_half:
        return
    with np.errstate(over="ignore", under="ignore"):
        half = embeddings.astype(np.float16)
    wrong = np.flatnonzero(~np.isfinite(half).all(axis=1) | ~half.any(axis=1))
    if len(wrong):
        raise UnusableEmbedding(f"embedding {wrong[0]} is too large or too small for vector_type 'halfvec'.")


def plan(space: Space, works: Sequence[Work], stored: Hashes, embedder: Callable[[], Embedder]) -> Plan:
    """Chunks of every document that is to have some, and which of them need the model; calls it not yet."""
    made, fresh = _sort(space, [work.document for work in works if work.document], stored)
    if fresh:
        made.embedder = embedder()
        _chunk(made, made.embedder, fresh, stored)
    return made


def estimate(space: Space, documents: Sequence[Document], stored: Hashes, tokenizer: Callable[[], Tokenizer]) -> Plan:
    """The same plan, made without a model: nothing can be embedded by it."""
    made, fresh = _sort(space, documents, stored)
    if fresh:
        _chunk(made, tokenizer(), fresh, stored)
    return made


def _sort(space: Space, documents: Sequence[Document], stored: Hashes) -> tuple[Plan, list[Document]]:
    """What is clear without chunking, and the documents that are to be chunked."""
    made = Plan(space)
    fresh: list[Document] = []
    for document in documents:
        if stored.get(document.id) == {0: given_hash(document.text)}:
            made.rows[document.id] = [_row(document, whole(document), given_hash(document.text), None)]
        elif space.model is None:
            made.failed[document.id] = (
                "its text has changed and the collection takes given embeddings only: put it with its new embedding"
            )
        else:
            fresh.append(document)
    return made, fresh


def _chunk(made: Plan, tokenizer: Tokenizer, fresh: Sequence[Document], stored: Hashes) -> None:
    settings = chunking.Chunking(made.space.chunk_size, made.space.chunk_overlap)
    fingerprint = made.space.fingerprint or ""
    for document, found in zip(fresh, chunking.chunk_many(fresh, tokenizer, settings), strict=True):
        there = set(stored.get(document.id, {}).values())
        hashed = [(chunk, chunk_hash(fingerprint, chunk.input)) for chunk in found]
        made.fresh[document.id] = [_row(document, chunk, hash, None) for chunk, hash in hashed]
        made.inputs[document.id] = {hash: chunk.input for chunk, hash in hashed if hash not in there}


def embed(plan: Plan, engine: Engine | None = None, worker: int = 0) -> Prepared:
    """Call the model for everything that is new, each text once; what the cache has is not asked for again.

    Without an engine there is neither cache nor budget. Raises ProviderBusy, and ModelUnavailable also when the model
    embeds none of the texts, not even a known one: then no document is at fault.
    """
    prepared = Prepared(dict(plan.rows), dict(plan.failed), dict(plan.delayed))
    if plan.embedder:
        call = _Call(plan, plan.embedder, prepared, engine)
        call.look_up()
        with call.paid(worker) as ids:
            call.embed(ids)
    return prepared


@dataclass
class _Call:
    """One plan on its way through the model; `made` are the embeddings so far, by hash."""

    plan: Plan
    embedder: Embedder
    prepared: Prepared
    engine: Engine | None
    made: dict[bytes, Embedding] = field(default_factory=dict)
    trusted: bool = False

    def look_up(self) -> None:
        """Take what the cache has."""
        inputs = self._missing(self.plan.fresh)
        if not (inputs and self.engine and self.plan.space.cached):
            return
        found = embedding_cache.get(self.engine, self.embedder.fingerprint, list(inputs.values()))
        if not found:
            return
        with contextlib.suppress(UnusableEmbedding):  # put there by a collection that stores them in full precision
            check_fits(self.plan.space, np.array([*found.values()]))
            self.made = {hash: found[text] for hash, text in inputs.items() if text in found}
            self.prepared.cached = len(self.made)

    @contextmanager
    def paid(self, worker: int) -> Iterator[list[str]]:
        """The documents that the budget allows. Their tokens are entered before they are spent, and put right after."""
        engine, space, prepared = self.engine, self.plan.space, self.prepared
        if engine and budget.is_limited(engine, space):
            grant = budget.reserve(engine, space, worker, self._costs())
        else:
            grant = Grant(list(self.plan.fresh))
        prepared.failed |= grant.failed
        prepared.left, prepared.exhausted = grant.left, grant.exhausted
        try:
            yield grant.ids
        except BaseException:  # some requests may have been answered
            if engine:
                budget.correct(engine, space, worker, prepared.tokens - grant.tokens)
            raise
        prepared.tokens -= grant.tokens

    def _costs(self) -> budget.Costs:
        missing = self._missing(self.plan.fresh)
        counts = dict(zip(missing, self.embedder.count_tokens(list(missing.values())), strict=True))
        return {
            id: {hash: counts[hash] for hash in inputs if hash in counts} for id, inputs in self.plan.inputs.items()
        }

    def embed(self, ids: Sequence[str]) -> None:
        """At once; when the model refuses it or lacks memory, in halves, down to the documents at fault.

        Raises ModelUnavailable when it is the model that is at fault.
        """
        try:
            self._ask(self._missing(ids))
        except (InvalidInput, UnusableEmbedding, MemoryError, RuntimeError) as error:
            lacks_memory = packing.out_of_memory(error)
            if isinstance(error, RuntimeError) and not lacks_memory:
                raise
            if len(ids) == 1:
                if not lacks_memory:
                    self._doubt()
                reasons = self.prepared.delayed if lacks_memory else self.prepared.failed
                reasons[ids[0]] = "there is not enough memory to embed it" if lacks_memory else str(error)
                return
            half = len(ids) // 2
            self.embed(ids[:half])
            self.embed(ids[half:])
            return
        for id in ids:
            rows = self.plan.fresh[id]
            self.prepared.rows[id] = [replace(row, embedding=self.made.get(row.hash)) for row in rows]

    def _doubt(self) -> None:
        """Before a document is given up by a model that has embedded nothing yet: does it still take a known text?"""
        if self.prepared.embedded or self.trusted:
            return
        try:
            self.embedder.probe(fresh=True)
        except (InvalidInput, UnusableEmbedding) as error:
            raise ModelUnavailable(f"the model gives no usable embedding of any text: {error}") from error
        self.trusted = True

    def _missing(self, ids: Iterable[str]) -> dict[bytes, str]:
        """The texts of these documents whose embeddings are neither stored nor made, by hash."""
        inputs = ((hash, text) for id in ids for hash, text in self.plan.inputs[id].items())
        return {hash: text for hash, text in inputs if hash not in self.made}

    def _ask(self, inputs: Mapping[bytes, str]) -> None:
        hashes, texts = list(inputs), list(inputs.values())
        for start in range(0, len(inputs), SLICE):
            part = texts[start : start + SLICE]
            embeddings = self.embedder.embed_documents(part, spent=self.prepared.spend)
            check_fits(self.plan.space, embeddings)
            self.made.update(zip(hashes[start : start + SLICE], embeddings, strict=True))
            self.prepared.embedded += len(part)
            if self.engine and self.plan.space.cached:
                embedding_cache.put(self.engine, self.embedder.fingerprint, dict(zip(part, embeddings, strict=True)))


def _row(document: Document, chunk: Chunk, hash: bytes, embedding: Embedding | None) -> Row:
    return Row(document.id, chunk, hash, embedding, document.metadata)
