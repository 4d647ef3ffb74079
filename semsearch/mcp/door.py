"""The collections of a database, as one caller may see them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import NotFound
from semsearch.mcp.bounds import Bounds, missing

Open = Callable[[str], Collection]


class Shelf:
    """Opens collections, and hands out the same object as before where nothing has changed: it remembers queries."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Collection] = {}
        self._lock = threading.Lock()

    def collection(self, name: str) -> Collection:
        """The collection as it is now. Raises NotFound."""
        fresh = self._database.collection(name)
        with self._lock:
            known = self._known.get(name)
            if known is None or _settings(known) != _settings(fresh):
                known = self._known[name] = fresh
            return known


def _settings(collection: Collection) -> tuple[Any, ...]:
    """All that a collection was opened with; two spaces are equal whatever index they are to have."""
    return collection.space, collection.space.index_settings


@dataclass(frozen=True)
class Door:
    """`open` opens a collection by its name; a search may take `deadline` seconds."""

    database: Database
    open: Open
    bounds: Bounds
    deadline: float

    def collections(self) -> Iterator[Collection]:
        """Those within the bounds, by name."""
        for name in filter(self.bounds.names, self.database.names()):
            try:
                collection = self.open(name)
            except NotFound:  # dropped since
                continue
            if self.bounds.hold(collection):
                yield collection

    def collection(self, name: str) -> Collection:
        """The collection of that name. Raises NotFound, which suggests the near one within the bounds."""
        try:
            if self.bounds.names(name) and self.bounds.hold(collection := self.open(name)):
                return collection
        except NotFound:  # it would suggest what may lie outside
            pass
        raise missing(name, [collection.name for collection in self.collections()])

    def tenant(self, given: str | None) -> str | None:
        """Whose documents are asked for. Raises Forbidden."""
        return self.bounds.tenant_for(given)
