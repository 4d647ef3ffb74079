"""Looks after collections that have grown: builds the index once it is worthwhile, and keeps statistics fresh."""

from __future__ import annotations

import threading
from collections import Counter

from semsearch.collection import Collection
from semsearch.errors import NotFound
from semsearch.worker.events import tell, unforeseen, warn
from semsearch.worker.trouble import concerns_database, sentence

INTERVAL = 60.0  # seconds between visits to a collection that keeps growing


class Upkeep:
    """On a thread of its own: a build takes minutes, and embedding goes on meanwhile."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._lock = threading.Lock()
        self._grown: Counter[int] = Counter()
        self._collections: dict[int, Collection] = {}
        self._visiting = False
        self._told: set[str] = set()
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._live, name="semsearch upkeep", daemon=True)
        self._thread.start()

    def note(self, collection: Collection, chunks: int) -> None:
        """So many chunks were stored in it."""
        if not chunks:
            return
        with self._lock:
            self._collections[collection.space.collection_id] = collection
            self._grown[collection.space.collection_id] += chunks

    def is_done(self) -> bool:
        """Whether all that have grown were looked after; call it when nothing waits, which is the time for it."""
        if self._grown:
            self._wanted.set()
        return not self._grown and not self._visiting

    def _live(self) -> None:
        while not self._stop.is_set():
            self._wanted.wait(INTERVAL)
            self._wanted.clear()
            with self._lock:
                grown, self._grown = self._grown, Counter()
                self._visiting = bool(grown)
            for collection_id, chunks in grown.items():
                if not self._stop.is_set():
                    self._tend(self._collections[collection_id], chunks)
            self._visiting = False

    def _tend(self, collection: Collection, chunks: int) -> None:
        try:
            if (reason := collection.untendable()) is not None:
                if collection.name not in self._told:  # once: embedding goes on, and searches are exact
                    self._told.add(collection.name)
                    warn("not_tended", collection=collection.name, reason=reason)
                return
            if collection.tend(chunks):
                tell("index_built", collection=collection.name)
        except NotFound:
            return  # dropped meanwhile
        except Exception as error:
            if concerns_database(error):
                warn("not_tended", collection=collection.name, reason=sentence(error))
            else:
                unforeseen(error, collection=collection.name)

    def close(self) -> None:
        """Call it when `stop` is set. A build that runs is left to the server."""
        self._wanted.set()
