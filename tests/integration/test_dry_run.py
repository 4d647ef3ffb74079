"""What an ingest would cost is told before anything is sent or written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

import semsearch
from semsearch import Document
from semsearch.collection import Collection
from semsearch.config import Settings
from semsearch.database import Database
from semsearch.errors import Conflict, InvalidInput, NotFound
from tests.integration.command_line import Cli, answer
from tests.integration.hands import MODEL
from tests.provider import Provider

Sql = psycopg.Connection[Any]


def everything(sql: Sql) -> dict[str, Any]:
    """Every row of every table of ours, and where the sequences are."""
    tables = sql.execute(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'semsearch' ORDER BY 1"
    ).fetchall()
    rows = {table: sql.execute(f"SELECT t::text FROM {table} t ORDER BY 1").fetchall() for (table,) in tables}
    rows["sequences"] = sql.execute(
        "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'semsearch' ORDER BY 1"
    ).fetchall()
    return rows


@pytest.fixture
def unchanged(sql: Sql, provider: Provider, notes: Collection) -> Iterator[None]:
    """Checks that the test wrote nothing and asked nobody. It says itself when it has prepared what it needs."""
    seen: dict[str, Any] = {}
    yield seen
    assert everything(sql) == seen["before"]
    assert provider.calls == []


@pytest.fixture
def prepared(unchanged: dict[str, Any], sql: Sql, provider: Provider) -> Any:
    def prepared() -> None:
        provider.reset()
        unchanged["before"] = everything(sql)

    return prepared


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    texts = {"a": "letters1", "b": "letters2", "c": "letters1"}
    lines = [json.dumps({"id": id, "text": text}) for id, text in texts.items()]
    path.write_text("\n".join([*lines, "{", json.dumps({"id": "d", "text": " "})]))
    return path


def test_a_dry_run_counts_and_changes_nothing(notes: Collection, rows: Path, prepared: Any) -> None:
    prepared()
    estimate = notes.estimate(rows)
    assert (estimate.documents, estimate.chunks, estimate.reused) == (4, 3, 1)
    assert estimate.tokens == 2 * 2  # "letters" and "1", in each of the two texts
    assert [one.where.rpartition(":")[2] for one in estimate.broken] == ["4"]
    assert (estimate.price, estimate.seconds) == (None, None)  # nobody knows test-model's price, or has used it


def test_what_is_stored_costs_nothing_again(notes: Collection, rows: Path, prepared: Any) -> None:
    notes.put([Document("a", "letters1"), Document("e", "letters2")])
    prepared()
    estimate = notes.estimate(rows)
    # a is as it was; b and c are not there, and that e has the text of b does not help without a cache.
    assert (estimate.chunks, estimate.reused) == (3, 1)
    assert estimate.seconds is not None and estimate.seconds > 0


def test_what_is_cached_costs_nothing(model_db: Database, notes: Collection, rows: Path, prepared: Any) -> None:
    kept = model_db.create_collection("kept", model=MODEL, chunk_size=16, cache=True)
    kept.put([Document("e", "letters2")])
    prepared()
    estimate = kept.estimate(rows)
    assert (estimate.chunks, estimate.reused) == (3, 2)


def test_a_dry_run_needs_no_key(
    module_database_url: str, notes: Collection, rows: Path, prepared: Any, tmp_path: Path
) -> None:
    prepared()
    with semsearch.connect(settings=Settings(database_url=module_database_url, home=tmp_path)) as database:
        assert database.collection("notes").estimate(rows).chunks == 3


@pytest.fixture
def articles(sql: Sql) -> Iterator[str]:
    """2,500 rows with three different texts."""
    sql.execute("CREATE TABLE public.articles (id bigint PRIMARY KEY, body text)")
    sql.execute("INSERT INTO public.articles SELECT n, 'letters' || n % 3 FROM generate_series(1, 2500) n")
    yield "public.articles"
    sql.execute("DROP TABLE public.articles")


@pytest.mark.parametrize("settings", [{"model": MODEL}, {"model": MODEL, "cache": True, "chunk_size": 16}])
def test_a_table_is_estimated_before_it_is_attached_to_a_collection_to_be_made(
    settings: dict[str, Any], module_database_url: str, articles: str, prepared: Any, tmp_path: Path
) -> None:
    prepared()
    with semsearch.connect(settings=Settings(database_url=module_database_url, home=tmp_path)) as database:
        estimate = database.estimate_attach("articles", articles, text="body", **settings)
    assert (estimate.documents, estimate.chunks) == (2500, 2500)
    portions = 1 if "cache" in settings else 10  # of at most 256 of 1,000, 1,000 and 500 rows
    assert estimate.chunks - estimate.reused == 3 * portions
    assert estimate.tokens == 2 * 3 * portions


def test_a_table_is_estimated_before_it_is_attached_to_a_collection(
    model_db: Database, notes: Collection, articles: str, prepared: Any
) -> None:
    prepared()
    assert model_db.estimate_attach("notes", articles, text="body").chunks == 2500
    with pytest.raises(Conflict, match="without settings"):
        model_db.estimate_attach("notes", articles, text="body", model=MODEL)
    with pytest.raises(InvalidInput, match="needs a model"):
        model_db.estimate_attach("other", articles, text="body")
    with pytest.raises(InvalidInput, match="chunk_size"):
        model_db.estimate_attach("other", articles, text="body", model=MODEL, chunk_size="many")
    with pytest.raises(NotFound, match=r"public\.nothing"):
        model_db.estimate_attach("notes", "public.nothing", text="body")


def test_what_an_attached_table_has_stored_costs_nothing(
    model_db: Database, notes: Collection, articles: str, prepared: Any, sql: Sql
) -> None:
    model_db.attach("notes", articles, text="body", wait=True)
    prepared()
    estimate = model_db.estimate_attach("notes", articles, text="body")
    assert (estimate.chunks, estimate.reused, estimate.price, estimate.seconds) == (2500, 2500, 0, 0)


@pytest.mark.model
def test_a_model_on_this_machine_is_measured(db: Any, model_name: str, rows: Path) -> None:
    local = db.create_collection("local", model=model_name)
    estimate = local.estimate(rows)
    assert estimate.price == 0
    assert 0 < estimate.seconds < 60
    assert local.status().documents == 0


def test_the_command_line_tells_it_without_a_key(cli: Cli, db: Any, provider: Provider, rows: Path) -> None:
    settings = db.settings.model_copy(update={"openai_api_key": SecretStr("sk-test"), "openai_base_url": provider.url})
    with semsearch.connect(settings=settings) as database:
        database.create_collection("priced", model="openai:text-embedding-3-small", chunk_size=16)
    provider.reset()
    told = answer(cli("ingest", "priced", str(rows), "--dry-run", "--json"))
    assert (told["documents"], told["chunks"], told["reused"], told["tokens"]) == (4, 3, 1, 4)
    assert told["price"] == pytest.approx(4 * 0.02 / 1e6)
    printed = cli("ingest", "priced", str(rows), "--dry-run").out
    assert "4 documents, 3 chunks, 1 at no cost" in printed
    assert "about 4 tokens: less than $0.01, time not known" in printed
    assert "1 cannot be read" in printed
    assert provider.calls == []
    assert "--prune" in cli("ingest", "priced", str(rows), "--dry-run", "--prune", code=2).err
