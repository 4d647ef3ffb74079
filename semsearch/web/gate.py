"""The first layer: who asks, and whether they may, before a byte of a body is read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TypeVar
from urllib.parse import quote, unquote_to_bytes

import anyio
from anyio import CapacityLimiter
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from semsearch.errors import Forbidden, InvalidInput, TooManyRequests, Unauthorized
from semsearch.store import api_keys
from semsearch.store.api_keys import Found
from semsearch.web import addresses, exchange, problems, rules
from semsearch.web.access import Caller, require
from semsearch.web.exchange import Exchange
from semsearch.web.keyring import Known
from semsearch.web.limits import Buckets
from semsearch.web.rules import Rule
from semsearch.web.state import State

T = TypeVar("T")

AT_ONCE = 4  # questions about keys that the database is asked
# What a proxy adds; so does any header x-forwarded-*.
FORWARDED = ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip")
WANTED = "`Authorization: Bearer <key>`; `semsearch keys create` makes one"


class Gate:
    """Middleware that lets through what a route answers and the caller may ask."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app, self._state = app, state
        self._options = options = state.options
        self._keys = state.keys
        self._rates = Buckets(options.rate, options.burst)
        self._failures = Buckets(options.failures / 60, options.failures)
        self._limiter: CapacityLimiter | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        response = self._refused(scope) or self._find_rule(scope)
        if response is None:
            await self._admit(scope, exchange.of(scope))
        await (response or self._app)(scope, receive, send)

    async def _admit(self, scope: Scope, found: Exchange) -> None:
        """Note the caller. Raises Unauthorized, Forbidden, TooManyRequests, DatabaseUnavailable."""
        needs, headers = found.rule.needs if found.rule else "anybody", Headers(scope=scope)
        if needs == "visit":
            found.caller = await self._visitor(scope, headers)
        elif needs != "anybody":
            found.caller = await self._caller(scope, headers)
            require(scope, needs)
            self._count(found.caller)

    def _refused(self, scope: Scope) -> Response | None:
        limit = self._options.header_bytes
        if _bytes(scope) > limit:
            return problems.problem(scope, 431, "too_large", problems.head_too_large(limit))
        if not _is_utf8(scope):
            told = "the address holds bytes that are not UTF-8: percent-encode text as UTF-8."
            return problems.problem(scope, 400, InvalidInput.code, told)
        return None

    def _find_rule(self, scope: Scope) -> Response | None:
        """Note the route; the answer where there is none, or none for this method."""
        possible = self._state.rules.at(scope["path"])
        exchange.of(scope).rule = found = rules.find(possible, scope["method"])
        if found is not None:
            return None
        if not possible:
            told = "there is nothing at this address; /openapi.json lists what there is."
            return problems.problem(scope, 404, "not_found", told)
        allowed = {"allow": ", ".join(_methods(possible))}
        if scope["method"] == "OPTIONS":
            return Response(status_code=204, headers=allowed)
        told = f"{scope['method']:.20} is not possible at this address."
        return problems.problem(scope, 405, "method_not_allowed", told, headers=allowed)

    async def _caller(self, scope: Scope, headers: Headers) -> Caller:
        """Raises Unauthorized, Forbidden, TooManyRequests, DatabaseUnavailable."""
        if await self._is_open(scope, headers):
            _check_origin(scope, headers, self._options.allow_origins)
            return Caller()
        key = _bearer(headers)
        id = api_keys.id_of(key)
        if id is None:
            raise Unauthorized(f"this is not a key of semsearch: a key is sent as {WANTED}.")
        known = self._keys.known(id) or await self._look_up(scope, id, key)
        return self._valid(scope, known.found, key)

    async def _visitor(self, scope: Scope, headers: Headers) -> Caller | None:
        """Who needs no key; None for all others, and for those whom the page of another web site has sent."""
        try:
            if await self._is_open(scope, headers):
                _check_origin(scope, headers, self._options.allow_origins)
                return Caller()
        except Exception as error:  # the database is away, too: the page says so once its script asks for more
            if problems.meaning(error) is None:
                raise
        return None

    async def _is_open(self, scope: Scope, headers: Headers) -> bool:
        """Whether everybody on this machine may do everything: as long as nobody has made a key."""
        if not self._options.is_local or self._options.behind_proxy or not _is_direct(scope, headers):
            return False
        known = self._keys.is_open
        return await self._asked(self._keys.look_whether_open) if known is None else known

    async def _look_up(self, scope: Scope, id: str, key: str) -> Known:
        """Ids that nobody has ever had are looked up for as long as their sender has guesses left."""
        if not self._keys.was_valid(id):
            self._check_guesses(scope)
        return await self._asked(self._keys.look_up, id, key)

    async def _asked(self, question: Callable[..., T], *arguments: str) -> T:
        """The database's answer, asked for in a thread that no search can keep busy."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(AT_ONCE)
        return await anyio.to_thread.run_sync(question, *arguments, limiter=self._limiter)

    def _valid(self, scope: Scope, found: Found | None, key: str) -> Caller:
        if found is None or not found.is_of(key):
            self._check_guesses(scope)
            self._failures.take(self._address(scope))
            raise Unauthorized("this key is not known here.")
        known = found.key
        if known.state != "valid":
            raise Unauthorized(f"this key is {known.state}.")
        collections = None if known.collections is None else frozenset(known.collections)
        return Caller(known.id, known.scope, collections, known.tenant)

    def _check_guesses(self, scope: Scope) -> None:
        if wait := self._failures.wait(self._address(scope)):
            raise TooManyRequests("too many wrong keys came from this address; try again later.", wait)

    def _address(self, scope: Scope) -> str:
        """Who guesses. Of the addresses that a proxy tells, the last is the one that it has seen itself."""
        told = Headers(scope=scope).getlist("x-forwarded-for") if self._options.behind_proxy else []
        return addresses.network(told[-1].rpartition(",")[2] if told else addresses.peer(scope))

    def _count(self, caller: Caller) -> None:
        if caller.key_id is not None and (wait := self._rates.take(caller.key_id)):
            limit = f"{self._options.rate:g} requests a second"
            raise TooManyRequests(f"this key may make {limit}, {self._options.burst} at once.", wait)


def _bearer(headers: Headers) -> str:
    given = headers.getlist("authorization")
    if not given:
        raise Unauthorized(f"a key is needed: {WANTED}.")
    kind, _, key = given[0].partition(" ")
    if len(given) > 1 or kind.lower() != "bearer":
        raise Unauthorized(f"a key is sent as {WANTED}.")
    return key.strip()


def _is_direct(scope: Scope, headers: Headers) -> bool:
    """Whether a program on this machine asks by itself, and not for somebody elsewhere."""
    is_forwarded = any(name in FORWARDED or name.startswith("x-forwarded-") for name in headers)
    return addresses.is_loopback(addresses.peer(scope)) and not is_forwarded


def _check_origin(scope: Scope, headers: Headers, allowed: Collection[str]) -> None:
    """Refuse what a web page of somebody else makes the browser on this machine ask. Raises Forbidden."""
    host = headers.get("host", "")
    if len(headers.getlist("host")) != 1 or not addresses.is_loopback(addresses.name(host)):
        raise Forbidden("without a key this is for this machine alone, by its own names: 127.0.0.1, localhost, [::1].")
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
    own = f"{scope['scheme']}://{host}"
    if origin in allowed:
        return
    if origin not in (None, own) or site not in ("same-origin", "none"):
        raise Forbidden("without a key no page of another web site may ask; --allow-origin names those that may.")


def _methods(possible: Iterable[Rule]) -> list[str]:
    found = {method for rule in possible for method in rule.methods or ()}
    return sorted(found | {"OPTIONS"} | ({"HEAD"} if "GET" in found else set()))


def _bytes(scope: Scope) -> int:
    """About how long the head was."""
    headers = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    return len(_address(scope)) + len(scope["query_string"]) + headers


def _is_utf8(scope: Scope) -> bool:
    """Whether the address is: read with U+FFFD for each byte that is none, two of them would be one document's."""
    try:
        unquote_to_bytes(_address(scope) + b"?" + scope["query_string"]).decode()
    except UnicodeDecodeError:
        return False
    return True


def _address(scope: Scope) -> bytes:
    return scope.get("raw_path") or quote(scope["path"]).encode()
