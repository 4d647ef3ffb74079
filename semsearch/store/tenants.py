"""Tenants: whose documents a search may find, in a collection that declares a field for it.

A document belongs to the tenant that its field names when it is first put. It never becomes another's by being put
again (`documents.put` refuses), for then whoever guesses an id could take a document away from its tenant. What has no
value there, as rows of an attached table may, is nobody's: no tenant's search finds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement

from semsearch.errors import InvalidInput
from semsearch.fields import FieldType, convert, describe
from semsearch.store.schema import documents
from semsearch.store.spaces import Space, field_columns, queried


def check_declared(tenant: str | None, fields: Mapping[str, FieldType]) -> None:
    """Raise InvalidInput unless the field of the tenants is declared, as text."""
    if tenant is not None and fields.get(tenant) != "text":
        what = f"is of type {fields[tenant]}" if tenant in fields else "is not declared"
        raise InvalidInput(f"the tenant's field {tenant!r} {what}: declare it as text, fields={{{tenant!r}: 'text'}}.")


def check_attached(space: Space, metadata: Sequence[str]) -> None:
    """Raise InvalidInput when the rows of a table would not say whose they are."""
    if space.tenant is not None and space.tenant not in metadata:
        raise InvalidInput(
            f"collection {space.name!r} has tenants: name the column {space.tenant!r} among the metadata, which says "
            "whose a row is."
        )


def condition(space: Space, tenant: str | None) -> list[ColumnElement[bool]]:
    """What the chunks of this tenant meet; nothing in a collection without tenants.

    Raises InvalidInput when the collection has tenants and none is named, or the other way round.
    """
    name = required(space, tenant)
    return [] if name is None else [field_columns(queried(space), space)[name] == tenant]


def required(space: Space, tenant: str | None) -> str | None:
    """The field that must have the tenant's name; None in a collection without tenants. Raises as `condition`."""
    if space.tenant is None:
        if tenant is not None:
            raise InvalidInput(f"collection {space.name!r} has no tenants: ask it without one.")
        return None
    if tenant is None or tenant == "":
        raise InvalidInput(f"collection {space.name!r} has tenants: say whose documents are asked for (tenant).")
    check_name(tenant)
    return space.tenant


def field(space: Space, tenant: str) -> str:
    """The field that has this tenant's name. Raises InvalidInput in a collection without tenants."""
    name = required(space, tenant)
    assert name is not None
    return name


def check_name(tenant: Any) -> None:
    """Raise InvalidInput for what no document's tenant can be called."""
    fits = isinstance(tenant, str) and tenant and convert(tenant, "text") is not None
    if not fits or "\0" in tenant or any("\ud800" <= character <= "\udfff" for character in tenant):
        raise InvalidInput(f"a tenant is a text of 1 to 1,024 bytes; got {describe(tenant)}.")


def owns(space: Space, tenant: str | None, metadata: Mapping[str, Any]) -> bool:
    """Whether a document with such metadata may be shown to the tenant. Raises as `condition`."""
    name = required(space, tenant)
    return name is None or metadata.get(name) == tenant


def owned(space: Space, tenant: str | None) -> ColumnElement[bool] | None:
    """What the tenant's documents in semsearch.documents meet; None: all do. Without a tenant all are meant.

    Raises InvalidInput in a collection without tenants.
    """
    if tenant is None:
        return None
    return documents.c.metadata.contains({field(space, tenant): tenant})
