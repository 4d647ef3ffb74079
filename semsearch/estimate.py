"""What an ingest would cost: documents, chunks, tokens, money and time, before anything is sent or written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine

from semsearch import chunking, embedders, embedding, ingest, work
from semsearch.config import Settings
from semsearch.embedders import Embedder, Tokenizer, prices
from semsearch.errors import InvalidInput, ModelUnavailable
from semsearch.records import Document
from semsearch.road import OnProgress, Progress
from semsearch.sources import Broken
from semsearch.store import chunks, embedding_cache, source, spaces, usage
from semsearch.store.spaces import Attachment, Space

SAMPLE = 64  # chunks that a local model embeds to tell how long all will take
PAGE = 1000  # documents of an attached table that are read at once


@dataclass(frozen=True)
class Estimate:
    """What would have to be done.

    Of the `chunks`, `reused` need no model: they are stored or cached, or have the text of another one. `tokens` are
    about those of the others. `price` is in US dollars by the provider's list price, 0 for a model on this machine,
    None where it is not known. `seconds` are those of embedding; None for a provider that was not used of late.
    """

    documents: int
    chunks: int
    reused: int
    tokens: int
    price: float | None
    seconds: float | None
    broken: list[Broken]


def planned(
    name: str,
    attachment: Attachment,
    settings: Settings,
    *,
    model: str | None = None,
    dimensions: int | None = None,
    chunk_size: int | None = None,
    chunk_overlap: int | None = None,
    cache: bool = False,
    **_: object,
) -> Space:
    """The space that a collection with these settings would have, which is not made; `model` is not called.

    Of a provider's model it is not known what is cached: its fingerprint takes a call.
    """
    if model is None:
        raise InvalidInput("an attached table needs a model, which embeds its rows.")
    local = embedders.load(model, settings, dimensions=dimensions) if embedders.is_local(model) else None
    cut = chunking.settle(local or embedders.tokenizer(model, settings), chunk_size, chunk_overlap)
    return Space(
        id=0,
        collection_id=0,
        name=name,
        state="active",
        reason=None,
        model=model,
        dimensions=local.dimensions if local else 0,
        shortened=dimensions is not None,
        distance="cosine",
        vector_type="vector",
        chunk_size=cut.size,
        chunk_overlap=cut.overlap,
        index_kind="none",
        fingerprint=local.fingerprint if local else None,
        fields=(),
        attachment=attachment,
        cached=cache,
        token_budget=None,
    )


@dataclass
class _Count:
    """How far the counting is. `known` are the texts that will be in the cache by then."""

    documents: int = 0
    chunks: int = 0
    inputs: int = 0
    tokens: int = 0
    sample: list[str] = field(default_factory=list)
    known: set[bytes] = field(default_factory=set)
    broken: list[Broken] = field(default_factory=list)


@dataclass(frozen=True)
class Estimator:
    """For one collection. `embedder` is called for a local model only, and nothing is sent to a provider."""

    engine: Engine
    space: Space
    tokenizer: Callable[[], Tokenizer]
    embedder: Callable[[], Embedder]
    on_progress: OnProgress | None = None

    def source(self, items: Iterable[Document | Broken], name: str, total: int | None) -> Estimate:
        """What it would cost to ingest these."""
        count = _Count()
        for batch in ingest.in_batches(items):
            fresh, broken = ingest.cleaned(self.space, batch, name)
            count.broken += broken
            self._count(count, fresh, total)
        return self._estimate(count)

    def table(self) -> Estimate:
        """What it would cost to embed every row of the table that is the space's source, attached or not yet."""
        count = _Count()
        with self._reading() as connection:
            total = source.count(connection, self.space)
        for page in self._pages():
            self._count(count, page, total)
        return self._estimate(count)

    def _pages(self) -> Iterator[list[Document]]:
        after: str | None = None
        while True:
            with self._reading() as connection:
                ids = source.page(connection, self.space, after, PAGE)
                found = source.read(connection, self.space, ids)
            if not ids:
                return
            yield [each.document for each in found if each.document]
            after = ids[-1]

    def _reading(self) -> Connection:
        return self.engine.connect().execution_options(postgresql_readonly=True)

    def _count(self, count: _Count, documents: Sequence[Document], total: int | None) -> None:
        given = [document for document in documents if document.embedding is not None]
        plain = [document for document in documents if document.embedding is None]
        count.chunks += len(given)
        for start in range(0, len(plain), work.CLAIM):  # as workers take them: they embed a text once in each portion
            self._count_portion(count, plain[start : start + work.CLAIM])
        count.documents += len(documents)
        if self.on_progress:
            self.on_progress(Progress("estimate", count.documents, total))

    def _count_portion(self, count: _Count, documents: Sequence[Document]) -> None:
        with self._reading() as connection:
            exists = spaces.exists(connection, self.space)
            stored = chunks.hashes(connection, self.space, [each.id for each in documents]) if exists else {}
        plan = embedding.estimate(self.space, documents, stored, self.tokenizer)
        count.chunks += sum(len(rows) for rows in [*plan.rows.values(), *plan.fresh.values()])
        inputs = self._not_cached(count, list({text: 0 for texts in plan.inputs.values() for text in texts.values()}))
        if inputs:
            count.inputs += len(inputs)
            count.tokens += self.tokenizer().estimate_tokens(inputs)
            count.sample += inputs[: SAMPLE - len(count.sample)]

    def _not_cached(self, count: _Count, texts: list[str]) -> list[str]:
        if not self.space.cached or not texts:
            return texts
        with self._reading() as connection:
            there = embedding_cache.there(connection, self.space.fingerprint or "", texts)
        fresh = [text for text in texts if text not in there and embedding_cache.key(text) not in count.known]
        count.known.update(map(embedding_cache.key, fresh))
        return fresh

    def _estimate(self, count: _Count) -> Estimate:
        model = self.space.model
        return Estimate(
            documents=count.documents,
            chunks=count.chunks,
            reused=count.chunks - count.inputs,
            tokens=count.tokens,
            price=prices.price(model, count.tokens) if model and count.tokens else 0.0,
            seconds=self._seconds(count) if model and count.tokens else 0.0,
            broken=count.broken,
        )

    def _seconds(self, count: _Count) -> float | None:
        if embedders.is_local(self.space.model or ""):
            return self._measured(count)
        with self._reading() as connection:
            rate = usage.rate(connection, self.space)
        return count.tokens / rate if rate else None

    def _measured(self, count: _Count) -> float | None:
        """By a sample, after a first call that warms the model up."""
        embedder = self.embedder()
        try:
            embedder.embed_documents(count.sample[:1])
            began = time.perf_counter()
            embedder.embed_documents(count.sample)
        except ModelUnavailable:
            return None
        return (time.perf_counter() - began) * count.tokens / max(embedder.estimate_tokens(count.sample), 1)
