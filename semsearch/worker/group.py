"""The pipelines of one provider: they serve its collections in turn, wait while it is busy, and block what is wrong."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from sqlalchemy.exc import DBAPIError

from semsearch.collection import Collection
from semsearch.embedders import Embedder
from semsearch.errors import (
    BudgetExhausted,
    CollectionChanged,
    Conflict,
    DatabaseUnavailable,
    InvalidInput,
    ModelUnavailable,
    NotFound,
    ProviderBusy,
    SchemaMismatch,
    SemsearchError,
)
from semsearch.pipeline import Halted, Pipeline
from semsearch.road import Road, Stored
from semsearch.store import blocking, leases
from semsearch.store.spaces import Space
from semsearch.worker.events import tell, unforeseen, warn
from semsearch.worker.outage import Outage
from semsearch.worker.trouble import cause, concerns_database, is_conflict, meaning, sentence

LONGEST_PAUSE = 60.0  # seconds, unless the provider asks for more
LONGEST_ASKED = 3600.0
CONFLICT_PAUSE = 1.0
ASIDE = 5.0  # seconds for which a collection is left out whose table is locked
REFUSED_FOR = 20.0  # seconds for which a model that cannot be used is not asked for again, by whichever collection

Key = tuple[str | None, int | None]


@dataclass
class Shift:
    """What all threads of a worker share. `failure` is what ends it; `on_stored` is told of every portion."""

    worker: leases.Worker
    stop: threading.Event
    outage: Outage
    on_stored: Callable[[Collection, Stored], None]
    once: bool = False
    failure: Exception | None = None

    def fail(self, error: Exception) -> None:
        self.failure = self.failure or error
        self.stop.set()


@dataclass
class Group:
    """`runs` counts how often a pipeline has done something; `threads` end when the shift stops."""

    provider: str
    shift: Shift
    runs: int = 0
    threads: list[threading.Thread] = field(default_factory=list)
    _pipelines: list[Pipeline] = field(default_factory=list)
    _at_work: set[Pipeline] = field(default_factory=set)
    _collections: dict[int, Collection] = field(default_factory=dict)
    _aside: dict[int, float] = field(default_factory=dict)  # until when
    _refused: dict[Key, tuple[SemsearchError, float]] = field(default_factory=dict)  # and when
    _loading: threading.Lock = field(default_factory=threading.Lock)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _looks: int = 0
    _busy: int = 0
    _resume_at: float = 0.0

    def start(self, count: int) -> None:
        for number in range(count):
            pipeline = Pipeline(self.shift.worker, self.shift.stop, patient=True)
            name = f"semsearch {self.provider or 'given'} {number}"
            thread = threading.Thread(target=self._live, args=(pipeline,), name=name, daemon=True)
            self._pipelines.append(pipeline)
            self.threads.append(thread)
            thread.start()

    def serve(self, collections: Sequence[Collection]) -> None:
        """These have documents that wait."""
        with self._changed:
            self._collections = {one.space.collection_id: one for one in collections}
            # Who is to serve only once must learn that nothing is left, too, where what there was has been blocked.
            self._looks += bool(collections) or self.shift.once
            self._changed.notify_all()

    @property
    def is_idle(self) -> bool:
        """Whether all that was done has been told, too."""
        return not self._at_work

    def wake(self) -> None:
        """Let waiting pipelines see that the shift has stopped."""
        with self._changed:
            self._changed.notify_all()

    def give_back(self) -> None:
        """Give back what pipelines hold that did not end in time."""
        for pipeline in self._pipelines:
            with suppress(DBAPIError, DatabaseUnavailable):
                pipeline.give_back()

    def _live(self, pipeline: Pipeline) -> None:
        seen = 0
        try:
            while (seen := self._next_look(seen)) and self._serve(pipeline):
                pass
        except BaseException as error:
            self.shift.fail(error if isinstance(error, Exception) else RuntimeError(f"a thread ended by {error!r}"))

    def _next_look(self, seen: int) -> int:
        """The number of the next look that found something; 0 when the shift stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._looks > seen or self.shift.stop.is_set())
            return 0 if self.shift.stop.is_set() else self._looks

    def _serve(self, pipeline: Pipeline) -> bool:
        """Until nothing waits, or something keeps us from it; False when that was to be the only time."""
        stop, pause = self.shift.stop, self._resume_at - time.monotonic()
        if pause > 0 and stop.wait(pause):
            return False
        self._at_work.add(pipeline)
        try:
            self.runs += bool(pipeline.run(self._roads, once=self.shift.once))
        except Halted as halted:
            stop.wait(self._settle(halted.error, halted.road))
            return True
        except Exception as error:
            stop.wait(self._settle(error, None))
            return True
        finally:
            self._at_work.discard(pipeline)
        self.shift.outage.over()
        return not self.shift.once

    def _roads(self) -> list[Road]:
        if self._resume_at > time.monotonic():
            return []
        served = list(self._collections.items())
        return [self._road(one) for id, one in served if self._aside.get(id, 0.0) <= time.monotonic()]

    def _road(self, collection: Collection) -> Road:
        road = collection.road()
        return replace(road, embedder=partial(self._embedder, road), on_stored=partial(self._stored, collection))

    def _stored(self, collection: Collection, stored: Stored) -> None:
        self._busy = 0
        self.shift.on_stored(collection, stored)

    def _embedder(self, road: Road) -> Embedder:
        """The embedder, or at once the reason why there is none: a wrong key is not sent again for each collection."""
        key = _key(road.space)
        with self._loading:
            refused, since = self._refused.get(key, (None, 0.0))
            if refused and time.monotonic() - since < REFUSED_FOR:
                raise refused
            try:
                return road.embedder()
            except ModelUnavailable as error:
                if not isinstance(error, ProviderBusy):
                    self._refused[key] = error, time.monotonic()
                raise

    def _settle(self, error: Exception, road: Road | None) -> float:
        """Do what the error asks for; returns the seconds to wait before this pipeline goes on."""
        try:
            return self._judge(error, road)
        except Exception as another:
            if not concerns_database(another):
                raise
            return self.shift.outage.met(another)

    def _judge(self, error: Exception, road: Road | None) -> float:
        if road:
            error = meaning(error, road.engine, road.space)
        match error:
            case ProviderBusy():
                self._pause(error)
            case SchemaMismatch():
                self.shift.fail(error)
            case NotFound() | CollectionChanged() if road:
                self._collections.pop(road.space.collection_id, None)  # until the next look, if it is still there
            case ModelUnavailable() | Conflict() | InvalidInput() if road:
                self._block(road, error)
            case _ if is_conflict(error) and road:
                self._aside[road.space.collection_id] = time.monotonic() + ASIDE
                tell("set_aside", collection=road.space.name, seconds=ASIDE, reason=sentence(error))
            case _ if is_conflict(error):
                return random.uniform(0, CONFLICT_PAUSE)  # noqa: S311
            case _ if concerns_database(error):
                return self.shift.outage.met(error)
            case _ if road:
                unforeseen(error, collection=road.space.name)
                self._block(road, error)
            case _:
                raise error
        return 0.0

    def _pause(self, busy: ProviderBusy) -> None:
        """Leave the provider alone: for as long as it asks, else with full jitter, lest all come back at once."""
        self._busy += 1
        if busy.retry_after is None:
            seconds = random.uniform(0, min(LONGEST_PAUSE, 2.0 ** min(self._busy, 20)))  # noqa: S311
        else:
            seconds = min(busy.retry_after, LONGEST_ASKED)
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)
        warn("provider_busy", provider=self.provider, seconds=round(seconds, 1), reason=str(busy))

    def _block(self, road: Road, error: Exception) -> None:
        """Claim nothing more of the collection, nor of others of the same model where that is what is wrong."""
        blocked = [road.space]
        if isinstance(error, ModelUnavailable) and not isinstance(error, BudgetExhausted):
            self._refused[_key(road.space)] = error, time.monotonic()
            served = [one.space for one in list(self._collections.values())]
            blocked += [one for one in served if _key(one) == _key(road.space) and one.id != road.space.id]
        reason = cause(error)
        for space in blocked:
            self._collections.pop(space.collection_id, None)
            with road.engine.begin() as connection:
                news = blocking.block(connection, space, reason)
            if news:
                warn("blocked", collection=space.name, reason=reason)


def _key(space: Space) -> Key:
    """What the space's embedder is loaded by."""
    return space.model, space.asked_dimensions
