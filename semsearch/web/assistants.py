"""The door for assistants at /mcp: what their key allows, and no more."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from fastapi import FastAPI
from starlette.routing import Match, Mount
from starlette.types import Scope

from semsearch import mcp
from semsearch.mcp import Bounds
from semsearch.web import access
from semsearch.web.state import State

PATH = "/mcp"


class At(Mount):
    """Answers at its own address, too, and not only at what lies below it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        own = scope["path"].removeprefix(scope.get("root_path", "")) == self.path
        return super().matches({**scope, "path": scope["path"] + "/"} if own else scope)


def mount(app: FastAPI, state: State) -> None:
    """Where the library is installed; where it was asked for alone, InvalidInput is raised without it."""
    within = state.options.assistants
    if within is None and not mcp.is_there():
        return
    mcp.require()
    from semsearch.mcp.http import Assistants

    def bounds(scope: MutableMapping[str, Any]) -> Bounds:
        caller = access.require(scope, "read")
        return Bounds(caller.collections, caller.tenant).within(within or Bounds())

    assistants = Assistants(state.database, state.collection, bounds, state.options.search_deadline)
    state.lifespans.append(assistants.running)
    app.router.routes.append(At(PATH, access.Guarded(assistants, "read")))
