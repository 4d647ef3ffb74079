"""What every address needs: read off the routes once, asked before a request reaches any of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.routing import Mount

from semsearch.web import access
from semsearch.web.access import Needs

# By the last part of an address: what a model or an index has to work for, ...
SEARCHES = ("search", "similar", "recommend", "facets", "embeddings", "mcp", "main", "hits", "explain", "parts", "")
# ... what is read while it comes, what is a file, and what is answered for as long as somebody listens.
STREAMS, UPLOADS, EVENTS = ("bulk",), ("{filename:any}",), ("events",)


@dataclass(frozen=True)
class Rule:
    """`methods` None: all of them. `template` is the address as the route spells it, for logs and metrics."""

    template: str
    pattern: re.Pattern[str]
    methods: frozenset[str] | None
    needs: Needs

    @property
    def _end(self) -> str:
        return self.template.rpartition("/")[2]

    @property
    def is_search(self) -> bool:
        return self._end in SEARCHES

    @property
    def is_texts(self) -> bool:
        """Whether it takes many texts, though it stores none."""
        return self._end == "embeddings"

    @property
    def is_stream(self) -> bool:
        return self._end in STREAMS

    @property
    def is_upload(self) -> bool:
        return self._end in UPLOADS

    @property
    def is_events(self) -> bool:
        return self._end in EVENTS

    def takes(self, method: str) -> bool:
        return self.methods is None or method in self.methods


class Rules:
    """All of an application, in the order in which its routes are tried."""

    def __init__(self, app: FastAPI) -> None:
        """Raises RuntimeError for a route, a mount or a websocket that does not say who may use it."""
        self.all = [_rule(context) for context in iter_route_contexts(app.routes)]

    def at(self, path: str) -> list[Rule]:
        return [rule for rule in self.all if rule.pattern.match(path)]


def find(rules: Iterable[Rule], method: str) -> Rule | None:
    """The first that takes the method; HEAD is a GET without its body."""
    return next((rule for rule in rules if rule.takes("GET" if method == "HEAD" else method)), None)


def _rule(context: RouteContext) -> Rule:
    route: Any = context.original_route
    if isinstance(route, APIRoute):
        declared = set(_declared(context.dependant))
        if len(declared) != 1:
            which = " and ".join(sorted(declared)) or "nobody"
            raise RuntimeError(
                f"{context.path} does not say who may use it ({which}): it takes exactly one of access.Reader, Writer, "
                "Admin, Visitor and Anybody."
            )
        methods = frozenset(context.methods or ())
        return Rule(str(context.path), context.path_regex, methods, declared.pop())
    if isinstance(route, Mount) and isinstance(route.app, access.Guarded):
        # A mount answers at its own address, too: the framework's pattern wants a slash behind it.
        path = str(context.path)
        return Rule(path, re.compile(f"^{re.escape(path)}(/.*)?$", re.DOTALL), None, route.app.needs)
    raise RuntimeError(f"{context.path} does not say who may use it: mount an access.Guarded, or use a router.")


def _declared(dependant: Dependant) -> Iterable[Needs]:
    for each in dependant.dependencies:
        if each.call in access.DECLARED:
            yield access.DECLARED[each.call]
        yield from _declared(each)
