"""What a collection holds, read page by page, and what a document must be so that it is changed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from semsearch import cleaning, given
from semsearch.errors import InvalidInput, NotFound, PreconditionFailed
from semsearch.opened import Opened
from semsearch.records import Document, Neighbour
from semsearch.road import Guard
from semsearch.store import documents, failures, source, spaces, tenants
from semsearch.store.complaints import translated
from semsearch.store.documents import Put
from semsearch.store.failures import Choice, Failure
from semsearch.store.source import Excerpt

MAX_PAGE = 1000
MAX_CHUNKS = 10_000  # of a page
EXCERPT = 300  # characters
ANY = "*"


def version(document: Document) -> str:
    """Equal for two states of a document exactly when its text, title, format, metadata and given embedding are.

    >>> version(Document("a", "text")) == version(Document("a", "text")), version(Document("a", "text"))[:8]
    (True, '3ed16895')
    """
    parts = [document.id, document.text, document.title, document.format, dict(document.metadata)]
    if document.embedding is not None:
        parts.append(np.asarray(document.embedding, dtype=np.float32).tobytes().hex())
    written = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Expected:
    """The state in which a document is to be changed: one of these `versions`, or none of the `others` (ANY: "*")."""

    versions: tuple[str, ...] | None = None
    others: tuple[str, ...] | None = None

    @property
    def is_new(self) -> bool:
        """Whether it must not be there yet."""
        return self.others is not None and ANY in self.others

    def check(self, id: str, found: Document | None) -> None:
        """Raise PreconditionFailed when the document that was found, or none, is in another state."""
        now = None if found is None else version(found)
        if self.versions is not None and (now is None or not {ANY, now} & {*self.versions}):
            state = "is not there" if now is None else "has changed"
            raise PreconditionFailed(f"document {id!r:.80} {state}: read it again.")
        if self.others is not None and now is not None and {ANY, now} & {*self.others}:
            raise PreconditionFailed(f"document {id!r:.80} is there already.")


class Contents(Opened):
    """What is read of a collection beside searches."""

    @translated
    def documents(self, *, after: str | None = None, limit: int = 100, tenant: str | None = None) -> Sequence[Excerpt]:
        """The next documents behind the id `after`, with the beginning of each; those of an attached table, too.

        In the order of their ids, of an attached table in that of its key. A collection with tenants requires `tenant`.
        """
        _check_limit(limit, MAX_PAGE)
        owner = self._owner(tenant)
        if after is not None and not cleaning.is_id(after):
            raise InvalidInput(f"{after!r:.80} is no document's id.")
        with self._pools.writing.connect() as connection:
            found = source.excerpts(connection, self._space, owner, after, limit, EXCERPT)
            if not found:
                spaces.check_exists(connection, self._space)
            return found

    @translated
    def with_embedding(self, document: Document) -> Document:
        """A document that was got, with the embedding that it came with, if any: so it has a `version`."""
        with self._pools.writing.connect() as connection:
            return replace(document, embedding=given.read(connection, self._space, document))

    @translated
    def chunks(
        self, document_id: str, *, after: int = -1, limit: int = MAX_PAGE, tenant: str | None = None
    ) -> Sequence[Neighbour]:
        """The chunks of a document in their order, behind the ordinal `after`; none while it waits to be embedded.

        Raises NotFound when no such document is there.
        """
        _check_limit(limit, MAX_CHUNKS)
        if not self.owned([document_id], tenant=tenant):
            raise NotFound(f"document {document_id!r:.80} does not exist in collection {self.name!r}.")
        chunks = spaces.queried(self._space)
        conditions = tenants.condition(self._space, tenant)
        shown = [chunks.c[name] for name in ("ordinal", "start", "end", "heading", "text")]
        found = select(*shown).where(chunks.c.document_id == document_id, chunks.c.ordinal > after, *conditions)
        with self._pools.writing.connect() as connection:
            rows = connection.execute(found.order_by(chunks.c.ordinal).limit(limit)).all()
        return [Neighbour(*row) for row in rows]

    @translated
    def held(self, tenant: str) -> tuple[int, int]:
        """How many documents of the tenant are searchable, and how many chunks they have. Raises InvalidInput."""
        first, own = spaces.queried(self._space).c.ordinal == 0, tenants.condition(self._space, tenant)
        counted = select(func.count().filter(first), func.count()).where(*own)
        with self._pools.writing.connect() as connection:
            documents, chunks = connection.execute(counted).one()
        return documents, chunks

    @translated
    def owned(self, ids: Iterable[str], *, tenant: str | None = None) -> set[str]:
        """Those of these documents that are there, and the tenant's where the collection has tenants."""
        owner = self._owner(tenant)
        possible = [id for id in ids if cleaning.is_id(id)]
        with self._pools.writing.connect() as connection:
            return source.owned(connection, self._space, owner, possible)

    @translated
    def failures_page(
        self, choice: Choice, *, after: str | None = None, limit: int = 100, tenant: str | None = None
    ) -> tuple[Sequence[Failure], str | None]:
        """The next documents that were given up, the latest first, and what gives the page behind them, if any.

        With `tenant` only those that are that tenant's.
        """
        _check_limit(limit, MAX_PAGE)
        found: list[Failure] = []
        end = None if after is None else _read_end(after)
        while len(found) <= limit:
            with self._pools.writing.connect() as connection:
                page = failures.page(connection, self._space, choice, end, limit + 1)
            mine = None if tenant is None else self.owned([each.document_id for each in page], tenant=tenant)
            found += [each for each in page if mine is None or each.document_id in mine]
            if len(page) <= limit:
                break
            end = (page[-1].failed_at, page[-1].document_id)
        shown = found[:limit]
        return shown, _end(shown[-1]) if len(found) > limit else None

    def each_failure(self, choice: Choice, tenant: str) -> list[str]:
        """All documents of a tenant that were given up."""
        ids: list[str] = []
        after: str | None = None
        while True:
            page, after = self.failures_page(choice, after=after, limit=MAX_PAGE, tenant=tenant)
            ids += [failure.document_id for failure in page]
            if after is None:
                return ids

    def _owner(self, tenant: str | None) -> source.Owner | None:
        name = tenants.required(self._space, tenant)
        return None if name is None or tenant is None else {name: tenant}

    def _guard(self, id: str, expected: Expected, tenant: str | None) -> Guard:
        """Has a document stored only if it is as expected, in the transaction that keeps it so."""

        def guard(connection: Connection, store: Callable[[], Put]) -> Put:
            self._expect(connection, id, expected, tenant)
            done = store()
            if expected.is_new and not done.added:  # somebody else has put it since we looked
                raise PreconditionFailed(f"document {id!r:.80} is there already.")
            return done

        return guard

    def _expect(self, connection: Connection, id: str, expected: Expected, tenant: str | None) -> None:
        found = documents.keep(connection, self._space, id)
        if found is not None and tenant is not None and not tenants.owns(self._space, tenant, found.metadata):
            found = None
        if found is not None:
            found = replace(found, embedding=given.read(connection, self._space, found))
        expected.check(id, found)


def _check_limit(limit: Any, most: int) -> None:
    if type(limit) is not int or not 1 <= limit <= most:
        raise InvalidInput(f"limit is a whole number from 1 to {most:,}; got {limit!r:.80}.")


def _end(failure: Failure) -> str:
    plain = json.dumps([failure.failed_at.isoformat(), failure.document_id])
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def _read_end(text: str) -> tuple[datetime, str]:
    try:
        moment, id = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        end = datetime.fromisoformat(moment)
        if end.tzinfo is None or not cleaning.is_id(id):
            raise ValueError
        return end, id
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError) as error:
        raise InvalidInput("`after` is the `next` of an earlier page of failures; this is none.") from error
