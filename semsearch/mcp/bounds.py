"""What a caller may see: which collections, whose documents."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from semsearch.collection import Collection
from semsearch.errors import Forbidden, NotFound
from semsearch.store import tenants


@dataclass(frozen=True)
class Bounds:
    """`collections` None: all of them; `tenant` None: not bound to one.

    Who is bound to a tenant sees that tenant's documents, and no collection without tenants: there is no telling whose
    the documents of such a collection are. Raises InvalidInput for what no tenant can be called.
    """

    collections: frozenset[str] | None = None
    tenant: str | None = None

    def __post_init__(self) -> None:
        if self.tenant is not None:
            tenants.check_name(self.tenant)

    def names(self, collection: str) -> bool:
        """Whether a collection of that name can be within them."""
        return self.collections is None or collection in self.collections

    def hold(self, collection: Collection) -> bool:
        """Whether the collection is within them."""
        return self.names(collection.name) and (self.tenant is None or collection.space.tenant is not None)

    def tenant_for(self, given: str | None) -> str | None:
        """Whose documents are asked for. Raises Forbidden for another tenant than the one they are bound to."""
        if self.tenant is not None and given not in (None, self.tenant):
            raise Forbidden("you may ask for the documents of one tenant only: leave the tenant out.")
        return self.tenant or given

    def within(self, other: Bounds) -> Bounds:
        """What is within both. Raises Forbidden where they are bound to different tenants."""
        both = (some for some in (self.collections, other.collections) if some is not None)
        collections = frozenset.intersection(*given) if (given := [*both]) else None
        return Bounds(collections, self.tenant_for(other.tenant))


def missing(name: str, there: list[str]) -> NotFound:
    """What to say of a collection that is not there, or is not the caller's, which is the same to them."""
    near = difflib.get_close_matches(name, there, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "The tool `collections` lists those that are there."
    return NotFound(f"collection {name!r:.80} does not exist. {hint}")
