"""What a chaos run stands on: schema, collections, and the processes of the model and of the users."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

import semsearch
from semsearch import Settings
from semsearch.store import migrate
from semsearch.store.connection import Address
from tests.faults import chaos_provider, chaos_writers, invariants, mutants, truth
from tests.faults.chaos_writers import SHARED, Table
from tests.faults.forks import FORKS
from tests.faults.invariants import Subject
from tests.faults.mutants import Mutant

ATTACH = "SELECT semsearch.attach('articles', 'public.articles', ARRAY['body'])"


def prepare(
    values: dict[str, Any], conninfo: str, model: str, mutant: Mutant | None
) -> tuple[list[Subject], list[Table]]:
    """Schema, a collection of our own documents, another of a table that is attached, and what a mutant has in SQL."""
    computed = model == truth.MODEL
    settings = Settings(**values)
    with Address(settings) as address:
        migrate.upgrade(address)
    with psycopg.connect(conninfo, autocommit=True) as connection, semsearch.connect(settings=settings) as db:
        for name in ("notes", "articles"):
            db.create_collection(name, model=model, chunk_size=truth.CHUNK_SIZE, chunk_overlap=0)
        connection.execute(chaos_writers.CREATE_ARTICLES)
        connection.execute(ATTACH)
        notes = invariants.subject(connection, "notes", excused=f"d.id > 'k{SHARED:04}'", computed=computed)
        rows = "SELECT id::text, body AS text FROM public.articles"
        articles = invariants.subject(connection, "articles", rows, f"d.id::bigint > {SHARED}", computed)
        if mutant:
            mutants.apply_sql(mutant, connection)
    return [notes, articles], [chaos_writers.documents(notes.collection_id), chaos_writers.ARTICLES]


@contextmanager
def provider() -> Any:
    """The model's server as a process; its address."""
    ours, theirs = FORKS.Pipe()
    process = FORKS.Process(target=chaos_provider.serve, args=(theirs,), daemon=True)
    process.start()
    try:
        assert ours.poll(30), "the provider does not begin"
        yield ours.recv()
    finally:
        process.kill()
        process.join()


@contextmanager
def writer(number: int, conninfo: str, tables: Sequence[Table], seed: int, pause: float) -> Any:
    """A user as a process; the pipe that stops him and brings his counts."""
    ours, theirs = FORKS.Pipe()
    process = FORKS.Process(
        target=chaos_writers.write, args=(number, conninfo, tables, seed, pause, theirs), daemon=True
    )
    process.start()
    try:
        yield ours
    finally:
        process.kill()
        process.join()
