"""Keeps the model at work: claims documents of several collections in turn, and embeds them a portion at a time.

While the model is at work on one portion, the next one is read and chunked and the one before is stored: the model
never waits for the database (0.90 of its own speed one after the other, measured with MiniLM on two cores).
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from semsearch import embedding, work
from semsearch.errors import DatabaseUnavailable, ProviderBusy
from semsearch.road import Road
from semsearch.store import leases, tasks
from semsearch.store.transactions import in_transaction
from semsearch.work import Portion

LOOKS = 16  # windows of tasks that others hold, looked through before the next collection has its turn
BUSY_PAUSE = 5.0  # seconds for which a document steps aside that was sent alone when the provider was busy
SECONDS = 3.0  # for which the model may be at work on a portion: who changes a document waits for two of them
LEAST, MOST = 32, 4096  # chunks of a portion, however slow or fast the model is

log = logging.getLogger(__name__)
Roads = Callable[[], Sequence[Road]]


class Halted(Exception):
    """What ended the work: the error, on which road, with which claims."""

    def __init__(self, road: Road, error: Exception, claims: Sequence[tasks.Claim]) -> None:
        super().__init__(str(error))
        self.road, self.error, self.claims = road, error, claims


class Drained(Exception):
    """Nothing more is to be begun."""


@dataclass
class Pace:
    """How much of a collection is taken at once, judging by the portions before.

    No more `documents` than fit a portion and its provider takes, no more `chunks` than are embedded in SECONDS.
    """

    documents: int = field(default_factory=lambda: work.CLAIM)
    chunks: float = field(default_factory=lambda: float(work.CLAIM))

    @property
    def count(self) -> int:
        """Documents to claim."""
        return max(1, min(self.documents, int(self.chunks)))

    def more(self) -> None:
        self.documents = min(work.CLAIM, self.documents * 2)

    def less(self) -> None:
        self.documents = max(1, self.documents // 4)

    def took(self, chunks: int, seconds: float) -> None:
        """So many were embedded in so long. One portion that was slow by chance does not change much."""
        if chunks and (seconds > SECONDS or 2 * chunks > self.chunks):
            wanted = max(chunks * SECONDS / max(seconds, 0.001), LEAST, self.chunks / 4)
            self.chunks = min(wanted, self.chunks * 2, MOST)


def do(road: Road, worker: leases.Worker, stop: threading.Event | None = None) -> int:
    """Bring documents up to date until none can be claimed, or `stop` is set; returns how many were claimed."""
    try:
        return Pipeline(worker, stop).run(lambda: [road])
    except Halted as halted:
        raise halted.error from halted.error.__cause__


class Pipeline:
    """Serves several roads in turn, a claim each; for one thread.

    When `stop` is set nothing more is begun: what the model has is stored, the rest given back. A `patient` one has
    documents that lack memory tried again later; otherwise they fail.
    """

    def __init__(self, worker: leases.Worker, stop: threading.Event | None = None, *, patient: bool = False) -> None:
        self._worker = worker
        self._stop = stop or threading.Event()
        self._patient = patient
        self._held: dict[tuple[int, str], tuple[Road, tasks.Claim]] = {}
        self._places: dict[int, tasks.Place] = defaultdict(tasks.Place)
        self._paces: dict[int, Pace] = defaultdict(Pace)
        self._last = 0  # the collection that had its turn last
        self._answered = False

    def run(self, roads: Roads, *, once: bool = False) -> int:
        """Go round until no road has a document to claim, or once; returns how many were claimed. Raises Halted."""
        try:
            self.give_back()
            return self._run(roads, once)
        except Halted as halted:
            self._last = halted.road.space.collection_id
            if isinstance(halted.error, ProviderBusy) and self._patient:
                self._ease(halted, halted.error)
            raise
        except (Exception, KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            # What ends a process in no ordinary way, such as a panic of a library, may be a document's fault: the
            # leases end with the worker, and the attempts stay charged.
            self._held.clear()
            raise
        finally:
            # The provider is busy, the user pressed Ctrl-C: nobody need wait for our leases to expire.
            with contextlib.suppress(DBAPIError, DatabaseUnavailable):
                self.give_back()

    def give_back(self) -> None:
        """Give back what is held, uncharged; what cannot be now, because there is no database, stays held."""
        held: dict[int, tuple[Road, list[tasks.Claim]]] = {}
        for (collection_id, _), (road, claim) in list(self._held.items()):
            held.setdefault(collection_id, (road, []))[1].append(claim)
        for road, claims in held.values():
            with road.engine.begin() as connection:
                leases.give_back(connection, road.space, claims)
            self._release(road, claims)

    def _release(self, road: Road, claims: Sequence[tasks.Claim]) -> None:
        gone = [claim for claim in claims if self._held.pop((road.space.collection_id, claim.document_id), None)]
        self._worker.let_go(gone)

    def _run(self, roads: Roads, once: bool) -> int:
        count = 0
        before: tuple[Portion, Future[embedding.Prepared]] | None = None
        stopped = threading.Event()
        try:
            for portion in _or_halted(self._portions(roads, once)):
                if isinstance(portion, Halted):
                    if before:  # it has been paid for, and is of another claim
                        self._store(*before)
                    raise portion
                count += len(portion.claims)
                embed = partial(self._embed, portion)
                alone = any(claim.attempt >= work.ALONE_FROM for claim in portion.claims)
                if before and alone:
                    self._store(*before)
                    before = None
                embedded = _embed_behind(embed, before and before[1], lambda: stopped.is_set() or self._stop.is_set())
                if before:
                    self._store(*before)
                before = portion, embedded
                if alone:  # it may kill us: nothing else is claimed or on its way meanwhile
                    self._store(*before)
                    before = None
            if before:
                self._store(*before)
        except Drained:
            pass
        finally:
            stopped.set()
        return count

    def _portions(self, roads: Roads, once: bool) -> Iterator[Portion]:
        idle = False
        while not idle:
            idle = True
            for road in self._in_turn(roads()):
                self._last = road.space.collection_id
                with _blamed(road):
                    groups = self._claim(road)
                idle = idle and not groups
                for claims in groups:
                    if self._stop.is_set():
                        return
                    with _blamed(road):
                        portions = list(_read(road, claims, waits=not self._patient))
                    yield from portions
            idle = idle or once

    def _in_turn(self, roads: Sequence[Road]) -> list[Road]:
        """The one behind that which had its turn last comes first: one that fails each time must not be all we try."""
        ids = [road.space.collection_id for road in roads]
        start = ids.index(self._last) + 1 if self._last in ids else 0
        return [*roads[start:], *roads[:start]]

    def _claim(self, road: Road) -> list[list[tasks.Claim]]:
        """Documents of this road: a portion, or two.

        Of those to be embedded alone only one, after the others: were it to kill us, it alone would be charged. The one
        with the fewest attempts, so that those who were only there when others were killed have their turn first.
        """
        place, count = self._places[road.space.collection_id], self._paces[road.space.collection_id].count
        claims: list[tasks.Claim] = []
        for _ in range(LOOKS):
            if self._stop.is_set():
                return []
            claims = work.claim(road, self._worker, count, place)
            if claims or not place.further:
                break
        self._held |= {(road.space.collection_id, claim.document_id): (road, claim) for claim in claims}
        self._worker.hold(claims)
        together = [claim for claim in claims if claim.attempt < work.ALONE_FROM]
        alone = sorted((c for c in claims if c.attempt >= work.ALONE_FROM), key=lambda claim: claim.attempt)
        portion, rest = self._fitting(road, together) if together else ([], [])
        if rest := rest + alone[1:]:
            in_transaction(road.engine, lambda connection: leases.give_back(connection, road.space, rest))
            self._release(road, rest)
        return [group for group in (portion, alone[:1]) if group]

    def _fitting(self, road: Road, claims: Sequence[tasks.Claim]) -> tuple[list[tasks.Claim], list[tasks.Claim]]:
        """One portion of them, and the rest: whoever comes next has his turn before it.

        Any of the portions: were it the first each time, what sorts behind the others could wait for ever.
        """
        pace = self._paces[road.space.collection_id]

        def run(connection: Connection) -> list[list[tasks.Claim]]:
            return list(tasks.portions(connection, road.space, claims, pace.chunks))

        portions = work.reading(road, run, waits=not self._patient)
        if len(portions) > 1:
            pace.documents = len(claims) // len(portions)
        chosen = portions.pop(random.randrange(len(portions)))  # noqa: S311
        return chosen, [claim for portion in portions for claim in portion]

    def _embed(self, portion: Portion) -> embedding.Prepared:
        begun = time.monotonic()
        prepared = embedding.embed(portion.plan, portion.road.engine, self._worker.number)
        asked = sum(len(inputs) for inputs in portion.plan.inputs.values())
        self._paces[portion.road.space.collection_id].took(asked, time.monotonic() - begun)
        return prepared

    def _store(self, portion: Portion, embedded: Future[embedding.Prepared]) -> None:
        with _blamed(portion.road, portion.claims):
            prepared = embedded.result()
            if not self._patient:
                prepared.failed |= prepared.delayed
                prepared.delayed.clear()
            work.store(self._worker, portion, prepared)
        self._release(portion.road, portion.claims)
        if prepared.embedded:
            self._paces[portion.road.space.collection_id].more()
            self._answered = True
        if prepared.exhausted:
            raise Halted(portion.road, prepared.exhausted, ())

    def _ease(self, halted: Halted, busy: ProviderBusy) -> None:
        """Ask for less of a provider that is busy, down to one document.

        One that a provider answers with an error, while it answers others, would else be sent for ever: it backs off
        and is charged. Before that it steps aside, so that others are sent; also where the provider only asks us to
        wait, which it may do whenever it is sent that one.
        """
        if len(halted.claims) != 1:
            self._paces[halted.road.space.collection_id].less()
            return
        space, (claim,) = halted.road.space, halted.claims
        is_charged, self._answered = self._answered and not busy.is_limit, False
        with contextlib.suppress(DBAPIError, DatabaseUnavailable):
            with halted.road.engine.begin() as connection:
                if is_charged:
                    leases.back_off(connection, space, [claim], {claim.document_id: str(busy)})
                elif tasks.has_others(connection, space, claim.document_id):
                    leases.postpone(connection, space, [claim], BUSY_PAUSE)
            if is_charged:  # given back when its pause, which may be none, is over, it would not be
                self._release(halted.road, [claim])


@contextmanager
def _blamed(road: Road, claims: Sequence[tasks.Claim] = ()) -> Iterator[None]:
    try:
        yield
    except (Halted, Drained):
        raise
    except Exception as error:
        raise Halted(road, error, claims) from error


def _or_halted(portions: Iterator[Portion]) -> Iterator[Portion | Halted]:
    """What ended them comes last, instead of being raised."""
    try:
        yield from portions
    except Halted as halted:
        yield halted


def _read(road: Road, claims: Sequence[tasks.Claim], *, waits: bool) -> Iterator[Portion]:
    """The portion; in halves, down to the document at fault, where one makes chunking fail."""
    try:
        yield work.read(road, claims, waits=waits)
        return
    except work.Unchunkable as error:
        if len(claims) == 1:
            log.warning("document_unchunkable", exc_info=error, extra={"fields": {"collection": road.space.name}})
            yield work.unreadable(road, claims[0], f"it cannot be chunked ({error})")
            return
    half = len(claims) // 2
    yield from _read(road, claims[:half], waits=waits)
    yield from _read(road, claims[half:], waits=waits)


def _embed_behind(
    embed: Callable[[], embedding.Prepared], before: Future[embedding.Prepared] | None, stopped: Callable[[], bool]
) -> Future[embedding.Prepared]:
    """Embed once the portion before is done; not when it could not be: a provider that is down is not asked again.

    Nor when the budget did not allow all of it: what is embedded now could not be stored.

    A daemon thread, not a pool, whose threads Python joins at its end: Ctrl-C must not wait for a provider that hangs.
    """
    future: Future[embedding.Prepared] = Future()

    def run() -> None:
        try:
            if (before and before.result().exhausted) or stopped():
                raise Drained
            future.set_result(embed())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="semsearch-embed", daemon=True).start()
    return future
