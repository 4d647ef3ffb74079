"""Ingestion while the provider refuses some texts or answers with what is no embedding of them.

Faults E4 to E8: bad texts in a batch, requests too large, wrong counts, unusable vectors, another model under the same
name. The documents at fault end in `failures` with their reason, all others are stored.
"""

from __future__ import annotations

import math
import random
from typing import Any

import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.errors import Conflict, IngestError
from tests.faults import stored
from tests.integration.hands import Hands
from tests.provider import Provider

Sql = psycopg.Connection[Any]


def failures(sql: Sql) -> dict[str, str]:
    return dict(sql.execute("SELECT document_id, reason FROM semsearch.failures").fetchall())


# Some texts are refused


@pytest.mark.parametrize(("bad", "seed"), [(1, 1), (1, 2), (2, 1), (2, 2), (63, 1)])
def test_bad_texts_are_set_apart_with_few_calls(
    bad: int, seed: int, notes: Collection, provider: Provider, sql: Sql
) -> None:
    texts = stored.texts(64)
    at_fault = set(random.Random(seed).sample(sorted(texts), bad))
    provider.rules(poison="poison")
    with pytest.raises(IngestError) as raised:
        notes.put(Document(id, f"poison in {text}" if id in at_fault else text) for id, text in texts.items())
    assert set(raised.value.reasons) == at_fault
    assert all("does not take the text" in reason for reason in failures(sql).values())
    assert failures(sql).keys() == at_fault
    stored.check(notes, {id: text for id, text in texts.items() if id not in at_fault})
    # The bound of reliability.md, E4: halving a batch of n finds one text in two calls a level.
    assert len(provider.calls) <= 1 + bad * (2 * math.log2(len(texts)) + 1)


def test_bad_texts_beside_others_of_the_same_document(notes: Collection, provider: Provider, sql: Sql) -> None:
    provider.rules(poison="poison")
    long = " ".join(f"Sentence {number} fills a chunk of its own, as long as it is allowed." for number in range(5))
    with pytest.raises(IngestError):
        notes.put([Document("a", "one"), Document("long", long + " poison"), Document("z", "two")])
    stored.check(notes, {"a": "one", "z": "two"})  # no half of a document
    assert failures(sql).keys() == {"long"}


# Requests are too large


@pytest.mark.parametrize("rule", [{"max_inputs": 8}, {"max_characters": 60}])
def test_requests_the_server_finds_too_large_are_made_smaller(
    rule: dict[str, int], notes: Collection, provider: Provider
) -> None:
    provider.rules(**rule)
    texts = stored.texts(40)
    assert notes.put(stored.documents(texts)).failed == {}
    stored.check(notes, texts)


def test_one_text_too_large_for_the_server_fails_alone(notes: Collection, provider: Provider, sql: Sql) -> None:
    provider.rules(max_characters=40)
    texts = stored.texts(10)
    with pytest.raises(IngestError):
        notes.put(stored.documents(texts | {"large": "a sentence of more than forty characters in all"}))
    stored.check(notes, texts)
    assert "use a smaller chunk size" in failures(sql)["large"]


# Answers that are no embeddings


@pytest.mark.parametrize("change", ["fewer", "more", "reorder", "duplicate", "missing", "negative"])
def test_an_answer_that_does_not_fit_its_texts_is_not_stored(
    change: str, notes: Collection, provider: Provider
) -> None:
    texts = stored.texts(20)
    provider.script({"fault": "items", "change": change})
    assert notes.put(stored.documents(texts)).failed == {}
    stored.check(notes, texts)


UNUSABLE: dict[str, tuple[Any, str]] = {
    "NaN": ([math.nan] + [1.0] * 7, "contains NaN"),
    "infinity": ([math.inf] + [1.0] * 7, "contains infinity"),
    "1e39": ([1e39] + [1.0] * 7, "too large for 32 bits"),
    "zero": ([0.0] * 8, "is zero"),
    "subnormal": ([1e-45] * 8, "norm outside"),
    "7 dimensions": ([1.0] * 7, "dimensions"),
    "text": (["1"] * 8, "not a list of numbers"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_unusable_embedding_fails_its_document_alone(
    kind: str, notes: Collection, provider: Provider, sql: Sql
) -> None:
    embedding, reason = UNUSABLE[kind]
    provider.rules(floats=True, odd={"word": "odd", "embedding": embedding})
    texts = stored.texts(20)
    with pytest.raises(IngestError):
        notes.put(stored.documents(texts | {"odd": "an odd text"}))
    stored.check(notes, texts)
    assert failures(sql).keys() == {"odd"}
    assert reason in failures(sql)["odd"]


# Another model under the same name


@pytest.fixture
def asked_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semsearch.embedders.openai.PROBE_AGE", 0.0)


def test_a_provider_that_changes_its_model_is_refused(
    notes: Collection, provider: Provider, asked_always: None, hands: Any
) -> None:
    notes.put([Document("a", "one")])
    provider.rules(seed="another model")
    with pytest.raises(Conflict, match="model 'openai:test-model' is not what it was"):
        notes.put([Document("b", "two")])
    with pytest.raises(Conflict, match="is not what it was"):
        notes.search("never asked before")
    stored.check(notes, {"a": "one"})
    stored.check_waiting(notes, {"b"})
    provider.rules()
    assert notes.work().embedded == 1
    stored.check(notes, {"a": "one", "b": "two"})


def test_one_odd_answer_is_asked_about_again(notes: Collection, provider: Provider, asked_always: None) -> None:
    provider.script({"fault": "embedding", "embedding": "[1, 2, 3, 4, 5, 6, 7, 8]"})
    notes.put([Document("a", "one")])
    stored.check(notes, {"a": "one"})


def test_the_model_is_asked_for_what_it_knows_once_an_hour(
    notes: Collection, provider: Provider, hands: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker: Hands = hands(notes)
    embedder = notes._embedder()
    notes.put(stored.documents(stored.texts(3)), wait=False)
    worker.step()
    assert [call["inputs"] for call in provider.calls] == [["text 0", "text 1", "text 2"]]
    monkeypatch.setattr(embedder, "_known_at", embedder._known_at - 3601)  # type: ignore[attr-defined]
    notes.put([Document("later", "one more")])
    assert [call["inputs"] for call in provider.calls[1:]] == [["semsearch"], ["one more"]]
