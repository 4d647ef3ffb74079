"""Documents that are strange, changed while others read, or written past every check by plain SQL.

Faults D10 to D12 and D15; what one process does with one document stands in tests/integration.
"""

from __future__ import annotations

import random
import threading
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semsearch import Document, cleaning
from semsearch.collection import Collection
from semsearch.errors import IngestError, InvalidInput
from tests.faults import stored
from tests.integration.hands import inputs
from tests.provider import Provider

Sql = psycopg.Connection[Any]

# Half of them from the corners of Unicode: controls, lone surrogates, unassigned, marks that combine or turn around.
TEXTS = st.text(st.characters() | st.sampled_from("\0\ud800\udfff\u200d\u202e\ufeff\u0301 \n\tя漢👩")) | st.text()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXTS, min_size=1, max_size=20), metadata=st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_any_text_is_stored_by_the_documented_rule(
    notes: Collection, texts: list[str], metadata: dict[str, str]
) -> None:
    notes.delete_all()
    notes.put(Document(f"d{number}", text, metadata) for number, text in enumerate(texts))
    found = stored.searchable(notes)
    for number, text in enumerate(texts):
        kept = notes.get(f"d{number}").text
        assert kept == cleaning.storable(text)
        assert (f"d{number}" in found) is bool(kept.strip())
    stored.check_waiting(notes, ())


# Written by SQL, where nothing of ours can refuse it

STRANGE = {
    "deep": "jsonb",
    "long number": "jsonb",
    "huge": "jsonb",
    "precise": "jsonb",
    "blank": "text",
    "long line": "text",
}
METADATA = {
    "deep": "repeat('[', 5000) || repeat(']', 5000)",
    "long number": "repeat('9', 5000)",
    "huge": "'1e400'",
    "precise": "'0.1234567890123456789012345678901234567890'",
}
TEXT = {"blank": "repeat(E' \\n', 1000)", "long line": "repeat('x', 100000)"}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_plain_sql_writes_harms_no_other_document(kind: str, notes: Collection, sql: Sql) -> None:
    texts = stored.texts(10)
    notes.put(stored.documents(texts), wait=False)
    text = TEXT.get(kind, "'a text'")
    metadata = f"jsonb_build_object('value', ({METADATA.get(kind, '0')})::text::jsonb)"
    sql.execute(
        "INSERT INTO semsearch.documents (collection_id, id, text, metadata)"
        f" SELECT id, 'strange', {text}, {metadata} FROM semsearch.collections WHERE name = 'notes'"
    )
    notes.work()
    found = stored.searchable(notes)
    assert texts.items() <= found.items()
    assert notes.status().backlog == 0
    assert {hit.document_id for hit in notes.search("a text", top_k=1000)} == found.keys()
    if STRANGE[kind] == "jsonb":  # the copy beside the chunk, for filters, is the very value
        same = "SELECT d.metadata = c.metadata FROM semsearch.documents d JOIN collections.notes c ON document_id = id"
        assert sql.execute(f"{same} WHERE id = 'strange'").fetchall() == [(True,)]
        assert notes.get("strange").metadata.keys() == {"unreadable" if kind in ("deep", "long number") else "value"}


def test_metadata_that_was_got_can_be_changed_and_put_again(notes: Collection) -> None:
    notes.put([Document("a", "one", {"year": 2024})])
    document = notes.get("a")
    assert isinstance(document.metadata, dict)
    document.metadata["year"] = 2025
    notes.put([document])
    assert notes.get("a").metadata == {"year": 2025}
    assert notes.search("one")[0].metadata == {"year": 2025}


def test_an_id_too_long_for_an_index_is_refused_before_anything_is_written(notes: Collection, sql: Sql) -> None:
    with pytest.raises(InvalidInput, match="1 to 1024 bytes"):
        notes.put([Document("a", "one"), Document("x" * 1025, "two")])
    assert notes.status().documents == 0


# What costs nothing


def test_the_same_again_and_what_is_not_embedded_cost_no_call(notes: Collection, provider: Provider, sql: Sql) -> None:
    texts = stored.texts(50)
    notes.put(stored.documents(texts))
    asked = len(provider.calls)
    notes.put(stored.documents(texts))
    notes.put(Document(id, text, {"seen": True}) for id, text in texts.items())
    sql.execute("UPDATE semsearch.documents SET source = 'elsewhere', updated_at = now()")
    sql.execute("UPDATE semsearch.documents SET text = text, metadata = metadata || '{\"read\": 1}'")
    notes.work()
    assert len(provider.calls) == asked
    stored.check(notes, texts)


def test_a_text_in_thousands_of_documents_is_sent_once(notes: Collection, provider: Provider) -> None:
    texts = {f"d{number:05}": "the same text" for number in range(3000)}
    notes.put(stored.documents(texts), wait=False)
    notes.work()
    stored.check(notes, texts)
    # Once for every claim that finds none of it stored yet.
    assert set(inputs(provider)) == {"the same text"}
    assert len(inputs(provider)) <= -(-3000 // 256)


# Read your own writes


@pytest.mark.parametrize("seed", range(3))
def test_what_was_put_can_be_found_when_put_returns(seed: int, notes: Collection) -> None:
    problems: list[BaseException] = []

    def write(writer: int) -> None:
        chance = random.Random(seed * 10 + writer)
        try:
            for number in range(8):
                shared = chance.random() < 0.5
                id = f"shared {chance.randrange(3)}" if shared else f"own {writer} {number}"
                text = f"text {number} of writer {writer}"
                notes.put([Document(id, text)])
                # Another writer may have replaced a shared one meanwhile; it is then his.
                assert id in stored.searchable(notes) if shared else stored.searchable(notes)[id] == text
        except BaseException as problem:
            problems.append(problem)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert problems == []
    stored.check_waiting(notes, ())


def test_what_fails_while_it_is_put_is_told_to_whoever_put_it(notes: Collection, provider: Provider) -> None:
    provider.rules(poison="poison")
    notes.put([Document("theirs", "poison of somebody else")], wait=False)
    with pytest.raises(IngestError) as raised:
        notes.put([Document("mine", "poison of mine")])
    assert "mine" in raised.value.reasons
