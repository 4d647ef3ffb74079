"""Who may do what: every route says which scope it needs, and its first layer has found out who asks."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import ASGIApp, Receive, Scope, Send

from semsearch.errors import Forbidden, NotFound
from semsearch.store.api_keys import KeyScope
from semsearch.web import exchange

Needs = Literal["anybody", "visit", "read", "write", "admin"]

RANKS: dict[Needs, int] = {"anybody": 0, "visit": 0, "read": 1, "write": 2, "admin": 3}
BEARER = HTTPBearer(
    auto_error=False,
    bearerFormat="ss_<id>_<secret>",
    description="A key, as `semsearch keys create` makes it. On the loopback address of a database without any key "
    "none is needed.",
)
Sent: TypeAlias = Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]


@dataclass(frozen=True)
class Caller:
    """Whoever asks. `collections` None: all of them; `tenant` None: not bound to one."""

    key_id: str | None = None
    scope: KeyScope = "admin"
    collections: frozenset[str] | None = None
    tenant: str | None = None

    @property
    def is_bound(self) -> bool:
        """Whether some collections, or the documents of some tenants, are not this caller's."""
        return self.collections is not None or self.tenant is not None

    def may(self, needs: Needs) -> bool:
        return RANKS[self.scope] >= RANKS[needs]

    def sees(self, collection: str) -> bool:
        return self.collections is None or collection in self.collections

    def check(self, collection: str) -> None:
        """Raises NotFound for a collection that is not this caller's, as if it were not there."""
        if not self.sees(collection):
            raise NotFound(f"collection {collection!r:.80} does not exist.")

    def tenant_for(self, given: str | None) -> str | None:
        """The tenant of a request: the caller's own, whatever was given. Raises Forbidden for another's."""
        if self.tenant is not None and given not in (None, self.tenant):
            raise Forbidden("the key is for the documents of another tenant.")
        return self.tenant or given


class Guarded:
    """An ASGI application to mount, and the scope that all of it needs: `app.mount("/mcp", Guarded(mcp, "read"))`."""

    def __init__(self, app: ASGIApp, needs: Needs) -> None:
        self._app, self.needs = app, needs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        require(scope, self.needs)
        await self._app(scope, receive, send)


def require(scope: MutableMapping[str, Any], needs: Needs) -> Caller:
    """Whoever asks, found out by the gate (`semsearch.web.gate`). Raises Forbidden where the key is not enough."""
    caller = exchange.of(scope).caller
    if needs in ("anybody", "visit"):
        return caller or NOBODY
    assert caller is not None, "no gate was passed"
    if not caller.may(needs):
        raise Forbidden(f"this needs a key with scope {needs!r}; the one that was given has {caller.scope!r}.")
    return caller


NOBODY = Caller(scope="read", collections=frozenset())


async def _read(request: Request, _: Sent) -> Caller:
    return require(request.scope, "read")


async def _write(request: Request, _: Sent) -> Caller:
    return require(request.scope, "write")


async def _admin(request: Request, _: Sent) -> Caller:
    return require(request.scope, "admin")


async def _anybody(request: Request) -> None:
    """For what shows nothing of anybody's: the page's files, health, the description of the API."""


async def _visit(request: Request) -> Caller | None:
    """For the page as a whole, which a browser asks for without a key: the caller where none is needed."""
    return exchange.of(request.scope).caller


DECLARED: dict[Any, Needs] = {_anybody: "anybody", _visit: "visit", _read: "read", _write: "write", _admin: "admin"}

Reader: TypeAlias = Annotated[Caller, Depends(_read)]
Writer: TypeAlias = Annotated[Caller, Depends(_write)]
Admin: TypeAlias = Annotated[Caller, Depends(_admin)]
Anybody: TypeAlias = Annotated[None, Depends(_anybody)]
Visitor: TypeAlias = Annotated[Caller | None, Depends(_visit)]
