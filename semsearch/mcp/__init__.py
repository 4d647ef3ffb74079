"""The door for assistants: a server of the Model Context Protocol, with the tools `collections`, `search` and `get`.

    from semsearch import mcp

    with semsearch.connect() as db:
        mcp.serve(db, mcp.Bounds(collections=frozenset({"handbook"})))      # over standard input and output

`semsearch mcp` runs that; `semsearch serve` offers the same tools at `/mcp`, within what the caller's key allows.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from semsearch.errors import InvalidInput
from semsearch.mcp.bounds import Bounds as Bounds

if TYPE_CHECKING:
    from semsearch.database import Database
    from semsearch.mcp.wire import Wire


def is_there() -> bool:
    """Whether the protocol's library is installed."""
    return importlib.util.find_spec("mcp") is not None


def require() -> None:
    """Raise InvalidInput, which says how to install it, where it is not."""
    if not is_there():
        raise InvalidInput("assistants are served with the library mcp: pip install 'semsearch[mcp]'.")


def serve(database: Database, bounds: Bounds, wire: Wire | None = None) -> None:
    """Answer on standard input and output (or a wire that is open already) until the client ends. Raises InvalidInput.

    Whatever else is printed meanwhile goes to standard error.
    """
    require()
    from semsearch.mcp import stdio

    stdio.serve(database, bounds, wire)
