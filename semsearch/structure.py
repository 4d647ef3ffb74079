"""What a collection is made of, changed while it is in use: fields, the language of its full text, who may see what."""

from __future__ import annotations

import functools

from semsearch.opened import Opened
from semsearch.road import OnProgress
from semsearch.store import (
    field_changes,
    language_changes,
    tenant_indexes,
    tenant_rights,
)
from semsearch.store.complaints import translated
from semsearch.store.language_changes import Rewrite
from semsearch.store.tenant_indexes import Tenant
from semsearch.store.transactions import in_transaction


class Structure(Opened):
    """What can be changed about a collection."""

    @translated
    def add_field(self, name: str, type: str, *, on_progress: OnProgress | None = None) -> None:
        """Declare a field of the metadata, and build its index, while searches and writes go on.

        Values that do not fit its type, in documents that are there already, count as missing. Called again after it
        was cut off it goes on. Raises InvalidInput, Conflict.
        """
        tell = self._tell(on_progress)
        pools = self._pools
        self._reopen(field_changes.add(pools.address, pools.writing, self._space, name, type, tell))

    @translated
    def drop_field(self, name: str) -> None:
        """Take a field out of the collection; the metadata of documents stays as it is.

        Others who have the collection open get CollectionChanged when they filter by it. Raises NotFound, InvalidInput
        for the field of the tenants, Conflict when the table stays in use.
        """
        self._reopen(field_changes.drop(self._pools.writing, self._space, name))

    @translated
    def predict_language(self, language: str | None) -> Rewrite:
        """What `set_language` would do, and for how long nobody could search or put; nothing is changed."""
        with self._pools.writing.connect() as connection:
            return language_changes.predict(connection, self._space, language)

    @translated
    def set_language(self, language: str | None, *, on_progress: OnProgress | None = None) -> None:
        """Make the full text in another language; None drops it.

        The chunks are rewritten, and nobody can search or put meanwhile (`predict_language` says how long). The ANN
        index is built anew behind it; until then searches are exact. Raises InvalidInput, Conflict.
        """
        tell = self._tell(on_progress)
        pools = self._pools
        self._reopen(language_changes.change(pools.address, pools.writing, self._space, language, tell))

    @translated
    def tenants(self) -> list[Tenant]:
        """The tenants that have chunks or roles, with the number of their chunks, counted: those that the role sees."""
        with self._pools.writing.connect() as connection:
            return tenant_indexes.every(connection, self._space)

    @translated
    def grant_tenant(self, tenant: str, role: str) -> None:
        """Let a role of the database read the chunks of this tenant, and no other's, with SQL of its own.

        Raises InvalidInput, also for a role that sees all anyway, and NotFound.
        """
        grant = functools.partial(tenant_rights.grant, space=self._space, tenant=tenant, role=role)
        in_transaction(self._pools.writing, grant)

    @translated
    def revoke_tenant(self, tenant: str, role: str) -> None:
        """Let a role read the chunks of this tenant no longer. Raises NotFound when it may not."""
        revoke = functools.partial(tenant_rights.revoke, space=self._space, tenant=tenant, role=role)
        in_transaction(self._pools.writing, revoke)
