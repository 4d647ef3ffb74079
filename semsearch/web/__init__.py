"""The HTTP door: an API for applications, and the page at `/`.

from semsearch import web

with semsearch.connect() as db:
    app = web.create_app(db, web.Options())     # an ASGI application; `semsearch serve` runs it
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semsearch.web.options import Options as Options

if TYPE_CHECKING:
    from fastapi import FastAPI

    from semsearch.database import Database


def create_app(database: Database, options: Options) -> FastAPI:
    """The application on this database. Raises RuntimeError for a route that does not say who may use it."""
    from semsearch.web import app

    return app.create(database, options)
