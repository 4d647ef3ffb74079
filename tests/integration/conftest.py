"""For the tests of the store: a scripted provider, a database that embeds with it, and a worker taken apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

import semsearch
from semsearch import embedding, ingest
from semsearch.collection import Collection
from semsearch.config import Settings
from semsearch.database import Database
from semsearch.embedders import Embedder
from semsearch.records import Embedding
from semsearch.store import chunks, leases, tasks
from tests.provider import Provider

MODEL = "openai:test-model"


@pytest.fixture
def model_db(settings: Settings, provider: Provider) -> Iterator[Database]:
    """A database whose `openai:` models are the provider's."""
    values = {"openai_api_key": SecretStr("sk-test"), "openai_base_url": provider.url}
    with semsearch.connect(settings=settings.model_copy(update=values)) as database:
        yield database


@pytest.fixture
def notes(model_db: Database, provider: Provider) -> Collection:
    """A collection that embeds: 8 dimensions, chunks of 16 tokens. What was asked so far is forgotten."""
    collection = model_db.create_collection("notes", model=MODEL, chunk_size=16, chunk_overlap=0)
    provider.reset()
    return collection


@pytest.fixture
def sql(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A user's own connection, in autocommit; nothing of ours runs in it but the triggers."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def other_sql(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Another user's."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def inputs(provider: Provider) -> list[str]:
    """Every text the provider was asked to embed, in order."""
    return [text for call in provider.calls for text in call["inputs"]]


class Meanwhile:
    """The collection's own embedder, but something happens while it embeds, once."""

    def __init__(self, collection: Collection, happens: Callable[[], object]) -> None:
        self._embedder = collection._embedder()
        self._happens: Callable[[], object] | None = happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed_documents(self, texts: Sequence[str]) -> Embedding:
        found = self._embedder.embed_documents(texts)
        if self._happens:
            happens, self._happens = self._happens, None
            happens()
        return found


class Hands:
    """A worker whose steps a test takes one by one: claim, prepare (read and embed), finish."""

    def __init__(self, collection: Collection, lease: float = 60) -> None:
        self.space = collection._space
        self.engine = collection._pools.writing
        self.embedder: Callable[[], Embedder] = collection._embedder
        self.collection = collection
        self.worker = leases.Worker(collection._pools.address, lease)
        self.claims: list[tasks.Claim] = []

    def claim(self, count: int = 512) -> list[str]:
        """The ids of the documents leased."""
        with self.engine.begin() as connection:
            self.claims = tasks.claim(connection, self.space, self.worker.number, count, self.worker.lease)
        return [claim.document_id for claim in self.claims]

    def prepare(self) -> None:
        with self.engine.connect() as connection:
            self.works = tasks.read(connection, self.space, self.claims)
            self.stored = chunks.hashes(connection, self.space, [claim.document_id for claim in self.claims])
        self.prepared = embedding.prepare(self.space, self.works, self.stored, self.embedder)

    def finish(self) -> list[str]:
        """The ids of the documents that the fence let through."""
        with self.engine.begin() as connection:
            return self.finish_in(connection)

    def finish_in(self, connection: Any) -> list[str]:
        finished = ingest._write(connection, self.space, self.works, self.prepared, self.stored)
        return [work.claim.document_id for work in finished]

    def step(self) -> int:
        """The real thing: claim, prepare and finish as ingest does them."""
        pools = self.collection._pools
        road = ingest.Road(pools.address, pools.writing, self.space, self.embedder)
        return ingest.step(road, self.worker)


@pytest.fixture
def hands() -> Iterator[Callable[..., Hands]]:
    """Makes workers to be taken apart, and closes them."""
    made: list[Hands] = []

    def make(collection: Collection, lease: float = 60) -> Hands:
        made.append(Hands(collection, lease))
        return made[-1]

    yield make
    for each in made:
        each.worker.close()


def searchable(collection: Collection) -> dict[str, list[str]]:
    """What is stored to be found: the texts of the chunks, by document."""
    with collection._pools.writing.connect() as connection:
        rows = connection.exec_driver_sql(
            f"SELECT document_id, text FROM collections.{collection.name} ORDER BY document_id, ordinal"
        )
        found: dict[str, list[str]] = {}
        for row in rows:
            found.setdefault(row.document_id, []).append(row.text)
        return found
