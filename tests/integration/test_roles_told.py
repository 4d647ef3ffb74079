"""What the command line tells members of each role: as much as they may see, and what they may not."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from pydantic import SecretStr

import semsearch
from tests.integration import roles
from tests.integration.command_line import Cli, answer
from tests.integration.roles import login, settings_of, url_of
from tests.provider import Provider


@pytest.fixture(scope="module")
def furnished(
    module_database_url: str, provider_process: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """A database with one of everything, embedded, and somebody of every role; `mallory` is a member of none."""
    folder = tmp_path_factory.mktemp("roles")
    settings = settings_of(module_database_url, "reader", provider_process, folder)
    settings = settings.model_copy(update={"database_url": SecretStr(module_database_url)})
    with (
        psycopg.connect(module_database_url, autocommit=True) as sql,
        roles.people(sql, "mallory", "tenant"),
        semsearch.connect(settings=settings) as db,
    ):
        roles.furnish(db, sql, folder, login("tenant"))
        roles.put(db)
        for name in db.names():
            db.collection(name).work()
        yield
        for name in db.names():
            db.drop_collection(name)


@pytest.mark.parametrize("role", ["reader", "writer", "worker"])
def test_status_tells_what_the_role_may_see(furnished: object, module_database_url: str, cli: Cli, role: str) -> None:
    url = url_of(module_database_url, role)
    told = answer(cli("--database-url", url, "status", "--json"))["collections"]
    found = {one["name"]: one for one in told}
    plain, tickets = found["plain"], found["tickets"]
    assert (plain["documents"], plain["coverage"], plain["backlog"]) == (2, 1, 0)
    if role == "worker":
        assert (tickets["documents"], plain["tokens_today"] > 0) == (3, True)
    else:
        assert (tickets["documents"], tickets["backlog"], tickets["coverage"], tickets["failed"]) == (0, *[None] * 3)
        assert (plain["tokens_today"], plain["hit_rate"]) == (None, None)
    assert "tickets" in cli("--database-url", url, "status").out
    assert "backlog" in cli("--database-url", url, "status", "tickets").out
    assert "articles" in cli("--database-url", url, "collections").out


@pytest.mark.parametrize("role", roles.ROLES)
def test_every_role_is_told_what_the_roles_may(
    furnished: object, module_database_url: str, cli: Cli, role: str
) -> None:
    told = answer(cli("--database-url", url_of(module_database_url, role), "roles", "list", "--json"))["roles"]
    assert all(each["rights"] for each in told)


CHECKED = ("collections", "triggers", "indexes", "failures", "workers", "tables")
UNCHECKED = {
    "reader": ["collections", "failures", "workers"],
    "writer": ["collections", "failures", "workers"],
    "worker": ["failures"],
    "admin": [],
}


@pytest.mark.parametrize("role", roles.ROLES)
def test_the_doctor_says_what_a_role_may_not_check_and_checks_the_others(
    furnished: object, module_database_url: str, cli: Cli, role: str
) -> None:
    shown = answer(cli("--database-url", url_of(module_database_url, role), "doctor", "--json"))["checks"]
    found = {check["name"]: check for check in shown}
    refused = {name: found[name]["found"] for name in CHECKED if found[name]["found"].startswith("not checked: ")}
    assert list(refused) == UNCHECKED[role]
    assert all("permission denied for" in said for said in refused.values())


def test_the_doctor_of_a_role_without_rights_sees_versions(
    furnished: object, module_database_url: str, cli: Cli
) -> None:
    shown = answer(cli("--database-url", url_of(module_database_url, "mallory"), "doctor", "--json"))["checks"]
    found = {check["name"]: check["found"] for check in shown}
    assert found["schema"] == "not checked: permission denied for schema semsearch"
    assert {"connection", "PostgreSQL", "pgvector", "model", "device"} <= found.keys()
