"""The users of a chaos run: transactions on plain psycopg that never heard of semsearch.

Keys 1 to SHARED belong to all writers, who use READ COMMITTED there. Of the keys above, each writer has his own, and
uses REPEATABLE READ for half of his transactions: no other user can be in his way. Every transaction takes its rows in
one order, so users cannot deadlock among themselves either. Whatever fails is therefore our fault, but for a lost
connection and for two users who give one row the same new key.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import psycopg
from psycopg import errors

from tests.faults import truth

WRITERS = 3
SHARED = 400
KEYS = 800
PAUSE = 0.007  # seconds between transactions
STATEMENTS = (1, 1, 1, 1, 1, 1, 2, 2, 3, 4)  # of a transaction
TELL = 50  # transactions after which it is told
LONG = 0.2  # share of texts that have several chunks

Act = Callable[[psycopg.Connection[Any], "Table", int], None]


@dataclass(frozen=True)
class Table:
    """How users write one table: `id` turns a key into its id; statements take (text, id), (id,), (id,), (id, id)."""

    name: str
    id: str
    upsert: str
    delete: str
    touch: str
    move: str

    def id_of(self, key: int) -> Any:
        return self.id.format(key) if self.id else key


def documents(collection_id: int) -> Table:
    mine = f"collection_id = {collection_id} AND id = %s"
    return Table(
        "documents",
        "k{:04}",
        f"INSERT INTO semsearch.documents (collection_id, text, id) VALUES ({collection_id}, %s, %s)"
        " ON CONFLICT (collection_id, id) DO UPDATE SET text = excluded.text",
        f"DELETE FROM semsearch.documents WHERE {mine}",
        f"UPDATE semsearch.documents SET updated_at = clock_timestamp() WHERE {mine}",
        f"UPDATE semsearch.documents SET id = %s WHERE {mine}"
        f" AND NOT EXISTS (SELECT FROM semsearch.documents WHERE {mine})",
    )


ARTICLES = Table(
    "articles",
    "",
    "INSERT INTO public.articles (body, id) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
    "DELETE FROM public.articles WHERE id = %s",
    "UPDATE public.articles SET views = views + 1 WHERE id = %s",
    "UPDATE public.articles SET id = %s WHERE id = %s AND NOT EXISTS (SELECT FROM public.articles o WHERE o.id = %s)",
)
CREATE_ARTICLES = "CREATE TABLE public.articles (id bigint PRIMARY KEY, body text NOT NULL, views bigint DEFAULT 0)"


class Writer:
    """One user, who goes on until told to stop and then tells what he did."""

    def __init__(self, number: int, conninfo: str, tables: Sequence[Table], seed: int, pause: float) -> None:
        self.number, self.conninfo, self.tables, self.pause = number, conninfo, tables, pause
        self.chance = random.Random(seed * WRITERS + number)
        self.counts: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.versions = 0

    def transaction(self, connection: psycopg.Connection[Any]) -> None:
        own = self.chance.random() < 0.5
        repeatable = own and self.chance.random() < 0.5
        count = self.chance.choice(STATEMENTS)
        rows = sorted((self.chance.randrange(len(self.tables)), self._key(own)) for _ in range(count))
        with connection.transaction(force_rollback=self.chance.random() < 0.1):
            if repeatable:
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                connection.execute("SELECT count(*) FROM semsearch.collections")  # takes the snapshot
                time.sleep(self.chance.choice((0, 0.01)))
            for table, key in rows:
                self._act(connection, self.tables[table], key)
            if self.chance.random() < 0.05:
                time.sleep(0.05)
        self.counts["repeatable_read"] += repeatable

    def _key(self, own: bool) -> int:
        if not own:
            return self.chance.randint(1, SHARED - 1)
        return SHARED + WRITERS * self.chance.randrange((KEYS - SHARED) // WRITERS - 1) + self.number + 1

    def _act(self, connection: psycopg.Connection[Any], table: Table, key: int) -> None:
        id, draw = table.id_of(key), self.chance.random()
        if draw < 0.75:
            connection.execute(table.upsert, (self._text(key), id))
        elif draw < 0.90:
            connection.execute(table.delete, (id,))
        elif draw < 0.95:
            connection.execute(table.touch, (id,))
        else:
            free = table.id_of(key + (1 if key < SHARED else WRITERS))
            connection.execute(table.move, (free, id, free))

    def _text(self, key: int) -> str:
        self.versions += 1
        long = self.chance.random() < LONG
        return truth.text(
            f"k{key}",
            f"{self.number}.{self.versions}",
            self.chance.randint(2, 9) if long else 0,
            poison=self.chance.random() < 0.01,
        )

    def go_on(self, pipe: Connection) -> None:
        """Until something comes through the pipe, which is told how far it is. A lost connection is made again."""
        connection: psycopg.Connection[Any] | None = None
        while not pipe.poll():
            try:
                if connection is None:
                    connection = psycopg.connect(self.conninfo, autocommit=True, connect_timeout=10)
                self.transaction(connection)
                self.counts["transactions"] += 1
                if self.counts["transactions"] % TELL == 0:
                    pipe.send(self.counts["transactions"])
            except psycopg.Error as error:
                self._complain(error)
                if connection is not None and connection.closed:
                    connection = None
                time.sleep(0.02)
            time.sleep(self.pause)
        if connection is not None:
            connection.close()

    def _complain(self, error: psycopg.Error) -> None:
        kind = judge(error)
        self.counts[kind] += 1
        if kind not in EXPECTED:
            self.complaints.append(f"{type(error).__name__}: {error} {error.diag.context or ''}"[:500])


LOST, RACE = "connection_errors", "users_own_races"
EXPECTED = {LOST, RACE}


def judge(error: psycopg.Error) -> str:
    """The name under which it is counted."""
    if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
        return LOST
    users_own = error.diag.table_name in ("documents", "articles") and not error.diag.context
    if isinstance(error, errors.UniqueViolation) and users_own:
        return RACE
    return {"40P01": "deadlocks", "40001": "serialization_failures"}.get(error.sqlstate, "other_errors")


def write(number: int, conninfo: str, tables: Sequence[Table], seed: int, pause: float, pipe: Connection) -> None:
    """A process of its own: writes until the pipe says stop, then sends counts and complaints."""
    writer = Writer(number, conninfo, tables, seed, pause)
    writer.go_on(pipe)
    pipe.send((dict(writer.counts), writer.complaints))
