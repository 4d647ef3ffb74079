"""Turns what PostgreSQL and its driver complain of into this package's errors."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import psycopg
from psycopg import errors
from sqlalchemy.exc import DBAPIError

from semsearch.errors import (
    CollectionChanged,
    Conflict,
    DatabaseUnavailable,
    InvalidInput,
    NotFound,
    SchemaMismatch,
    SemsearchError,
)

P = ParamSpec("P")
T = TypeVar("T")


def translated(function: Callable[P, T]) -> Callable[P, T]:
    """For public methods: no error of the driver leaves them."""

    @functools.wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> T:
        try:
            return function(*arguments, **options)
        except (psycopg.Error, DBAPIError) as error:
            raise translate(error) from error

    return call


def reason(error: Exception) -> BaseException:
    """The driver's error, also where SQLAlchemy has wrapped it."""
    return error.orig or error if isinstance(error, DBAPIError) else error


def sentence(error: Exception) -> str:
    """What the database said, without a full stop."""
    return _sentence(reason(error))


def is_lost(error: Exception) -> bool:
    """Whether the connection is gone: cut, or ended by the server (57P01 to 57P05, 08xxx, 25P03, 25P04)."""
    cause = reason(error)
    state = getattr(cause, "sqlstate", None)
    if state is None:
        return isinstance(cause, psycopg.OperationalError)
    return isinstance(cause, psycopg.Error) and state.startswith(("57P", "08", "25P03", "25P04"))


# libpq hands on no SQLSTATE when a connection is refused. pgbouncer's words are here too.
_REFUSED = re.compile(
    r'authentication|no password supplied|pg_hba\.conf|(database|role) ".*" does not exist|no such (database|user)'
    r"|not permitted to log in|permission denied for database|requirepeer|unsupported startup parameter|certificate"
)


def is_away(error: Exception) -> bool:
    """Whether it may work again a little later: the connection is gone, the server starts, or has no place just now.

    Not when it refuses us, or cannot be found under that name.
    """
    cause = error.__cause__ if isinstance(error, DatabaseUnavailable) else error
    if not isinstance(cause, Exception):
        return False
    full = getattr(reason(cause), "sqlstate", None) == "53300"
    return (full or is_lost(cause)) and not _REFUSED.search(str(cause))


def refusal(error: Exception) -> str | None:
    """What the role may not do, as PostgreSQL says it; None when something else went wrong."""
    cause = reason(error)
    return _sentence(cause) if isinstance(cause, errors.InsufficientPrivilege) else None


def is_from_database(error: Exception) -> bool:
    """Whether PostgreSQL or its driver raised it."""
    return isinstance(reason(error), psycopg.Error)


def blames_data(error: Exception) -> bool:
    """Whether what was to be stored is at fault: a value out of range (22), or too large for an index (54)."""
    return (getattr(reason(error), "sqlstate", None) or "").startswith(("22", "54"))


def translate(error: Exception) -> SemsearchError:
    """What it means to whoever called us, in one sentence."""
    cause = reason(error)
    said = _sentence(cause)
    match cause:
        case errors.UndefinedTable() if "semsearch.chunks_" in said:
            return NotFound("the collection has been dropped: create it anew, or open another one.")
        case errors.UndefinedColumn() if _CHANGEABLE.search(said):
            return CollectionChanged(
                "the fields or the language of the collection have changed since it was opened: open it again."
            )
        case errors.DependentObjectsStillExist():
            return Conflict(f"{said}; drop what depends on it first.")
        case errors.InsufficientPrivilege():
            return DatabaseUnavailable(f"the database's role may not do this: {said}.")
        case errors.UndefinedTable() | errors.UndefinedColumn() | errors.UndefinedFunction() if _is_ours(said):
            return SchemaMismatch(
                f"the database's schema was changed under this program: {said}. Start it again; `semsearch doctor` "
                "says whether the schema or semsearch must be upgraded."
            )
        case errors.DiskFull():
            return DatabaseUnavailable(
                f"the database's disk is full: {said}. Nothing is lost: free space there, then go on."
            )
        case errors.ReadOnlySqlTransaction():
            return DatabaseUnavailable("the database is read-only: connect to the primary server.")
        case errors.InvalidParameterValue():  # our own SQL functions say it in a sentence, as those that follow
            return InvalidInput(f"{said}.")
        case errors.NoDataFound():
            return NotFound(f"{said}.")
        case errors.LockNotAvailable():
            return Conflict(f"another transaction keeps the table locked ({said}): try again when it has ended.")
        case errors.ObjectNotInPrerequisiteState() | errors.ObjectInUse():
            return Conflict(f"{said}.")
        case psycopg.DataError():
            return InvalidInput(f"PostgreSQL cannot store this: {said}.")
    return DatabaseUnavailable(f"the database failed: {said}.")


# Columns of the chunks that come and go with the collection's settings.
_CHANGEABLE = re.compile(r'^column "?(?:\w+\.)?(?:field_\d+|terms)"? ')


def _is_ours(said: str) -> bool:
    """Whether the object that is not there is one of semsearch's own; columns come without their schema."""
    return said.startswith("column ") or "semsearch." in said


def _sentence(cause: BaseException) -> str:
    """The first sentence of the message, without the statement and the hints that follow it."""
    primary = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return " ".join((primary or str(cause)).split()).rstrip(".")
