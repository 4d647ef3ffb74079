"""Searches at their edges: what changed meanwhile, what is locked, what is too frequent, what makes no sense."""

from __future__ import annotations

import base64
import threading
from typing import Any

import numpy as np
import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import CollectionChanged, DeadlineExceeded, InvalidInput
from semsearch.store import lexical

Sql = psycopg.Connection[Any]
QUERY = np.array([1, 2, 3, 4], np.float32)


def document(number: int, text: str = "", **metadata: Any) -> Document:
    return Document(f"d{number:05}", text, metadata, embedding=[1, 2 + number % 7, 3, 4 + number % 11])


@pytest.fixture
def words(model_db: Database) -> Collection:
    made = model_db.create_collection("words", dimensions=4)
    made.put([document(number, f"common text number n{number}") for number in range(40)])
    return made


def found(collection: Collection, query: str, **options: Any) -> list[str]:
    return [hit.document_id for hit in collection.search(query, mode="text", **options)]


def test_a_word_that_was_nowhere_is_found_as_soon_as_it_is_put(words: Collection) -> None:
    assert found(words, "zebra") == []
    words.put([document(99, "a zebra came")])
    assert found(words, "zebra") == ["d00099"]


def test_frequent_words_leave_no_document_out(words: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexical, "CANDIDATES", 20)
    hits = words.search("common", mode="text", top_k=10, per_document=1)
    assert len(hits) == 10
    assert not hits.complete  # 20 of the 40 were looked at


def test_of_many_words_the_rarest_are_looked_for_and_that_is_said(words: Collection) -> None:
    hits = words.search(" ".join(f"n{number}" for number in range(40)), mode="text", top_k=40)
    assert len(hits) == lexical.MOST_LEXEMES
    assert not hits.complete


def test_a_handle_from_before_the_language_changed_is_told(words: Collection, model_db: Database) -> None:
    before = model_db.collection("words")
    words.set_language("simple")
    with pytest.raises(CollectionChanged, match="open it again"):
        before.search("common", mode="text")
    assert len(found(words, "common", top_k=40)) == 40


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "first"])
@pytest.mark.parametrize(
    "options",
    [{"filter": {"x": {"$lt": 3}}}, {"mode": "text"}, {"rest": "document"}, {"partial": True}],
    ids=["filter", "text", "document", "partial"],
)
def test_a_lock_holds_no_search_up_beyond_its_deadline(
    words: Collection, sql: Sql, options: dict[str, Any], is_known: bool
) -> None:
    table, done = f"semsearch.{words.space.table_name}", threading.Event()
    asked = dict(options)
    target: dict[str, Any] = {"embedding": QUERY}
    if "mode" in asked:
        target = {"query": "common"}
    if asked.pop("rest", None):
        target = {"document_id": "d00001"}

    said: list[bool] = []

    def search() -> None:
        try:
            said.append(words.search(**target, deadline=0.3, **asked).complete)
        except DeadlineExceeded:
            said.append(False)
        done.set()

    if is_known:
        words.search(embedding=QUERY)  # and with it what is known of the index
    with sql.transaction():
        sql.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        thread = threading.Thread(target=search)
        thread.start()
        assert done.wait(30)
    thread.join()
    assert said == [False]


def test_what_is_known_of_the_index_may_be_forgotten_meanwhile(words: Collection) -> None:
    searcher, stop, wrong = words._searcher, threading.Event(), []

    def forget() -> None:
        while not stop.is_set():
            searcher.forget()

    thread = threading.Thread(target=forget)
    thread.start()
    try:
        for _ in range(200):
            if searcher.state() is None:
                wrong.append(1)
    finally:
        stop.set()
        thread.join()
    assert not wrong


