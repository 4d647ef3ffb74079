"""A small stage for interleavings: one collection, two workers taken apart, two users; and what each can do.

Sessions are written as words: `"W1: claim read finish"`, `"U1: begin update commit"`. At the beginning document a is
stored in four chunks, and has changed to a shorter text since; b is new; c is stored and quiet.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from semsearch.config import parse
from semsearch.store.connection import Address
from tests.faults import hand, invariants, truth
from tests.faults.hand import Hand
from tests.faults.interleaving import Finding, Interleaver, Session, Step, orders

MOST, MOST_ATTACHED = 24, 10  # orders of one set of sessions
BULK = "SET LOCAL semsearch.bulk = 'on'"
REPEATABLE = "BEGIN ISOLATION LEVEL REPEATABLE READ"


PAGES = "CREATE TABLE public.pages (id text PRIMARY KEY, body text NOT NULL, source text)"


class Stage:
    """Use it in a `with` block. The documents are our own, or the rows of a table that is attached."""

    def __init__(self, address: Address, url: str, attached: bool = False) -> None:
        self.watch = _connect(url)
        name = "pages" if attached else "notes"
        self.space = hand.create(address, name)
        self.table, self.column = ("public.pages", "body") if attached else ("semsearch.documents", "text")
        if attached:
            self.watch.execute(PAGES)
            self.watch.execute("SELECT semsearch.attach('pages', 'public.pages', ARRAY['body'])")
            self.space = hand.find(address, name)
        self.users = {name: _connect(url) for name in ("U1", "U2")}
        self.workers = {name: Hand(address, self.space, number) for number, name in enumerate(("W1", "W2"), 1)}
        documents = f"SELECT id, body AS text FROM {self.table}" if attached else ""
        self.strict = invariants.subject(self.watch, name, documents)
        self.lenient = invariants.subject(self.watch, name, documents, excused="true")
        self._versions = itertools.count(1)
        self._beginning: dict[str, str] | None = None
        self._most = MOST_ATTACHED if attached else MOST

    def reset(self) -> None:
        """The beginning, whatever was before: made once, copied from then on."""
        self.clear()
        chunks = f"semsearch.{self.space.table_name}"
        if self._beginning is None:
            self.put("a", 4)
            self.put("c", 0)
            self.workers["W1"].drain(self.watch)
            self._beginning = self.documents()
            self.watch.execute(f"CREATE TEMPORARY TABLE beginning AS SELECT * FROM {chunks}")
        else:
            with self.users["U1"].transaction():
                self.users["U1"].execute(BULK)
                for id, text in self._beginning.items():
                    self.write("U1", id, text)
            self.watch.execute(f"INSERT INTO {chunks} SELECT * FROM beginning")
        self.put("a", 2)
        self.put("b", 0)

    def clear(self) -> None:
        """Nothing at all."""
        for user in self.users.values():
            user.rollback()
        for worker in self.workers.values():
            worker.crash()
        with self.watch.transaction():
            self.watch.execute(BULK)
            self.watch.execute(f"DELETE FROM {self.table}")
            self.watch.execute(f"DELETE FROM semsearch.{self.space.table_name}")
            for table in ("tasks", "leases", "failures"):
                self.watch.execute(f"DELETE FROM semsearch.{table}")

    def put(self, id: str, sentences: int, poison: bool = False, user: str = "U1") -> None:
        self.write(user, id, truth.text(id, str(next(self._versions)), sentences, poison))

    def write(self, user: str, id: str, text: str) -> None:
        key, value = ("id", "") if self.column == "body" else ("collection_id, id", f"{self.space.collection_id}, ")
        self.users[user].execute(
            f"INSERT INTO {self.table} ({key}, {self.column}) VALUES ({value}%s, %s)"
            f" ON CONFLICT ({key}) DO UPDATE SET {self.column} = excluded.{self.column}",
            (id, text),
        )

    def delete(self, user: str, id: str) -> None:
        self.users[user].execute(f"DELETE FROM {self.table} WHERE id = %s", (id,))

    def move(self, user: str, id: str, new: str) -> None:
        self.users[user].execute(f"UPDATE {self.table} SET id = %s WHERE id = %s", (new, id))

    def documents(self) -> dict[str, str]:
        return dict(self.watch.execute(f"SELECT id, {self.column} FROM {self.table}").fetchall())

    def found(self) -> set[str]:
        return {id for (id,) in self.watch.execute(f"SELECT document_id FROM semsearch.{self.space.table_name}")}

    def failed(self) -> set[str]:
        return {id for (id,) in self.watch.execute("SELECT document_id FROM semsearch.failures")}

    def act(self, name: str, word: str) -> Callable[[], object]:
        """What the session of that name does when its step is taken."""
        if name in self.workers:
            return lambda: self._work(self.workers[name], word)
        user = self.users[name]
        deeds: dict[str, Callable[[], object]] = {
            "begin": lambda: user.execute("BEGIN"),
            "snapshot": lambda: (user.execute(REPEATABLE), user.execute(f"SELECT count(*) FROM {self.table}")),
            "commit": lambda: user.execute("COMMIT"),
            "rollback": lambda: user.execute("ROLLBACK"),
            "update": lambda: self.put("a", 3, user=name),
            "poison": lambda: self.put("a", 0, poison=True, user=name),
            "delete": lambda: self.delete(name, "a"),
            "quiet": lambda: self.delete(name, "c"),
            "move": lambda: self.move(name, "a", "m"),
            "swap": lambda: self.move(name, "b", "a"),
            "touch": lambda: user.execute(f"UPDATE {self.table} SET source = 'x' WHERE id IN ('a', 'b')"),
            "hold": lambda: user.execute("SELECT pg_advisory_lock(77)"),
            "release": lambda: user.execute("SELECT pg_advisory_unlock(77)"),
        }
        return deeds[word]

    def _work(self, worker: Hand, word: str) -> object:
        if word == "takeover":  # its lease has expired, or another's
            self.watch.execute(hand.EXPIRE)
            return worker.claim()
        deeds: dict[str, Callable[[], object]] = {
            "claim": worker.claim,
            "read": worker.read,
            "finish": worker.finish,
            "open": worker.finish_open,
            "close": worker.commit,
        }
        # It may have got nothing to do.
        return deeds[word]() if worker.claims or word == "claim" else None

    def play(self, *scripts: str) -> Iterator[Finding]:
        """Every order of these sessions' steps (some of them where they are many), and what is wrong in any of them."""
        sessions = [self._session(script) for script in scripts]
        excused = any(step.name == "snapshot" for session in sessions for step in session.steps)
        subject = self.lenient if excused else self.strict
        tester = Interleaver(self._is_waiting, lambda: str(invariants.violations(self.watch, subject) or ""))
        every = list(orders([len(session.steps) for session in sessions]))
        for order in every if len(every) <= self._most else random.Random(1).sample(every, self._most):
            self.reset()
            yield from tester.run(sessions, order)
            if wrong := self._rest():
                yield Finding(tuple(sessions[number].name for number in order), wrong)

    def _session(self, script: str) -> Session:
        name, _, words = script.partition(": ")
        pid = self.workers[name].pid if name in self.workers else self.users[name].info.backend_pid
        return Session(name, pid, [Step(word, self.act(name, word)) for word in words.split()])

    def _rest(self) -> str:
        """When all is done, everything is true and nothing is left."""
        for worker in self.workers.values():
            worker.crash()
        self.workers["W1"].drain(self.watch)
        self.workers["W1"].tidy()
        wrong = invariants.violations(self.watch, self.strict)
        left = self.watch.execute(
            "SELECT (SELECT count(*) FROM semsearch.tasks), (SELECT count(*) FROM semsearch.leases)"
        ).fetchone()
        return f"at the end: {wrong}, tasks and leases {left}" if wrong or left != (0, 0) else ""

    def _is_waiting(self, pid: int) -> bool:
        row = self.watch.execute("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s", (pid,))
        return bool((row.fetchone() or (False,))[0])

    def __enter__(self) -> Stage:
        self.reset()  # the beginning is made now, before somebody changes the code that makes it
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.close()
        for connection in (self.watch, *self.users.values()):
            connection.close()


