"""A token budget a day: never exceeded, nothing lost, and what needs no tokens goes on."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from semsearch import BudgetExhausted, Document, work, worker
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import InvalidInput, ModelUnavailable
from semsearch.store import usage
from tests.integration.command_line import Cli, answer
from tests.integration.hands import MODEL, inputs, searchable
from tests.provider import Provider

Sql = psycopg.Connection[Any]

EACH = 4  # tokens that are counted for a text of eight letters: at least what a byte-level tokenizer can make of it
DOCUMENTS = [Document(f"d{number}", f"letters{number}") for number in range(5)]
TOKENS = "SELECT coalesce(sum(tokens), 0)::int FROM semsearch.usage"


def used(sql: Sql) -> int:
    row = sql.execute(TOKENS).fetchone()
    assert row
    found: int = row[0]
    return found


def waiting(sql: Sql) -> list[str]:
    return [id for (id,) in sql.execute("SELECT document_id FROM semsearch.tasks ORDER BY 1")]


def test_work_stops_at_the_budget_and_goes_on_when_it_is_raised(
    notes: Collection, provider: Provider, sql: Sql
) -> None:
    notes.set_token_budget(3 * EACH)
    message = r"^the token budget of 12 a day of collection 'notes' is used up: 8 more .* It goes on at .* 00:00 UTC"
    with pytest.raises(BudgetExhausted, match=message) as raised:
        notes.put(DOCUMENTS)
    assert 0 < raised.value.retry_after <= 24 * 3600
    assert len(inputs(provider)) == 3
    assert used(sql) == 3 * EACH
    assert waiting(sql) == ["d3", "d4"]
    assert sorted(searchable(notes)) == ["d0", "d1", "d2"]
    assert sql.execute("SELECT count(*) FROM semsearch.leases").fetchone() == (0,)
    notes.set_token_budget(None)
    notes.work()
    assert sorted(inputs(provider)) == [document.text for document in DOCUMENTS]
    assert waiting(sql) == []


def test_work_goes_on_the_next_day(notes: Collection, provider: Provider, sql: Sql) -> None:
    notes.set_token_budget(3 * EACH)
    with pytest.raises(BudgetExhausted):
        notes.put(DOCUMENTS)
    with pytest.raises(BudgetExhausted):
        notes.work()
    assert len(inputs(provider)) == 3
    sql.execute("UPDATE semsearch.usage SET minute = minute - interval '1 day'")
    notes.work()
    assert len(searchable(notes)) == 5


def test_waiting_for_the_budget_is_no_attempt(notes: Collection, sql: Sql) -> None:
    notes.set_token_budget(EACH)
    notes.put(DOCUMENTS[:1])
    for _ in range(10):  # more often than a document is tried
        with pytest.raises(BudgetExhausted):
            notes.put(DOCUMENTS[1:2])
    notes.set_token_budget(None)
    assert notes.work().failed == {}
    assert sorted(searchable(notes)) == ["d0", "d1"]


def test_two_workers_never_count_on_the_same_tokens(
    notes: Collection, hands: Any, provider: Provider, sql: Sql
) -> None:
    notes.set_token_budget(3 * EACH)
    notes.put(DOCUMENTS, wait=False)
    one, two = hands(notes), hands(notes)
    one.claim(2)
    two.claim(3)
    one.prepare()
    two.prepare()  # before the first has stored anything
    assert len(inputs(provider)) == 3
    assert len(two.prepared.left) == 2
    assert one.finish() == ["d0", "d1"]
    assert len(two.finish()) == 1
    assert used(sql) == 3 * EACH


def test_what_needs_no_tokens_is_done_all_the_same(notes: Collection, provider: Provider, sql: Sql) -> None:
    notes.put([Document("gone", "some text"), Document("same", "some words")])
    notes.set_token_budget(1)
    provider.reset()
    notes.put([Document("same", "some words", {"year": 2024})])
    sql.execute("DELETE FROM semsearch.documents WHERE id = 'gone'")
    notes.work()
    assert inputs(provider) == []
    assert searchable(notes) == {"same": ["some words"]}
    assert waiting(sql) == []


def test_a_document_beyond_the_budget_of_a_day_fails_alone(notes: Collection, sql: Sql) -> None:
    notes.set_token_budget(EACH)
    report = notes.ingest(_Source([Document("long", "letters " * 8), DOCUMENTS[0]]))
    # 63 letters, of which the splitter makes 8 tokens; before a call at least as many are counted as there can be.
    assert report.failed == {"long": "its 32 tokens are more than the token budget of a day, 4"}
    assert list(searchable(notes)) == ["d0"]


class _Source(list[Document]):
    name, total = "source", None


def test_what_the_provider_reports_is_what_counts(notes: Collection, provider: Provider, sql: Sql) -> None:
    provider.rules(tokens=1)
    notes.put(DOCUMENTS[:2])
    assert used(sql) == 2
    notes.set_token_budget(2 + 2 * EACH)
    notes.put(DOCUMENTS[2:4])  # 2 * EACH were set aside for them
    assert used(sql) == 4


def test_tokens_of_a_call_that_failed_are_given_back(notes: Collection, provider: Provider, sql: Sql) -> None:
    notes.set_token_budget(5 * EACH)
    provider.script({"fault": "status", "status": 401})
    with pytest.raises(ModelUnavailable):
        notes.put(DOCUMENTS)
    assert used(sql) == 0
    notes.work()
    assert len(searchable(notes)) == 5


def test_a_text_in_two_documents_costs_once(notes: Collection, sql: Sql) -> None:
    notes.set_token_budget(EACH)
    notes.put([Document("a", "letters1"), Document("b", "letters1")])
    assert used(sql) == EACH


@pytest.mark.parametrize("tokens", [0, -1, 1.5, True, "many", 2**63])
def test_a_budget_is_a_number_of_tokens(tokens: Any, notes: Collection, model_db: Database) -> None:
    with pytest.raises(InvalidInput, match="whole number"):
        notes.set_token_budget(tokens)
    with pytest.raises(InvalidInput, match="whole number"):
        model_db.create_collection("other", model=MODEL, token_budget=tokens)


def test_the_command_line_stops_with_one_sentence_and_goes_on(
    cli: Cli, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
    cli("create", "notes", "--model", MODEL, "--token-budget", "4", "--cache")
    rows = "".join(json.dumps({"id": each.id, "text": each.text}) + "\n" for each in DOCUMENTS)
    stopped = cli("ingest", "notes", "-", "--format", "jsonl", stdin=rows, code=5)
    assert "the token budget of 4 a day of collection 'notes' is used up" in stopped.err
    assert "tokens today  4 of 4" in cli("status", "notes").out
    assert "is neither a number" in cli("budget", "notes", "0", code=2).err
    assert cli("budget", "notes", "1_000,000").out == "notes: 1,000,000 tokens a day\n"
    assert cli("budget", "notes", "none").out == "notes: no limit\n"
    assert answer(cli("ingest", "notes", "-", "--format", "jsonl", "--json", stdin=rows))["embedded"] == 4
    (held,) = answer(cli("cache", "status", "--json"))["models"]
    assert held["embeddings"] == 5
    assert "5" in cli("cache", "status").out
    assert cli("cache", "clear", "--older-than", "1").out == "0 embeddings cleared\n"
    assert "say --yes" in cli("cache", "clear", code=2).err
    assert cli("cache", "clear", "--yes").out == "5 embeddings cleared\n"
    assert "the cache is empty" in cli("cache", "status").out


def test_a_collection_can_be_made_with_a_budget(model_db: Database, sql: Sql) -> None:
    small = model_db.create_collection("small", model=MODEL, token_budget=EACH)
    with pytest.raises(BudgetExhausted):
        small.put(DOCUMENTS)
    with pytest.raises(InvalidInput, match="with a model"):
        model_db.create_collection("given", dimensions=3, token_budget=5)
    given = model_db.create_collection("given", dimensions=3)
    with pytest.raises(InvalidInput, match="no model"):
        given.set_token_budget(5)


def test_a_worker_blocks_the_collection_until_the_budget_is_raised(
    model_db: Database, notes: Collection, provider: Provider, sql: Sql
) -> None:
    other = model_db.create_collection("other", model=MODEL)
    provider.reset()
    notes.set_token_budget(2 * EACH)
    notes.put(DOCUMENTS, wait=False)
    other.put(DOCUMENTS, wait=False)
    worker.run(model_db, worker.Options(until_idle=True))
    assert len(searchable(notes)) == 2
    assert len(searchable(other)) == 5
    status = model_db.collection("notes").status()
    assert (status.state, status.backlog, status.tokens_today, status.token_budget) == ("blocked", 3, 8, 8)
    assert (status.reason or "").startswith("the token budget of 8 a day of collection 'notes' is used up")
    notes.set_token_budget(5 * EACH)
    assert model_db.collection("notes").status().state == "active"
    worker.run(model_db, worker.Options(until_idle=True))
    assert len(searchable(notes)) == 5
    assert sorted(inputs(provider)) == sorted(2 * [document.text for document in DOCUMENTS])


def test_what_is_more_than_a_month_old_is_forgotten(notes: Collection, sql: Sql) -> None:
    notes.put(DOCUMENTS[:1])
    sql.execute("UPDATE semsearch.usage SET minute = minute - interval '33 days'")
    notes.put(DOCUMENTS[1:3])
    with notes._pools.writing.begin() as connection:
        usage.tidy(connection)
    assert used(sql) == 2 * EACH


def test_pipelines_at_once_use_the_budget_up_and_never_more(
    model_db: Database, notes: Collection, provider: Provider, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "CLAIM", 8)
    notes.set_token_budget(50 * EACH)
    notes.put([Document(f"d{number:03}", f"text {number:03}") for number in range(200)], wait=False)
    worker.run(model_db, worker.Options(until_idle=True, concurrency=4))
    assert len(inputs(provider)) == len(set(inputs(provider))) == 50
    assert used(sql) == 50 * EACH
    assert len(searchable(notes)) == 50
    assert len(waiting(sql)) == 150
