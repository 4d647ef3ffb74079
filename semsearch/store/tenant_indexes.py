"""Which tenants deserve an ANN index of their own, and which tenants there are.

Few chunks are compared all (20,000 x 384: about 14 ms), and of a tenant that has much of the collection the common
index finds enough. Between them a walk of the common index meets mostly others' chunks, and to compare all takes long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, select

from semsearch.store import indexes, tenant_rights
from semsearch.store.index_statements import Options, wished
from semsearch.store.spaces import Space, field_columns, table

LEAST = 20_000  # chunks of a tenant
MOST_SHARE = 0.3  # of the collection's chunks
MOST = 10  # indexes: each is looked at when a query is planned, and kept in memory


@dataclass(frozen=True)
class Tenant:
    """A tenant with the number of its chunks, the roles that may read them, and its own index if it has one.

    `name` is None for chunks that say nobody's: no search of a tenant finds them.
    """

    name: str | None
    chunks: int
    roles: tuple[str, ...]
    index: str | None


def every(connection: Connection, space: Space) -> list[Tenant]:
    """All tenants that have chunks or roles, by name; nothing in a collection without tenants."""
    if space.tenant is None:
        return []
    roles = tenant_rights.granted(connection, space)
    there = {index.name for index in indexes.every(connection, space) if index.valid}
    counted = dict.fromkeys(roles, 0) | dict(_counts(connection, space))
    tenants = [
        Tenant(name, chunks, tuple(roles.get(name or "", ())), _own(space, name, there))
        for name, chunks in counted.items()
    ]
    return sorted(tenants, key=lambda tenant: (tenant.name is None, tenant.name or ""))


def _own(space: Space, tenant: str | None, there: set[str]) -> str | None:
    name = None if tenant is None else indexes.name(space, tenant)
    return name if name in there else None


def wanted(connection: Connection, space: Space) -> list[Options]:
    """How to build the indexes that are due: as the collection's own."""
    return [replace(wished(space), tenant=tenant) for tenant in due(connection, space)]


def due(connection: Connection, space: Space) -> list[str]:
    """The tenants that have grown large enough to need an index of their own which they do not have, largest first.

    Of a collection that is too small for any nothing is counted.
    """
    rows = indexes.rows(connection, space)
    if space.tenant is None or space.index_kind == "none" or rows * MOST_SHARE < LEAST:
        return []
    found = indexes.every(connection, space)
    own = {index.name for index in found if index.valid and index.predicate is not None}
    large = [
        name
        for name, chunks in _counts(connection, space, LEAST)
        if name is not None and chunks < rows * MOST_SHARE and indexes.name(space, name) not in own
    ]
    return large[: max(0, MOST - len(own))]


def _counts(connection: Connection, space: Space, least: int = 1) -> Sequence[tuple[str | None, int]]:
    """The tenants with at least so many chunks, largest first."""
    assert space.tenant is not None
    chunks = table(space)
    tenant, count = field_columns(chunks, space)[space.tenant], func.count()
    found = select(tenant, count).group_by(tenant).having(count >= least).order_by(count.desc(), tenant)
    return [(name, number) for name, number in connection.execute(found)]
