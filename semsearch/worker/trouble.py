"""What an error from the database means: for one collection, for this program, or only that the database is away."""

from __future__ import annotations

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from semsearch.errors import Conflict, DatabaseUnavailable, NotFound, SchemaMismatch, SemsearchError
from semsearch.store import complaints, source
from semsearch.store.spaces import Space
from semsearch.store.transactions import CONFLICTS
from semsearch.work import Locked


def concerns_database(error: Exception) -> bool:
    return isinstance(error, DatabaseUnavailable) or complaints.is_from_database(error)


def is_conflict(error: Exception) -> bool:
    """Whether two met who wanted the same, or a table is locked for a while: to be tried again, and no news."""
    return isinstance(error, Locked) or isinstance(complaints.reason(error), CONFLICTS)


def sentence(error: Exception) -> str:
    """What the error says, without the statement and its values."""
    return str(complaints.translate(error) if complaints.is_from_database(error) else error)


def cause(error: Exception) -> str:
    """Why a collection is blocked, for people."""
    return str(error) if isinstance(error, SemsearchError) else f"unexpected {type(error).__name__}: see the log."


def meaning(error: Exception, engine: Engine, space: Space) -> Exception:
    """What an error met while working on a collection means.

    NotFound: the collection has been dropped; Conflict: its table, our rights to it or its data keep us from it;
    SchemaMismatch: this program is too old. Anything else stays what it is: the database must be waited for.
    """
    if not complaints.is_from_database(error) or complaints.is_lost(error):
        return error
    if space.attachment is not None:
        try:
            with engine.connect() as connection:
                problem = source.check(connection, space)
        except DBAPIError as another:
            if not isinstance(complaints.translate(another), NotFound):
                raise
            return complaints.translate(another)
        if problem:
            return Conflict(problem)
    meant = complaints.translate(error)
    state = getattr(complaints.reason(error), "sqlstate", None) or ""
    refused = state.startswith("42") or complaints.blames_data(error)
    if isinstance(meant, NotFound) or (isinstance(meant, SchemaMismatch) and space.attachment is None):
        return meant
    return Conflict(str(meant)) if refused else error
