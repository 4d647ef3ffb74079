"""The tree of errors: every class has its own code, and what came from the driver is said in one sentence."""

from __future__ import annotations

import pytest
from psycopg import errors as driver
from sqlalchemy.exc import OperationalError, ProgrammingError

import semsearch
from semsearch import errors
from semsearch.store import complaints

TREE = {
    "InvalidInput": "SemsearchError",
    "FilterError": "InvalidInput",
    "IngestError": "InvalidInput",
    "TooLarge": "InvalidInput",
    "TooSlow": "InvalidInput",
    "UnsupportedMedia": "InvalidInput",
    "Unauthorized": "SemsearchError",
    "Forbidden": "SemsearchError",
    "NotFound": "SemsearchError",
    "Conflict": "SemsearchError",
    "CollectionChanged": "Conflict",
    "PreconditionFailed": "Conflict",
    "Overloaded": "SemsearchError",
    "TooManyRequests": "Overloaded",
    "DeadlineExceeded": "SemsearchError",
    "DatabaseUnavailable": "SemsearchError",
    "SchemaMismatch": "DatabaseUnavailable",
    "ModelUnavailable": "SemsearchError",
    "BudgetExhausted": "ModelUnavailable",
    "ProviderBusy": "ModelUnavailable",
    "UnusableEmbedding": "ModelUnavailable",
}


def classes() -> dict[str, type[errors.SemsearchError]]:
    found = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    return {name: value for name, value in found.items() if issubclass(value, errors.SemsearchError)}


def test_the_tree_is_as_the_docstring_draws_it() -> None:
    assert {name: value.__base__.__name__ for name, value in classes().items() if name != "SemsearchError"} == TREE  # type: ignore[union-attr]
    for name in TREE:
        assert name in (errors.__doc__ or "")
        assert getattr(semsearch, name) is classes()[name]


def test_codes_are_unique_and_stable() -> None:
    codes = {name: value.code for name, value in classes().items()}
    assert len(set(codes.values())) == len(codes)
    assert codes["NotFound"] == "not_found"
    assert codes["FilterError"] == "invalid_filter"


def test_details_are_there_for_programs() -> None:
    filter_error = errors.FilterError("$.year.$gte", "a number is wanted.")
    assert (filter_error.path, str(filter_error)) == ("$.year.$gte", "filter $.year.$gte: a number is wanted.")
    assert errors.IngestError("no", {"a": "why"}).reasons == {"a": "why"}
    assert errors.ProviderBusy("busy", 3.0).retry_after == 3.0
    assert errors.ProviderBusy("busy").retry_after is None


@pytest.mark.parametrize(
    ("complaint", "kind", "words"),
    [
        (driver.UndefinedTable('relation "semsearch.chunks_3" does not exist'), errors.NotFound, "has been dropped"),
        (driver.UndefinedTable('relation "other" does not exist'), errors.DatabaseUnavailable, "other"),
        (driver.DependentObjectsStillExist("view depends"), errors.Conflict, "drop what depends on it first"),
        (driver.InsufficientPrivilege("permission denied for table tasks"), errors.DatabaseUnavailable, "table tasks"),
        (driver.ReadOnlySqlTransaction("cannot execute INSERT"), errors.DatabaseUnavailable, "read-only"),
        (driver.NumericValueOutOfRange("out of range"), errors.InvalidInput, "cannot store"),
        (driver.DiskFull("could not extend file\nHINT: Check free disk space."), errors.DatabaseUnavailable, "extend"),
        (driver.AdminShutdown("terminating connection"), errors.DatabaseUnavailable, "terminating"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_complaints_of_the_driver_become_ours(
    complaint: Exception, kind: type[Exception], words: str, wrapped: bool
) -> None:
    @complaints.translated
    def fail() -> None:
        raise ProgrammingError("SELECT secret", {}, complaint) if wrapped else complaint

    with pytest.raises(errors.SemsearchError) as raised:
        fail()
    assert type(raised.value) is kind
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "SELECT secret" not in str(raised.value)


def test_our_own_errors_and_answers_pass_through() -> None:
    @complaints.translated
    def answer(value: int, *, more: int) -> int:
        """Adds."""
        return value + more

    @complaints.translated
    def refuse() -> None:
        raise errors.Conflict("no")

    assert answer(1, more=2) == 3
    assert answer.__doc__ == "Adds."
    with pytest.raises(errors.Conflict):
        refuse()


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (driver.AdminShutdown(), True),
        (driver.CrashShutdown(), True),
        (driver.ConnectionFailure(), True),
        (OperationalError("SELECT 1", {}, driver.AdminShutdown()), True),
        (driver.OperationalError("consuming input failed: server closed the connection"), True),
        (driver.QueryCanceled(), False),
        (driver.DeadlockDetected(), False),
        (driver.UniqueViolation(), False),
        (ValueError(), False),
    ],
)
def test_a_lost_connection_is_told_from_other_faults(error: Exception, lost: bool) -> None:
    assert complaints.is_lost(error) is lost
