"""Keys for the HTTP door: `ss_<id>_<secret>`, of which the database keeps a hash only.

The secret is 256 random bits, so that one round of SHA-256 is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import Connection, and_, case, func, insert, literal, or_, select, update

from semsearch.errors import Conflict, InvalidInput, NotFound
from semsearch.store import spaces
from semsearch.store import tenants as tenancy
from semsearch.store.schema import api_keys as table

KeyScope = Literal["read", "write", "admin"]
FORM = re.compile(r"ss_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
LONGEST_NAME = 200


@dataclass(frozen=True)
class Key:
    """`collections` None: all; `tenant` None: everybody's documents. `state` is valid, expired or revoked."""

    id: str
    name: str
    scope: KeyScope
    collections: tuple[str, ...] | None
    tenant: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None
    state: Literal["valid", "expired", "revoked"]


@dataclass(frozen=True)
class Found:
    """A key with what it is recognised by; it ends in so many `seconds` (None: never)."""

    key: Key
    hash: bytes
    seconds: float | None

    def is_of(self, key: str) -> bool:
        """Whether the key that was given is this one; takes as long whatever differs."""
        return hmac.compare_digest(self.hash, _hash(key))


NOW = func.clock_timestamp()
STATE = case(
    (table.c.revoked_at <= NOW, "revoked"),
    (table.c.expires_at <= NOW, "expired"),
    else_="valid",
).label("state")
COLUMNS = (*(column for column in table.c if column.name != "hash"), STATE)


def id_of(key: str) -> str | None:
    """The id in a key; None: this is none."""
    found = FORM.fullmatch(key)
    return found[1] if found else None


def create(
    connection: Connection,
    name: str,
    scope: KeyScope = "read",
    *,
    collections: Sequence[str] | None = None,
    tenant: str | None = None,
    expires: timedelta | None = None,
) -> tuple[Key, str]:
    """A new key, and what is to be given to its owner: it cannot be shown again. Raises InvalidInput, NotFound."""
    _check(connection, name, scope, collections, tenant)
    if expires is not None and expires <= timedelta():
        raise InvalidInput("a key that ends at once is of no use: expires is a time, such as 90d.")
    return _store(
        connection,
        name=name,
        scope=scope,
        collections=None if collections is None else list(dict.fromkeys(collections)),
        tenant=tenant,
        expires_at=None if expires is None else NOW + literal(expires),
    )


def rotate(connection: Connection, id: str, overlap: timedelta) -> tuple[Key, str]:
    """A successor that may do the same; the old key ends after `overlap`, if not before. Raises NotFound, Conflict.

    A key that was made to end lives as long again as it was given at first.
    """
    old = _get(connection, id)
    if old.state != "valid":
        raise Conflict(f"key {id} is {old.state}: make a new one with `semsearch keys create`.")
    ends = NOW + literal(overlap)
    lasts = None if old.expires_at is None else NOW + literal(old.expires_at - old.created_at)
    made = _store(
        connection,
        name=old.name,
        scope=old.scope,
        collections=None if old.collections is None else list(old.collections),
        tenant=old.tenant,
        expires_at=lasts,
    )
    connection.execute(
        update(table)
        .where(table.c.id == id, or_(table.c.expires_at.is_(None), table.c.expires_at > ends))
        .values(expires_at=ends)
    )
    return made


def revoke(connection: Connection, id: str) -> Key:
    """End a key now; one that was revoked before stays so. Raises NotFound."""
    connection.execute(update(table).where(table.c.id == id, table.c.revoked_at.is_(None)).values(revoked_at=NOW))
    return _get(connection, id)


def every(connection: Connection) -> list[Key]:
    """All there ever were, the oldest first."""
    return [_key(row) for row in connection.execute(select(*COLUMNS).order_by(table.c.created_at, table.c.id))]


def find(connection: Connection, id: str) -> Found | None:
    """What is known of the key with that id."""
    seconds = func.extract("epoch", table.c.expires_at - NOW).label("seconds")
    row = connection.execute(select(*COLUMNS, table.c.hash, seconds).where(table.c.id == id)).one_or_none()
    if row is None:
        return None
    return Found(_key(row), bytes(row.hash), None if row.seconds is None else float(row.seconds))


def note_use(connection: Connection, id: str) -> None:
    """That it was used, to the minute: searches are not to write a row each."""
    stale = or_(table.c.used_at.is_(None), table.c.used_at < NOW - literal(timedelta(minutes=1)))
    connection.execute(update(table).where(and_(table.c.id == id, stale)).values(used_at=NOW))


def are_there(connection: Connection) -> bool:
    """Whether any key was ever made. One that has ended counts: its end must not open the door to everybody."""
    return bool(connection.execute(select(select(table.c.id).exists())).scalar_one())


def is_any_valid(connection: Connection) -> bool:
    return any(key.state == "valid" for key in every(connection))


def _store(connection: Connection, **values: Any) -> tuple[Key, str]:
    id = secrets.token_hex(6)
    key = f"ss_{id}_{secrets.token_urlsafe(32)}"
    connection.execute(insert(table).values(id=id, hash=_hash(key), **values))
    return _get(connection, id), key


def _check(
    connection: Connection, name: str, scope: str, collections: Sequence[str] | None, tenant: str | None
) -> None:
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidInput(f"a key's name is a text of 1 to {LONGEST_NAME} printable characters; it says whose it is.")
    if scope not in get_args(KeyScope):
        raise InvalidInput(f"scope is one of {', '.join(get_args(KeyScope))}; got {scope!r:.80}.")
    if collections is not None and not collections:
        raise InvalidInput("a key for no collection is of no use: name some, or none at all for every collection.")
    for each in collections or ():
        spaces.find(connection, each)
    if tenant is not None:
        tenancy.check_name(tenant)
        if scope == "admin":
            raise InvalidInput("a key with scope 'admin' cannot be bound to a tenant: it concerns them all.")


def _get(connection: Connection, id: str) -> Key:
    row = connection.execute(select(*COLUMNS).where(table.c.id == id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no key {id!r:.80}; `semsearch keys list` shows them all.")
    return _key(row)


def _key(row: Any) -> Key:
    told = {field: getattr(row, field) for field in Key.__dataclass_fields__}
    return Key(**{**told, "collections": None if row.collections is None else tuple(row.collections)})


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
