"""Answers CALL semsearch.embed: embeds what people ask for in SQL, wherever a worker or a server runs.

The server tells of a request when it is committed, and the thread of its collection claims all that wait there, has
the model embed them together and caches the answers. Looking now and then is the guarantee, for what was told may be
lost, and who has claimed a request may have died. No transaction is open while a model runs.

    with answering.Answerer(database, stop):
        ...  # whatever else this process does
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from semsearch import embedders
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import (
    BudgetExhausted,
    DatabaseUnavailable,
    ModelUnavailable,
    NotFound,
    ProviderBusy,
    SemsearchError,
    UnusableEmbedding,
)
from semsearch.store import complaints, embed_requests, spaces
from semsearch.store.embed_requests import Listener, Request
from semsearch.store.spaces import Space

TOLD = 0.1  # seconds of waiting to be told, between looks whether this is to end
LOOK = 1.0  # seconds between looks where the server tells of requests
LOOK_POOLED = 0.03  # and where it cannot
TIDY = 10.0  # seconds
IDLE = 60.0  # seconds after which the thread of a collection ends
LONGEST = 5.0  # seconds before a database that is away is tried again
GRACE = 10.0  # seconds in which a model may finish when this ends
MOST = 32  # collections that are served at the same time

log = logging.getLogger(__name__)


@dataclass
class _Lane:
    """The thread of one collection; `wanted` wakes it."""

    thread: threading.Thread
    wanted: threading.Event = field(default_factory=threading.Event)


class Answerer:
    """Answers from a thread of its own until closed, or until `stop` is set; for `collections` only, if any are named.

    Nothing that happens to a database, a collection or a model ends it.
    """

    def __init__(self, database: Database, stop: threading.Event, collections: Sequence[str] = ()) -> None:
        self._database = database
        self._engine = database.pools.writing
        self._stop = stop
        self._closed = threading.Event()
        self._names = tuple(collections)
        self._collections: dict[int, Collection] = {}  # by the number of the collection
        self._lanes: dict[int, _Lane] = {}
        self._changing = threading.Lock()
        self._threads = [
            threading.Thread(target=self._live, name="semsearch answering", daemon=True),
            threading.Thread(target=self._preload, name="semsearch preloading", daemon=True),
        ]

    def start(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def close(self) -> None:
        """End; what a model is at may take a little longer, but not for ever."""
        self._closed.set()
        deadline = time.monotonic() + GRACE
        with self._changing:
            lanes = list(self._lanes.values())
        for lane in lanes:
            lane.wanted.set()
        for thread in (*self._threads, *(lane.thread for lane in lanes)):
            thread.join(max(0.0, deadline - time.monotonic()))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def _is_over(self) -> bool:
        return self._closed.is_set() or self._stop.is_set()

    def _live(self) -> None:
        failures = 0
        while not self._is_over:
            try:
                with Listener(self._database.pools.address) as listener:
                    failures = 0
                    self._listen(listener)
            except Exception as error:
                failures += 1
                if failures == 1:
                    _tell_of(error)
                self._closed.wait(random.uniform(0, min(LONGEST, 0.1 * 2 ** min(failures, 10))))  # noqa: S311

    def _listen(self, listener: Listener) -> None:
        look = LOOK if listener.hears else LOOK_POOLED
        tidied = looked = 0.0
        told = True
        while not self._is_over:
            if told or time.monotonic() - looked >= look:
                looked = time.monotonic()
                for collection_id in listener.outstanding(self._names):
                    self._wake(collection_id)
            if time.monotonic() - tidied >= TIDY:
                tidied = time.monotonic()
                with self._engine.begin() as connection:
                    embed_requests.tidy(connection)
            if listener.hears:
                told = listener.told(TOLD)
            else:
                told = False
                self._closed.wait(look)

    def _wake(self, collection_id: int) -> None:
        """Have the requests of a collection claimed by its thread."""
        with self._changing:
            lane = self._lanes.get(collection_id)
            if lane is None and len(self._lanes) < MOST:  # else at one of the next looks
                name = f"semsearch answering {collection_id}"
                thread = threading.Thread(target=self._serve, args=(collection_id,), name=name, daemon=True)
                lane = self._lanes[collection_id] = _Lane(thread)
                lane.wanted.set()
                thread.start()
            elif lane is not None:
                lane.wanted.set()

    def _serve(self, collection_id: int) -> None:
        """What the thread of a collection does."""
        lane = self._lanes[collection_id]
        while not self._is_over:
            if lane.wanted.wait(IDLE):
                lane.wanted.clear()
                self._serve_once(collection_id)
                continue
            with self._changing:
                if not lane.wanted.is_set():
                    del self._lanes[collection_id]
                    self._collections.pop(collection_id, None)
                    return

    def _serve_once(self, collection_id: int) -> None:
        try:
            while not self._is_over and (requests := embed_requests.claim(self._engine, collection_id)):
                self._answer(collection_id, requests)
        except Exception as error:  # a look a little later finds the requests again
            _tell_of(error)

    def _answer(self, collection_id: int, requests: Sequence[Request]) -> None:
        with suppress(NotFound):  # dropped, as those who wait are told in SQL
            self._embed(self._opened(collection_id, requests[0].space_id), requests)

    def _embed(self, collection: Collection, requests: Sequence[Request]) -> None:
        collection_id = collection.space.collection_id
        try:
            made = collection.embed_queries([request.query for request in requests])
        except Exception as error:
            if isinstance(error, DatabaseUnavailable) or complaints.is_from_database(error):
                raise
            if len(requests) > 1 and _may_be_of_a_text(error):
                for request in requests:
                    self._embed(collection, [request])
            else:
                self._refuse(collection_id, requests, error)
            return
        assert collection.space.fingerprint is not None
        embeddings = {request.query: one for request, one in zip(requests, made, strict=True)}
        embed_requests.answer(self._engine, collection_id, collection.space.fingerprint, embeddings, requests)

    def _refuse(self, collection_id: int, requests: Sequence[Request], error: Exception) -> None:
        if isinstance(error, SemsearchError):
            problem = " ".join(str(error).split())
        else:
            log.error("unforeseen", exc_info=error)
            problem = f"the model failed with {type(error).__name__}: the log of whoever answers says more."
        embed_requests.refuse(self._engine, collection_id, requests, problem)

    def _opened(self, collection_id: int, space_id: int) -> Collection:
        """The collection, opened anew when another space of it is live. Raises NotFound."""
        known = self._collections.get(collection_id)
        if known is not None and known.space.id == space_id:
            return known
        for space in self._spaces():
            if space.collection_id == collection_id:
                opened = Collection(self._database.pools, self._database.settings, space)
                self._collections[collection_id] = opened
                return opened
        raise NotFound(f"collection {collection_id} has been dropped.")

    def _spaces(self) -> list[Space]:
        with self._engine.connect() as connection:
            return [one for one in spaces.every(connection) if not self._names or one.name in self._names]

    def _preload(self) -> None:
        """Load the local models of the collections and warm them, so that the first answer is fast, too."""
        with suppress(Exception):
            local = [one for one in self._spaces() if embedders.is_local(one.model or "")]
            for space in {(one.model, one.asked_dimensions): one for one in local}.values():
                if not self._is_over:
                    with suppress(Exception):  # who asks is told
                        collection = Collection(self._database.pools, self._database.settings, space)
                        collection.road().embedder().embed_query("semsearch")


def _may_be_of_a_text(error: Exception) -> bool:
    """Whether the other texts may do without it. A model that is away is away for all."""
    if isinstance(error, ProviderBusy | BudgetExhausted):
        return False
    return isinstance(error, UnusableEmbedding) or not isinstance(error, ModelUnavailable)


def _tell_of(error: Exception) -> None:
    if complaints.is_from_database(error):
        error = complaints.translate(error)
    if isinstance(error, SemsearchError):
        log.warning("not_answering", extra={"fields": {"reason": str(error)}})
    else:
        log.error("unforeseen", exc_info=error)
