"""The doctor's judgement on servers one seldom has at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from semsearch.cli import checks
from semsearch.config import Settings
from semsearch.store import migrate

GOOD = {
    "server_number": 180004,
    "server": "18.4",
    "pgvector": "0.8.5",
    "pgvector_available": "0.8.5",
    "pgvector_hidden": None,
    "pgvector_shown_by": "ALTER DATABASE d SET search_path = public, ext",
}


@pytest.mark.parametrize(
    ("found", "state", "says"),
    [
        ({}, "ok", ""),
        ({"pgvector": None}, "ok", ""),
        ({"pgvector": "0.8.2"}, "warn", "0.8.4"),
        ({"pgvector": "0.8.1"}, "warn", "0.8.2"),
        ({"pgvector": "0.7.4"}, "fail", "ALTER EXTENSION"),
        ({"pgvector": None, "pgvector_available": None}, "fail", "Install it"),
        ({"pgvector_hidden": "ext"}, "fail", "ALTER DATABASE d SET search_path = public, ext"),
    ],
    ids=str,
)
def test_pgvector_must_be_there_and_recent(found: dict[str, Any], state: str, says: str) -> None:
    check = checks.pgvector({**GOOD, **found})
    assert check.state == state
    assert says in check.advice


def test_the_server_must_be_recent() -> None:
    assert checks.server(GOOD).state == "ok"
    assert checks.server({**GOOD, "server_number": 140012, "server": "14.12"}).state == "fail"


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (150015, "warn"),
        (150016, "ok"),
        (160011, "warn"),
        (170008, "ok"),
        (180001, "warn"),
        (180002, "ok"),
        (190000, "ok"),
    ],
)
def test_minor_versions_with_known_holes_are_told(number: int, state: str) -> None:
    check = checks.server({**GOOD, "server_number": number})
    assert check.state == state
    assert bool(check.advice) == (state == "warn")


@pytest.mark.parametrize(
    ("revision", "embedded", "state", "says"),
    [
        (migrate.head(), False, "ok", ""),
        (None, True, "ok", ""),
        (None, False, "fail", "semsearch migrate"),
        ("9999", False, "fail", "Upgrade semsearch"),
        ("9999", True, "fail", "Upgrade semsearch"),
    ],
)
def test_the_schema_must_be_the_one_of_this_program(
    revision: str | None, embedded: bool, state: str, says: str
) -> None:
    check = checks.schema({**GOOD, "revision": revision}, embedded=embedded)
    assert check.state == state
    assert says in check.advice


def test_a_device_that_is_not_there_is_a_failure() -> None:
    assert checks.device(Settings(device="cpu")).state == "ok"
    assert checks.device(Settings(device="auto")).state == "ok"
    missing = checks.device(Settings(device="mps"))  # Apple's, so not on the machines that run these tests in CI
    assert (missing.state, missing.advice) in [("ok", ""), ("fail", "Unset SEMSEARCH_DEVICE.")]


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize(("free", "state"), [(3 * 1024**3, "ok"), (1024**3, "warn"), (100 * 1024**2, "fail")])
def test_room_is_looked_for_where_the_data_will_be(
    free: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda folder: asked.append(folder) or Usage(free))
    assert checks.disk(Settings(home=tmp_path / "not" / "yet")).state == state
    assert asked == [tmp_path]


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"SEMSEARCH_DATABASE_URL": "postgresql://anna:s3cret@db/texts"}, "because of SEMSEARCH_DATABASE_URL"),
        ({"PGHOST": "db", "PGDATABASE": "texts"}, "because of PGHOST, PGDATABASE"),
        ({}, "the embedded server"),
    ],
)
def test_the_setting_that_names_the_database_is_named(
    environment: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    check = checks.which_database(Settings(), "SEMSEARCH_DATABASE_URL")
    assert says in check.found
    assert "s3cret" not in check.found
