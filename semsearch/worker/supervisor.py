"""Looks for collections whose documents wait, hands them to the pipelines of their provider, and keeps house."""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress

from semsearch import answering
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import CollectionChanged, Conflict, DatabaseUnavailable, NotFound, SchemaMismatch
from semsearch.road import Stored
from semsearch.store import (
    backfill,
    backlog,
    blocking,
    complaints,
    leases,
    migrate,
    query_cache,
    roles,
    source,
    spaces,
    usage,
)
from semsearch.store.complaints import translated
from semsearch.store.spaces import Space
from semsearch.worker.events import tell, unforeseen, warn
from semsearch.worker.group import ASIDE, Group, Shift
from semsearch.worker.metrics import Metrics
from semsearch.worker.options import Options
from semsearch.worker.outage import Outage
from semsearch.worker.trouble import cause, concerns_database, is_conflict, meaning
from semsearch.worker.upkeep import Upkeep

SHORTEST, LONGEST = 0.05, 2.0  # seconds between looks: soon after something was done, seldom while nothing happens
LEASED = 1.0  # where something waits, but others have leased it: they may die
BLOCKED_FOR = 300.0  # seconds after which a blocked collection is tried again


class Supervisor:
    """Runs on the thread that calls it until the work is done or `stop` is set."""

    def __init__(self, database: Database, options: Options, stop: threading.Event, outage: Outage) -> None:
        self._database, self._options, self._stop = database, options, stop
        self._engine = database.pools.writing
        self._outage = outage
        self._collections: dict[Space, Collection] = {}
        self._groups: dict[str, Group] = {}
        self._drifted: set[int] = set()
        self._locked: dict[int, float] = {}  # tables being filled in, and until when they are left out
        self._filling = False  # pages of a backfill are to be had without a pause
        self._blocked_for = 0.0  # a worker that starts may bring another configuration
        self._metrics: Metrics | None = None
        self._rounds = [
            Round(math.inf, self._look_for_risks),
            Round(1, self._release_dead),
            Round(10, self._check_sources),
            Round(10, self._show_backlog),
            Round(60, self._keep_house),
            Round(BLOCKED_FOR, self._unblock),
        ]

    @translated
    def run(self) -> None:
        for name in self._options.collections:
            self._database.collection(name)  # NotFound, before anything is begun
        with ExitStack() as stack:
            if self._options.metrics_port is not None:
                self._metrics = stack.enter_context(closing(Metrics(self._options.metrics_port)))
            worker = stack.enter_context(leases.Worker(self._database.pools.address))
            if not (self._options.once or self._options.until_idle):
                stack.enter_context(answering.Answerer(self._database, self._stop, self._options.collections))
            self._upkeep = stack.enter_context(closing(Upkeep(self._stop)))
            self._shift = Shift(worker, self._stop, self._outage, self._stored, self._options.once)
            tell("working", worker=worker.number, host=socket.gethostname(), process=os.getpid())
            try:
                self._look_until_done()
            finally:
                self._drain()
        if isinstance(self._shift.failure, SchemaMismatch):
            self._require_schema()  # says it best
        if self._shift.failure:
            raise self._shift.failure
        tell("stopped")

    def _look_until_done(self) -> None:
        pause, done = SHORTEST, 0
        while not self._stop.is_set():
            try:
                waits = self._look()
                self._outage.over()
            except Exception as error:
                self._stop.wait(self._met(error))
                continue
            if self._shift.worker.error:
                raise DatabaseUnavailable(f"the heartbeat has ended: {self._shift.worker.error}.")
            if self._is_done(waits):
                return
            runs = sum(group.runs for group in self._groups.values())
            longest = LEASED if waits else LONGEST
            pause, done = (SHORTEST if runs > done or self._filling else min(longest, pause * 2)), runs
            self._stop.wait(pause)

    def _is_done(self, waits: bool) -> bool:
        if self._options.once:
            done = not any(thread.is_alive() for thread in self._threads())
        else:
            done = not waits and all(group.is_idle for group in self._groups.values())
        return done and self._upkeep.is_done() and (self._options.once or self._options.until_idle)

    def _met(self, error: Exception) -> float:
        """Seconds to wait for the database. Raises SchemaMismatch, and what is not the database's."""
        if isinstance(error, SchemaMismatch) or not concerns_database(error):
            raise error
        if is_conflict(error):
            return SHORTEST
        if complaints.is_from_database(error) and not complaints.is_lost(error):
            try:
                self._require_schema()
            except SchemaMismatch:
                raise
            except DatabaseUnavailable as another:
                error = another
        return self._outage.met(error)

    def _threads(self) -> list[threading.Thread]:
        return [thread for group in self._groups.values() for thread in group.threads]

    def _look(self) -> bool:
        """Hand out what waits; whether anything does, be it that others work on it."""
        for round in self._rounds:
            round.go()
        with self._engine.connect() as connection:
            every = [space for space in spaces.every(connection) if self._is_mine(space)]
            with_tasks = set(spaces.with_tasks(connection))
        active = [space for space in every if space.state == "active"]
        self._filling = False
        unfilled = [space for space in active if space.attachment and self._fill(space)]
        waiting = [space for space in active if space.name in with_tasks]
        self._collections = {space: self._opened(space) for space in waiting}
        providers = {_provider(space) for space in waiting}
        for provider in providers - self._groups.keys():
            self._groups[provider] = Group(provider, self._shift)
            self._groups[provider].start(self._options.pipelines(provider))
        for provider, group in self._groups.items():
            group.serve([self._collections[space] for space in waiting if _provider(space) == provider])
        return bool(waiting or unfilled)

    def _is_mine(self, space: Space) -> bool:
        return not self._options.collections or space.name in self._options.collections

    def _opened(self, space: Space) -> Collection:
        return self._collections.get(space) or Collection(self._database.pools, self._database.settings, space)

    def _fill(self, space: Space) -> bool:
        """Make tasks of the next rows that an attached table had already; whether there are more."""
        if self._locked.get(space.collection_id, 0.0) > time.monotonic():
            return True
        try:
            with self._engine.begin() as connection:
                stepped = backfill.step(connection, space)
                self._filling |= stepped
                return stepped or not backfill.is_done(connection, space)
        except (CollectionChanged, NotFound):
            return True  # the next look sees what has become of it
        except Exception as error:
            if is_conflict(error):
                self._locked[space.collection_id] = time.monotonic() + ASIDE
                return True
            meant = meaning(error, self._engine, space)
            if isinstance(meant, Conflict):
                self._drifted.add(space.collection_id)
            elif isinstance(error, SchemaMismatch) or concerns_database(error):
                raise
            else:  # the others have nothing to do with it
                unforeseen(error, collection=space.name)
            self._block(space, cause(meant))
            return False

    def _block(self, space: Space, reason: str) -> None:
        with self._engine.begin() as connection:
            if blocking.block(connection, space, reason):
                warn("blocked", collection=space.name, reason=reason)

    def _stored(self, collection: Collection, stored: Stored) -> None:
        counted = {name: count for name, count in vars(stored).items() if count}
        tell("stored", collection=collection.name, **counted)
        self._upkeep.note(collection, stored.chunks)
        if self._metrics:
            self._metrics.count(collection.name, stored)

    def _look_for_risks(self) -> None:
        if (risk := roles.look_for_risks(self._database.pools.address).of_worker) is not None:
            warn("unsafe", reason=risk)

    def _release_dead(self) -> None:
        with self._engine.begin() as connection:
            leases.release_dead(connection)

    def _check_sources(self) -> None:
        """Block collections whose table is not what it was when it was attached, and go on when it is again."""
        for space in self._every(lambda one: one.attachment is not None):
            with suppress(NotFound):
                if problem := self._problem(space):
                    self._drifted.add(space.collection_id)
                    self._block(space, problem)
                elif space.collection_id in self._drifted:
                    self._drifted.discard(space.collection_id)
                    with self._engine.begin() as connection:
                        blocking.unblock(connection, [space.name])
                    tell("unblocked", collection=space.name)

    def _unblock(self) -> None:
        """Try what is blocked again: the configuration may be another one by now."""
        for space in self._every(lambda one: one.state == "blocked"):
            with suppress(NotFound):
                if not self._problem(space):
                    with self._engine.begin() as connection:
                        unblocked = blocking.unblock(connection, [space.name], self._blocked_for)
                    for name in unblocked:
                        tell("unblocked", collection=name)
        self._blocked_for = BLOCKED_FOR

    def _every(self, wanted: Callable[[Space], bool]) -> list[Space]:
        with self._engine.connect() as connection:
            return [one for one in spaces.every(connection) if self._is_mine(one) and wanted(one)]

    def _problem(self, space: Space) -> str | None:
        """Why its table cannot be read. Raises NotFound when the collection was dropped meanwhile."""
        try:
            with self._engine.connect() as connection:
                return source.check(connection, space)
        except Exception as error:
            meant = meaning(error, self._engine, space)
            if isinstance(meant, Conflict):
                return str(meant)
            if meant is error:
                raise
            raise meant from error

    def _show_backlog(self) -> None:
        if self._metrics:
            with self._engine.connect() as connection:
                self._metrics.show(backlog.measure(connection))

    def _keep_house(self) -> None:
        self._require_schema()
        settings = self._database.settings
        with self._engine.begin() as connection:
            leases.tidy(connection)
            usage.tidy(connection)
            query_cache.tidy(connection, query_cache.Limits(settings.query_cache_size, settings.query_cache_days))

    def _require_schema(self) -> None:
        """Raise SchemaMismatch when the schema was upgraded under us."""
        migrate.require_current(self._database.pools.address)

    def _drain(self) -> None:
        """Let pipelines store what the model has; what does not end in time is given back."""
        self._stop.set()
        deadline = time.monotonic() + self._options.grace
        for group in self._groups.values():
            group.wake()
        threads = self._threads()
        if any(thread.is_alive() for thread in threads):
            tell("draining", seconds=self._options.grace)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            for group in self._groups.values():
                group.give_back()


class Round:
    """Something to be done at once, and again every so many seconds."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._seconds, self._action = seconds, action
        self._due = time.monotonic()

    def go(self) -> None:
        if time.monotonic() >= self._due:
            self._action()
            self._due = time.monotonic() + self._seconds


def _provider(space: Space) -> str:
    """Whom the collection's model is asked of; nobody where documents bring their embeddings."""
    return (space.model or "").partition(":")[0]
