"""Which errors may pass by themselves, so that waiting helps."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from semsearch.errors import DatabaseUnavailable
from semsearch.store.complaints import is_away


def connecting(said: str) -> DatabaseUnavailable:
    """As Address.connect raises it."""
    try:
        raise DatabaseUnavailable("cannot connect") from psycopg.OperationalError(f"connection failed: {said}")
    except DatabaseUnavailable as error:
        return error


@pytest.mark.parametrize(
    ("said", "away"),
    [
        ('connection to server at "127.0.0.1", port 1 failed: Connection refused', True),
        ("connection timeout expired", True),
        ("FATAL:  the database system is starting up", True),
        ("FATAL:  the database system is not yet accepting connections", True),
        ("FATAL:  sorry, too many clients already", True),
        ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", True),
        ("FATAL:  server login has been failing, try again later (server_login_retry)", True),
        ('connection to server on socket "/run/.s.PGSQL.5432" failed: No such file or directory', True),
        ("SSL connection has been closed unexpectedly", True),
        ('FATAL:  password authentication failed for user "anna"', False),
        ("FATAL:  SASL authentication failed", False),
        ('FATAL:  database "texts" does not exist', False),
        ('FATAL:  role "anna" does not exist', False),
        ("FATAL:  no such database: texts", False),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "anna"', False),
        ("fe_sendauth: no password supplied", False),
        ("FATAL:  unsupported startup parameter: options", False),
    ],
)
def test_a_connection_that_is_refused(said: str, away: bool) -> None:
    assert is_away(connecting(said)) is away


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (errors.AdminShutdown(), True),
        (errors.CrashShutdown(), True),
        (errors.CannotConnectNow(), True),
        (errors.TooManyConnections(), True),
        (errors.ConnectionFailure(), True),
        (errors.IdleInTransactionSessionTimeout(), True),
        (psycopg.OperationalError("the database has not answered for 12 s"), True),
        (errors.DiskFull(), False),
        (errors.QueryCanceled(), False),
        (errors.UniqueViolation(), False),
        (DatabaseUnavailable("the database has no pgvector"), False),
    ],
)
def test_an_error_in_the_middle(error: Exception, away: bool) -> None:
    assert is_away(error) is away
