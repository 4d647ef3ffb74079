"""Turns what PostgreSQL and its driver complain of into this package's errors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import psycopg
from psycopg import errors
from sqlalchemy.exc import DBAPIError

from semsearch.errors import Conflict, DatabaseUnavailable, InvalidInput, NotFound, SemsearchError

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


def is_lost(error: Exception) -> bool:
    """Whether the connection is gone: cut, or ended by the server (57P01 to 57P03, 08xxx)."""
    cause = reason(error)
    state = getattr(cause, "sqlstate", None)
    return isinstance(cause, psycopg.OperationalError) and (state is None or state.startswith(("57P", "08")))


def translate(error: Exception) -> SemsearchError:
    """What it means to whoever called us, in one sentence."""
    cause = reason(error)
    said = _sentence(cause)
    match cause:
        case errors.UndefinedTable() if "semsearch.chunks_" in said:
            return NotFound("the collection has been dropped: create it anew, or open another one.")
        case errors.DependentObjectsStillExist():
            return Conflict(f"{said}; drop what depends on it first.")
        case errors.InsufficientPrivilege():
            return DatabaseUnavailable(f"the database's role may not do this: {said}.")
        case errors.ReadOnlySqlTransaction():
            return DatabaseUnavailable("the database is read-only: connect to the primary server.")
        case psycopg.DataError():
            return InvalidInput(f"PostgreSQL cannot store this: {said}.")
    return DatabaseUnavailable(f"the database failed: {said}.")


def _sentence(cause: BaseException) -> str:
    """The first sentence of the message, without the statement and the hints that follow it."""
    primary = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return " ".join((primary or str(cause)).split()).rstrip(".")