@dataclass(frozen=True)
class Spec:
    """Sessions that are let meet in every order."""

    name: str
    scripts: Sequence[str]


def _connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(parse(url), autocommit=True)


WORKER = "W1: claim read finish"
OPEN = "W1: claim read open close"
OTHER = "W2: takeover read finish"
SPECS = {
    spec.name: spec
    for spec in (
        Spec("an update", (WORKER, "U1: begin update commit")),
        Spec("an update taken back", (WORKER, "U1: begin update rollback")),
        Spec("a delete", (WORKER, "U1: begin delete commit")),
        Spec("a delete taken back", (WORKER, "U1: begin delete rollback")),
        Spec("a delete against an open finish", (OPEN, "U1: delete")),
        Spec("an update against an open finish", (OPEN, "U1: update")),
        Spec("deleted and inserted again", (WORKER, "U1: delete update")),
        Spec("deleted and inserted in one transaction", (WORKER, "U1: begin delete update commit")),
        Spec("a new id", (WORKER, "U1: begin move commit")),
        Spec("the id of a deleted document for another", (WORKER, "U1: begin delete swap commit")),
        Spec("a column that is not embedded", (WORKER, "U1: touch touch")),
        Spec("a document nobody works on", (WORKER, "U1: begin quiet commit")),
        Spec("an update with an old snapshot", (WORKER, "U1: snapshot update commit")),
        Spec("a delete with an old snapshot", (WORKER, "U1: snapshot delete commit")),
        Spec("a new id with an old snapshot", (WORKER, "U1: snapshot move commit")),
        Spec("poison", (WORKER, "U1: begin poison commit")),
        Spec("poison and its cure", (WORKER, "U1: poison update")),
        Spec("two workers", (WORKER, OTHER)),
        Spec("two workers and an update", (WORKER, OTHER, "U1: update")),
        Spec("two workers and a delete", (WORKER, OTHER, "U1: delete")),
        Spec("two workers and poison", (WORKER, OTHER, "U1: poison")),
        Spec("two users", (WORKER, "U1: begin update commit", "U2: delete")),
        Spec("between two reads", (WORKER, "U1: hold update release")),
    )
}
