"""What the tests of the store share: a worker whose steps a test takes one by one, and looks at what is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from semsearch import embedding, pipeline, work
from semsearch.collection import Collection
from semsearch.embedders import Embedder
from semsearch.records import Embedding
from semsearch.road import Road
from semsearch.store import chunks, leases, tasks
from semsearch.verify import Verification
from tests.provider import Provider

MODEL = "openai:test-model"


def inputs(provider: Provider) -> list[str]:
    """Every text the provider was asked to embed, in order."""
    return [text for call in provider.calls for text in call["inputs"]]


def searchable(collection: Collection) -> dict[str, list[str]]:
    """What is stored to be found: the texts of the chunks, by document."""
    found: dict[str, list[str]] = {}
    with collection._pools.writing.connect() as connection:
        rows = connection.exec_driver_sql(
            f"SELECT document_id, text FROM collections.{collection.name} ORDER BY document_id, ordinal"
        )
        for row in rows:
            found.setdefault(row.document_id, []).append(row.text)
    return found


def kinds(found: Verification) -> dict[str, tuple[int, list[str]]]:
    """What was found: count and examples, of the kinds of which there are any."""
    return {kind: (each.count, each.examples) for kind, each in found.differences.items() if each.count}


class Meanwhile:
    """An embedder, but something happens while it embeds, once."""

    def __init__(self, embedder: Embedder, happens: Callable[[], object]) -> None:
        self._embedder = embedder
        self._happens: Callable[[], object] | None = happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed_documents(self, texts: Sequence[str], **options: Any) -> Embedding:
        found = self._embedder.embed_documents(texts, **options)
        if self._happens:
            happens, self._happens = self._happens, None
            happens()
        return found


class Hands:
    """A worker taken apart: claim, prepare (read and embed), finish; or all three at once by `step`."""

    def __init__(self, collection: Collection, lease: float = 60) -> None:
        self.space = collection._space
        self.engine = collection._pools.writing
        self.address = collection._pools.address
        self.embedder: Callable[[], Embedder] = collection._embedder
        self.worker = leases.Worker(self.address, lease)
        self.claims: list[tasks.Claim] = []

    def claim(self, count: int = 512) -> list[str]:
        """The ids of the documents leased."""
        with self.engine.begin() as connection:
            self.claims = tasks.claim(connection, self.space, self.worker.number, count, self.worker.lease)
        self.worker.hold(self.claims)
        return [claim.document_id for claim in self.claims]

    def prepare(self) -> None:
        with self.engine.connect() as connection:
            self.works = tasks.read(connection, self.space, self.claims)
            self.stored = chunks.hashes(connection, self.space, [claim.document_id for claim in self.claims])
        plan = embedding.plan(self.space, self.works, self.stored, self.embedder)
        self.prepared = embedding.embed(plan, self.engine, self.worker.number)

    def finish(self) -> list[str]:
        """The ids of the documents that the fence let through."""
        with self.engine.begin() as connection:
            return self.finish_in(connection)

    def finish_in(self, connection: Any) -> list[str]:
        finished = work.write(connection, self.space, self.works, self.prepared, self.stored)
        return [work.claim.document_id for work in finished]

    def meanwhile(self, happens: Callable[[], object]) -> None:
        """Let something happen while the next texts are embedded."""
        embedder = Meanwhile(self.embedder(), happens)
        self.embedder = lambda: embedder

    def step(self) -> int:
        """The real thing: how many documents were claimed."""
        return pipeline.do(Road(self.address, self.engine, self.space, self.embedder), self.worker)
