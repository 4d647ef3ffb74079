"""Schema changes that are cut off, undone, or made under a program that runs; databases moved by dump and restore.

Faults P20, P21 and W10.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from psycopg import conninfo
from pydantic import SecretStr
from sqlalchemy import Engine, event

import semsearch
from semsearch.collection import Collection
from semsearch.config import Settings, parse
from semsearch.errors import DatabaseUnavailable, SchemaMismatch
from semsearch.store import connection as connections
from semsearch.store import migrate
from semsearch.store.server import binaries
from tests.conftest import fresh_database
from tests.faults import stored
from tests.integration.hands import MODEL, Hands
from tests.integration.test_migrations import objects, run
from tests.provider import Provider

Sql = psycopg.Connection[Any]


@pytest.fixture
def admin(empty_database_url: str) -> Iterator[Sql]:
    with psycopg.connect(parse(empty_database_url), autocommit=True) as connection:
        yield connection


def settings_of(url: str, home: Path, provider: Provider | None = None) -> Settings:
    asked = {"openai_api_key": SecretStr("sk-test"), "openai_base_url": provider.url} if provider else {}
    return Settings(database_url=url, home=home, **asked)


def upgrade(settings: Settings) -> None:
    with connections.Address(settings) as address:
        migrate.upgrade(address)


@contextmanager
def ended_at(number: int, admin: Sql) -> Iterator[list[str]]:
    """Ends the session of whoever executes its so-manieth statement; yields the statements executed so far."""
    seen: list[str] = []

    def look(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)
        if len(seen) == number:
            pid = cursor.connection.info.backend_pid
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))

    event.listen(Engine, "before_cursor_execute", look)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", look)


@pytest.mark.parametrize("part", range(4))
def test_a_migration_cut_off_at_any_statement_leaves_nothing_and_runs_again(
    part: int, empty_database_url: str, admin: Sql, tmp_path: Path
) -> None:
    settings = settings_of(empty_database_url, tmp_path)
    number = part + 1
    while True:
        with ended_at(number, admin) as seen:
            try:
                upgrade(settings)
            except DatabaseUnavailable as error:
                assert "\n" not in str(error)
        if len(seen) < number:
            break  # it has come to its end
        assert objects(admin) == []
        number += 4  # the other parts take the statements between
    assert number > 40
    whole = objects(admin)
    assert admin.execute("SELECT version_num FROM semsearch.alembic_version").fetchall() == [(migrate.head(),)]
    upgrade(settings)
    assert objects(admin) == whole


def test_a_full_database_goes_down_and_up_again_and_on(
    empty_database_url: str, admin: Sql, tmp_path: Path, provider: Provider
) -> None:
    settings = settings_of(empty_database_url, tmp_path, provider)
    upgrade(settings)
    texts = stored.texts(20)
    with semsearch.connect(settings=settings) as db:
        notes = db.create_collection("notes", model=MODEL)
        notes.put(stored.documents(dict(list(texts.items())[:10])))
        notes.put(stored.documents(texts), wait=False)
        before = objects(admin)
    for revision in reversed(migrate.revisions()[:-1]):
        run(settings, command.downgrade, revision)
        with pytest.raises(SchemaMismatch, match="run `semsearch migrate`"):
            semsearch.connect(settings=settings)
        for number in (1, 5, 9):
            with ended_at(number, admin), pytest.raises(DatabaseUnavailable):
                upgrade(settings)
        upgrade(settings)
        assert objects(admin) == before
    with semsearch.connect(settings=settings) as db:
        notes = db.collection("notes")
        assert notes.status().backlog == 10
        notes.work()
        stored.check(notes, texts)


# Under a program that runs


def test_a_program_whose_schema_was_changed_says_so_and_loses_nothing(notes: Collection, sql: Sql) -> None:
    texts = stored.texts(5)
    notes.put(stored.documents(texts), wait=False)
    sql.execute("ALTER TABLE semsearch.tasks RENAME COLUMN lane TO track")
    try:
        with pytest.raises(
            SchemaMismatch, match=r"schema was changed under this program: column .*lane.* Start it again"
        ):
            notes.work()
        stored.check_waiting(notes, texts)
    finally:
        sql.execute("ALTER TABLE semsearch.tasks RENAME COLUMN track TO lane")
    notes.work()
    stored.check(notes, texts)


def test_a_program_older_than_the_schema_does_not_begin(notes: Collection, sql: Sql) -> None:
    notes.put(stored.documents(stored.texts(5)), wait=False)
    sql.execute("UPDATE semsearch.alembic_version SET version_num = '9999'")
    try:
        with pytest.raises(
            SchemaMismatch, match=r"has schema 9999, newer than this semsearch knows.*upgrade semsearch"
        ):
            semsearch.connect(settings=notes._settings)
    finally:
        sql.execute("UPDATE semsearch.alembic_version SET version_num = %s", (migrate.head(),))
    notes.work()


# Dump and restore


@pytest.fixture
def dump() -> Callable[[str, str], None]:
    """A function that copies one database into another, empty one, by pg_dump and psql."""
    try:
        programs = binaries.find()
    except DatabaseUnavailable as error:
        pytest.skip(str(error))
    missing = [name for name in ("pg_dump", "psql") if not (programs / name).exists()]
    if missing:
        pytest.skip(f"{' and '.join(missing)} did not come with the embedded server")

    def copy(source: str, target: str) -> None:
        plain = subprocess.run(
            [programs / "pg_dump", "--dbname", _reachable(source)], check=True, capture_output=True
        ).stdout
        options = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null"]
        subprocess.run(
            [programs / "psql", *options, "--dbname", _reachable(target)], input=plain, check=True, capture_output=True
        )

    return copy


def _reachable(url: str) -> str:
    return conninfo.make_conninfo(parse(url))


def test_a_restored_database_goes_on_where_the_dump_was_taken(
    notes: Collection,
    dump: Callable[[str, str], None],
    hands: Any,
    module_database_url: str,
    server_conninfo: str,
    server_url: Callable[[str], str],
    tmp_path: Path,
    provider: Provider,
) -> None:
    texts = stored.texts(30)
    notes.put(stored.documents(dict(list(texts.items())[:20])))
    notes.put(stored.documents(texts), wait=False)
    worker: Hands = hands(notes)
    assert len(worker.claim()) == 10  # leased in the dump by a worker that the restored database never had
    with fresh_database(server_conninfo, server_url, "template1") as url:
        dump(module_database_url, url)
        with semsearch.connect(settings=settings_of(url, tmp_path, provider)) as db:
            restored = db.collection("notes")
            restored.work()
            stored.check(restored, texts)
            stored.check_waiting(restored, ())
            # Versions go on after those of the dump: what is written now is newer than all that was.
            texts["d000"] = "written after the restore"
            with psycopg.connect(parse(url), autocommit=True) as sql:
                sql.execute("UPDATE semsearch.documents SET text = %s WHERE id = 'd000'", (texts["d000"],))
            restored.work()
            stored.check(restored, texts)
    worker.prepare()
    worker.finish()
    stored.check(notes, {**texts, "d000": "text 0"})
