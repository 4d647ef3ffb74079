"""Everything the README shows is run, and everything it lists exists."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import psycopg
import pytest

import semsearch
from semsearch.cli import commands
from semsearch.config import Settings
from semsearch.store.server import binaries

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.M | re.S)
    assert found, title
    return found[1]


def block(title: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", section(title), re.S)
    assert found, (title, language)
    return found[1]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def run(command: str, url: str) -> str:
    """A shell line of the README, with this interpreter's semsearch."""
    command = command.replace("semsearch ", f"{shlex.quote(sys.executable)} -m semsearch ")
    environment = {**os.environ, "SEMSEARCH_DATABASE_URL": url}
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


@pytest.mark.model
def test_python_tour_then_psql_tour(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMSEARCH_DATABASE_URL", database_url)
    shown = io.StringIO()
    with redirect_stdout(shown):
        exec(block("In Python", "python"), {})
    assert re.fullmatch(r"0\.\d\d a: To reset your password, open Settings and choose Security\.\n", shown.getvalue())
    psql = [str(binaries.find() / "psql"), "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-At", "-d", database_url]
    done = subprocess.run(psql, input=block("In psql", "sql"), capture_output=True, text=True, check=False)
    assert done.stderr == ""
    # The first statement finds a alone (b is older); the second both, a being nearest to itself.
    assert [line.partition("|")[0] for line in done.stdout.splitlines()] == ["a", "a", "b"]


@pytest.mark.model
def test_command_line_tour(database_url: str) -> None:
    shown = {}
    for line in block("On the command line", "console").splitlines():
        command = line.removeprefix("$ ")
        shown[command.split()[1] if command.startswith("semsearch") else "ingest"] = run(command, database_url)
    assert "Bicycles are kept in the cellar." in shown["search"]
    assert "Bicycles are kept in the cellar." in shown["get"]
    assert "notes" in shown["status"]
    assert "--sql" in README
    assert "ORDER BY" in run('semsearch search notes "I cannot log in" --sql', database_url)


@pytest.mark.model
def test_the_tours_of_search_index_tenants_and_fields(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMSEARCH_DATABASE_URL", database_url)
    with redirect_stdout(io.StringIO()):
        exec(block("In Python", "python"), {})
    with semsearch.connect() as db:
        exec(block("Search", "python"), {"notes": db.collection("notes")})
        db.collection("notes").create_index()
    shown = {}
    for title in ("Search", "The index", "Tenants", "Fields"):
        for line in block(title, "console").splitlines():
            if "index create" not in line:  # that it has one already is said in a sentence
                shown[line.removeprefix("$ ")] = run(line.removeprefix("$ "), database_url)
    assert "burns" in next(out for line, out in shown.items() if line.startswith("semsearch search tickets"))
    assert "acme" in shown["semsearch tenants list tickets"]


@pytest.mark.model
def test_filters_tour(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMSEARCH_DATABASE_URL", database_url)
    with redirect_stdout(io.StringIO()):
        exec(block("In Python", "python"), {})
    names: dict[str, object] = {}
    exec(block("Filters", "python"), names)
    with semsearch.connect() as db:
        db.collection("notes").search("anything", filter=names["filter"])  # type: ignore[arg-type]
    run(block("Filters", "console").removeprefix("$ ").strip(), database_url)


@pytest.mark.model
def test_attached_table_tour_then_workers_tour(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(block("A table you already have", "sql"))
    shown = {}
    for title in ("A table you already have", "Workers"):
        for line in block(title, "console").splitlines():
            shown[line.split()[2]] = run(line.removeprefix("$ "), database_url)
    assert "The library opens at nine." in shown["search"]
    assert "library" in shown["status"]


def test_every_setting_is_in_the_table_as_it_is_described() -> None:
    described = {name: field.description for name, field in Settings.model_fields.items()}
    listed = {cells[0].strip("`"): cells[1] for cells in rows("Settings")}
    assert listed == {f"SEMSEARCH_{name.upper()}": text for name, text in described.items()}


def test_every_path_of_the_code_map_exists_and_every_module_is_in_it() -> None:
    paths = {path for cells in rows("Code map") for path in re.findall(r"`([\w/.]+)`", cells[0])}
    assert [path for path in paths if not (ROOT / path).exists()] == []
    modules = [path for path in (ROOT / "semsearch").iterdir() if not path.name.startswith("__")]
    assert {f"semsearch/{path.name}{'/' if path.is_dir() else ''}" for path in modules} <= paths


def test_every_command_shown_exists() -> None:
    shown = set(re.findall(r"^\$ (?:.*\| )?semsearch (\w+)", README, re.M))
    shown |= set(re.findall(r"`semsearch (\w+)", README))
    assert shown <= set(commands.COMMANDS)


def test_every_make_target_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"make ([a-z]+)", README)) <= targets


def test_exported_names_are_sorted_and_there() -> None:
    assert semsearch.__all__ == sorted(semsearch.__all__)
    assert all(hasattr(semsearch, name) for name in semsearch.__all__)


def test_no_file_is_too_long() -> None:
    sources = [path for folder in ("semsearch", "migrations", "tests") for path in (ROOT / folder).rglob("*.py")]
    ours = [path for path in sources if not path.is_relative_to(ROOT / "tests/benchmarks/results")]
    assert [str(path) for path in ours if len(path.read_text(encoding="utf-8").splitlines()) > 500] == []
