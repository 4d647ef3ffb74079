"""What all requests share: the database, its collections as they were last seen, who may ask, what was counted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Annotated, TypeAlias

from fastapi import Depends, Request
from sqlalchemy import Engine

from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import NotFound
from semsearch.store import spaces, versions
from semsearch.store.complaints import translated
from semsearch.store.spaces import Space
from semsearch.store.transactions import again_when_lost
from semsearch.store.versions import Version
from semsearch.web.figures import Figures
from semsearch.web.keyring import Keyring
from semsearch.web.options import Options
from semsearch.web.readiness import Readiness

if TYPE_CHECKING:
    from semsearch.web.rules import Rules


class State:
    """One for each application. `lifespans` are entered when it starts to serve, and left when it ends.

    `stopping` is set when the server is to end: what goes on without an end, as streams of events do, ends then.
    """

    rules: Rules

    def __init__(self, database: Database, options: Options) -> None:
        self.database, self.options = database, options
        self.keys = Keyring(database.pools.writing)
        self.figures = Figures()
        self.readiness = Readiness(database)
        self.stopping = threading.Event()
        self.lifespans: list[Callable[[], AbstractAsyncContextManager[object]]] = []
        self._collections: dict[str, tuple[Version | None, Collection]] = {}
        self._lock = threading.Lock()

    @translated
    def collection(self, name: str) -> Collection:
        """The collection as it is now; the same object as before where nothing has changed, for what it remembers.

        One round trip, on a connection for searches, as long as nothing has. Raises NotFound.
        """
        engine = self.database.pools.searching
        seen = again_when_lost(engine, lambda: versions.of(engine, name)) if spaces.NAME.fullmatch(name) else None
        version, known = self._collections.get(name, (None, None))
        if known is not None and seen is not None and seen == version:
            return known
        return self._opened(name, seen)

    def _opened(self, name: str, version: Version | None) -> Collection:
        """Read anew, after its version: what changes in between is seen at the next request."""
        engine = self.database.pools.searching
        try:
            space = again_when_lost(engine, lambda: _found(engine, name))
        except NotFound:
            self._collections.pop(name, None)
            raise
        with self._lock:
            _, known = self._collections.get(name, (None, None))
            if known is None or not _is_same(known.space, space):
                known = Collection(self.database.pools, self.database.settings, space)
            self._collections[name] = version, known
            return known


def _found(engine: Engine, name: str) -> Space:
    with engine.connect() as connection:
        return spaces.find(connection, name)


def _is_same(one: Space, other: Space) -> bool:
    return one == other and one.index_settings == other.index_settings


async def of(request: Request) -> State:
    state = request.app.state.semsearch
    assert isinstance(state, State)
    return state


Shared: TypeAlias = Annotated[State, Depends(of)]
