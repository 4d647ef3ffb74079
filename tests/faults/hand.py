"""A worker taken apart, on one connection, with a model in this process: claim, read, finish; it can crash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from sqlalchemy import Connection, create_engine

from semsearch import embedding, work
from semsearch.config import Settings
from semsearch.store import chunks, creation, leases, spaces, tasks
from semsearch.store.connection import Address, driver
from semsearch.store.spaces import Space
from semsearch.store.transactions import in_transaction
from tests.faults import truth

LEASE = 60.0

# As if two hours had gone by for every lease that nobody is just changing.
EXPIRE = """
UPDATE semsearch.leases SET not_before = not_before - interval '2 h', expires_at = expires_at - interval '2 h',
       claimed_at = claimed_at - interval '2 h'
WHERE (collection_id, document_id) IN (SELECT collection_id, document_id FROM semsearch.leases FOR UPDATE SKIP LOCKED)
"""


def create(address: Address, name: str = "notes") -> Space:
    """A collection whose model is truth.Fake."""
    engine = create_engine("postgresql+psycopg://", creator=address.connect)
    with engine.begin() as connection:
        space = creation.create(
            connection,
            name,
            {},
            model=truth.MODEL,
            dimensions=truth.DIMENSIONS,
            distance="cosine",
            vector_type="vector",
            chunk_size=8,
            chunk_overlap=0,
            index_kind="none",
            fingerprint=truth.Fake.fingerprint,
        )
    engine.dispose()
    return space


def find(address: Address, name: str) -> Space:
    engine = create_engine("postgresql+psycopg://", creator=address.connect)
    with engine.connect() as connection:
        found = spaces.find(connection, name)
    engine.dispose()
    return found


def connect(url: str) -> Address:
    return Address(Settings(database_url=url))


class Hand:
    """Does by single steps what semsearch/work.py does at once."""

    def __init__(self, address: Address, space: Space, number: int = 1) -> None:
        self.space, self.number = space, number
        self.engine = create_engine("postgresql+psycopg://", creator=address.connect, pool_size=1, max_overflow=0)
        with self.engine.connect() as connection:
            self.pid = driver(connection).info.backend_pid
        self.claims: list[tasks.Claim] = []
        self.works: Sequence[tasks.Work] = ()
        self._embedder = truth.Fake()
        self._open: Connection | None = None

    def claim(self, count: int = 100) -> list[str]:
        with self.engine.begin() as connection:
            self.claims = tasks.claim(connection, self.space, self.number, count, LEASE)
        return [claim.document_id for claim in self.claims]

    def read(self) -> None:
        """Versions and text, then the model."""
        with self.engine.connect() as connection:
            self.works = tasks.read(connection, self.space, self.claims)
            self.stored = chunks.hashes(connection, self.space, [claim.document_id for claim in self.claims])
        plan = embedding.plan(self.space, self.works, self.stored, lambda: self._embedder)
        self.prepared = embedding.embed(plan)

    def finish(self) -> list[str]:
        """Store what is still true; read again where the chunks are not those that were seen."""
        try:
            finished = in_transaction(self.engine, self._write)
        except chunks.CONFLICTS:
            self.read()
            return self.finish()
        self.claims, self.works = [], ()
        return [work.claim.document_id for work in finished]

    def finish_open(self) -> None:
        """As `finish`, but the transaction stays open until `commit`."""
        self._open = self.engine.connect()
        self._open.begin()
        self._write(self._open)

    def commit(self) -> None:
        assert self._open
        self._open.commit()
        self._open.close()
        self.claims, self.works, self._open = [], (), None

    def _write(self, connection: Connection) -> list[tasks.Work]:
        return work.write(connection, self.space, self.works, self.prepared, self.stored)

    def crash(self) -> None:
        """Die with what was claimed: the lease stays until it expires."""
        self.claims, self.works = [], ()

    def drain(self, user: psycopg.Connection[Any]) -> None:
        """Do everything, whatever is leased or postponed; refuses to go round for ever."""
        for _ in range(20):
            user.execute(EXPIRE)
            if not self.claim():
                return
            self.read()
            self.finish()
        raise AssertionError("the tasks come to no end")

    def tidy(self) -> None:
        """As workers do now and then: a lease is left when the task was finished by another worker."""
        with self.engine.begin() as connection:
            leases.tidy(connection)

    def close(self) -> None:
        if self._open:
            self._open.close()
        self.engine.dispose()