def token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "plain",
    [
        "[0.1,[],5,0.1]",
        '[0.1,[["a",0]],-100,0.1]',
        '[0.1,[["a",0]],1e400,0.1]',
        '[0.1,[["a",0]],5,1e400]',
        '[NaN,[["a",0]],5,0.1]',
        '[1,[["a\\u0000b",0]],5,1]',
        '[1,[["\\ud800",0]],5,1]',
        "[1,[[1,2]],3,1]",
    ],
)
def test_a_page_that_was_made_up_is_refused(words: Collection, plain: str) -> None:
    with pytest.raises(InvalidInput, match="`next` of an earlier answer"):
        words.search(embedding=QUERY, after=token(plain))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"top_k": None}, "top_k is a whole number"),
        ({"neighbours": None}, "neighbours is a whole number"),
        ({"highlight": "no"}, "highlight is true or false"),
        ({"depth": 3}, "mode 'hybrid'"),
        ({"weights": (1, 2)}, "mode 'hybrid'"),
        ({"candidates": 5}, "ranks hits again"),
        ({"rerank": "x", "candidates": 5000}, "at most 1,000 candidates"),
        ({"min_score": 1}, "max_distance"),
        ({"per_document": True}, "per_document is a whole number"),
        ({"boosts": 5}, "boosts"),
        ({"top_k": 10**5000}, "top_k is a whole number from 1 to 1000; got a number beyond 64 bits"),
        ({"mode": "hybrid", "weights": (1e308, 1e308)}, "from 0.000001 to 1,000,000"),
        ({"mode": "hybrid", "weights": (5e-324, 1)}, "from 0.000001 to 1,000,000"),
        ({"mode": "hybrid", "weights": (0, 0)}, "not both 0"),
        ({"mode": "hybrid", "weights": (10**400, 1)}, "weights are two numbers"),
        ({"mode": "hybrid", "min_score": 10**400}, "min_score is a number"),
        *(({name: 10**400}, f"{name} is a number") for name in ("max_distance", "deadline", "diversity")),
    ],
)
def test_options_that_make_no_sense_are_refused(words: Collection, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        words.search(embedding=QUERY, **options)


def test_text_mode_looks_at_no_distance(words: Collection) -> None:
    with pytest.raises(InvalidInput, match="about distances"):
        words.search("common", mode="text", max_distance=1.0)
    with pytest.raises(InvalidInput, match="not valid Unicode"):
        words.search("\ud800", mode="text")


def test_a_walk_without_an_index_is_refused(words: Collection) -> None:
    with pytest.raises(InvalidInput, match="no ANN index"):
        words.search(embedding=QUERY, plan="ann")


def test_hits_that_fade_from_now_have_no_pages(model_db: Database) -> None:
    made = model_db.create_collection("news", dimensions=4, fields={"day": "date"})
    made.put([document(number, day="2024-05-01") for number in range(9)])
    boosts = [{"field": "day", "decay": "exp", "scale": "30d", "weight": 0.5}]
    assert made.search(embedding=QUERY, boosts=boosts, top_k=3).next is None
    fixed = [{**boosts[0], "origin": "2024-06-01"}]
    assert made.search(embedding=QUERY, boosts=fixed, top_k=3).next is not None


def test_thresholds_fetch_no_more_than_they_let_through(words: Collection) -> None:
    nearest = words.search(embedding=QUERY, top_k=1)[0].distance
    assert nearest is not None
    hits = words.search(embedding=QUERY, per_document=1, top_k=30, max_distance=nearest)
    assert 0 < len(hits) < 30
    assert hits.next is None


def test_numbers_of_any_length_are_refused(words: Collection) -> None:
    with pytest.raises(InvalidInput, match="m is a whole number from 2 to 100; got a number beyond 64 bits"):
        words.create_index(m=10**5000)
    with pytest.raises(InvalidInput, match="deadline is a number"):
        words.facets(["x"], deadline=10**400)
    with pytest.raises(InvalidInput, match="a facet lists from 1"):
        words.facets(["x"], limit=10**5000)


def test_an_index_option_that_does_not_exist_is_refused(words: Collection) -> None:
    with pytest.raises(InvalidInput, match="no option 'neighbours'"):
        words.create_index(neighbours=5)
    with pytest.raises(InvalidInput, match="top_k is a whole number"):
        words.measure_recall(top_k=-1)
