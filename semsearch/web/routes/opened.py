"""The way from a request to a collection: the only one, so that no route forgets to look whose it is."""

from __future__ import annotations

from semsearch.collection import Collection
from semsearch.errors import NotFound
from semsearch.mcp import Bounds
from semsearch.web.access import Caller
from semsearch.web.bodies.collections import Status
from semsearch.web.state import State


def bounds(caller: Caller) -> Bounds:
    """What the caller may see: the same at this door as at that for assistants."""
    return Bounds(caller.collections, caller.tenant)


def opened(state: State, caller: Caller, name: str) -> Collection:
    """The collection as it is now.

    Raises NotFound, which suggests a near one only to whom all of them may be named.
    """
    caller.check(name)
    try:
        found = state.collection(name)
    except NotFound:
        if not caller.is_bound:
            raise
        raise _absent(name) from None
    if not bounds(caller).hold(found):
        raise _absent(name)
    return found


def _absent(name: str) -> NotFound:
    return NotFound(f"collection {name!r:.80} does not exist.")


def names(state: State, caller: Caller) -> list[str]:
    """The names of the collections that the caller may see, in order."""
    if caller.tenant is not None:  # then whether a collection has tenants has to be looked at
        return [collection.name for collection in visible(state, caller)]
    return [name for name in state.database.names() if caller.sees(name)]


def visible(state: State, caller: Caller) -> list[Collection]:
    """The collections that the caller may see, by name; one that is dropped meanwhile is left out."""
    found = []
    for name in state.database.names():
        if caller.sees(name):
            try:
                found.append(state.collection(name))
            except NotFound:
                continue
    return [collection for collection in found if bounds(caller).hold(collection)]


def status(collection: Collection, tenant: str | None) -> Status:
    """How far the collection is; for a tenant what is the tenant's own, and nothing of how much others have.

    Raises NotFound when it was dropped meanwhile.
    """
    if tenant is None:
        return Status.model_validate(collection.status())
    documents, chunks = collection.held(tenant)
    return Status(
        name=collection.name,
        model=collection.model,
        dimensions=collection.dimensions,
        distance=collection.distance,
        vector_type=collection.vector_type,
        documents=documents,
        stored_documents=documents,
        chunks=chunks,
    )


def statuses(state: State, caller: Caller) -> list[Status]:
    """How far each of them is."""
    found = []
    for collection in visible(state, caller):
        try:
            found.append(status(collection, caller.tenant))
        except NotFound:
            continue
    return found
