"""Words and hybrid search: BM25 as the formula says, one statement for both legs, complete and in a total order."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import ColumnElement

from semsearch import Document, filters
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import InvalidInput
from semsearch.records import Embedding, Hit
from semsearch.store import fusion, lexical, nearest, spaces
from semsearch.store.fusion import WEIGHTS, Fusion
from semsearch.store.lexical import Lexemes

WORDS = ["apple", "pear", "plum", "quince", "cherry", "lemon", "mango", "grape", "melon", "fig", "date", "kiwi"]
QUERY = np.array([1, 0, 0], np.float32)

Key = tuple[str, int]


def texts(count: int = 300) -> list[str]:
    """Some words are in many texts and others in few; the same ones for the same count."""
    random = np.random.default_rng(count)
    likely = 1 / np.arange(1, len(WORDS) + 1)
    return [" ".join(random.choice(WORDS, random.integers(3, 30), p=likely / likely.sum())) for _ in range(count)]


def load(db: Database, name: str, language: str | None = "simple", count: int = 300, **options: Any) -> Collection:
    collection = db.create_collection(name, dimensions=3, language=language, fields={"year": "integer"}, **options)
    embeddings = np.random.default_rng(count).standard_normal((count, 3)).astype(np.float32)
    collection.put(
        Document(f"d{number}", text, {"year": number % 10}, embedding=embedding)
        for number, (text, embedding) in enumerate(zip(texts(count), embeddings, strict=True))
    )
    return collection


@pytest.fixture(scope="module")
def fruit(module_db: Database) -> Iterator[Collection]:
    yield load(module_db, "fruit")
    module_db.drop_collection("fruit")


def lexemes(collection: Collection, query: str, **options: Any) -> Lexemes:
    with collection._pools.searching.connect() as connection:
        return lexical.parse(connection, collection._space, query, **options)


def condition(collection: Collection, filter: dict[str, Any] | None) -> ColumnElement[bool] | None:
    if filter is None:
        return None
    return filters.compile(filters.parse(filter), spaces.filter_columns(collection._space))


def by_words(collection: Collection, query: str, limit: int = 10, filter: dict[str, Any] | None = None) -> list[Hit]:
    met = condition(collection, filter)
    return lexical.run(collection._pools.searching, collection._space, lexemes(collection, query), met, limit).hits


def hybrid(
    collection: Collection,
    query: str,
    limit: int = 10,
    filter: dict[str, Any] | None = None,
    embedding: Embedding = QUERY,
    **options: Any,
) -> list[Hit]:
    return fusion.run(
        collection._pools.searching,
        collection._space,
        nearest.EXACT,
        embedding,
        lexemes(collection, query),
        condition(collection, filter),
        Fusion(**options),
        limit,
    ).hits


def by_meaning(collection: Collection, limit: int, filter: dict[str, Any] | None = None) -> list[Hit]:
    met = condition(collection, filter)
    return nearest.run(collection._pools.searching, collection._space, nearest.EXACT, QUERY, met, limit).hits


def keys(hits: Sequence[Hit]) -> list[Key]:
    return [(hit.document_id, hit.ordinal) for hit in hits]


def bm25(query: str, count: int = 300) -> dict[str, float]:
    """By the formula, for texts of plain words."""
    every = texts(count)
    average = sum(map(len, every)) / count
    scores: Counter[str] = Counter()
    for word in set(query.split()):
        holding = sum(word in text.split() for text in every)
        idf = math.log(1 + (count - holding + 0.5) / (holding + 0.5))
        for number, text in enumerate(every):
            frequency = text.split().count(word)
            norm = 1.2 * (0.25 + 0.75 * len(text) / average)
            if frequency:
                scores[f"d{number}"] += idf * frequency / (frequency + norm)
    return dict(scores)


# Words


def test_scores_are_those_of_the_formula_best_first(fruit: Collection) -> None:
    query = "fig kiwi apple banana"
    found = by_words(fruit, query, 1000)
    expected = bm25(query)
    assert {hit.document_id: hit.score for hit in found} == pytest.approx(expected)
    assert keys(found) == sorted(
        keys(found), key=lambda key: (-next(h.score for h in found if h.document_id == key[0]), key)
    )
    assert keys(by_words(fruit, query, 7)) == keys(found)[:7]


@pytest.mark.parametrize("times", [1, 2, 3, 7, 50, 254, 255])
def test_term_frequencies_are_read_off_ts_rank(model_db: Database, times: int) -> None:
    collection = model_db.create_collection("repeated", dimensions=1, language="simple")
    collection.put([Document("a", "word " * times + "other", embedding=[1.0])])
    (hit,) = by_words(collection, "word")
    norm = 1.2  # of a chunk as long as the average
    assert hit.score == pytest.approx(math.log(1 + 0.5 / 1.5) * times / (times + norm))


def test_words_are_read_in_the_language_of_the_collection(model_db: Database) -> None:
    german = model_db.create_collection("german", dimensions=1, language="german")
    german.put([Document("a", "Die Häuser der Stadt", embedding=[1.0]), Document("b", "Ein Baum", embedding=[1.0])])
    assert keys(by_words(german, "das Haus")) == [("a", 0)]
    assert by_words(german, "die der das") == []


def test_the_heading_is_searched_too(model_db: Database) -> None:
    collection = model_db.create_collection("titled", dimensions=1)
    collection.put([Document("a", "Open the settings.", title="Forgotten passwords", embedding=[1.0])])
    assert keys(by_words(collection, "password")) == [("a", 0)]


def test_naughty_strings_are_only_words(fruit: Collection, shared_data: Path) -> None:
    strings = json.loads((shared_data / "awkward/naughty-strings/blns.json").read_text())
    odd = ["it's", "back\\slash", "'\\' | '", "a & !b", "x:*", '"quoted"', "\0", "fig\0kiwi", "'); DROP TABLE x; --"]
    together = [" ".join(strings[start : start + 10]) for start in range(0, len(strings), 10)]
    for string in [*odd, *together]:
        assert len(hybrid(fruit, string, 3)) == 3


def test_lexemes_with_quotes_and_backslashes_are_found(model_db: Database) -> None:
    collection = model_db.create_collection("odd", dimensions=1, language="simple")
    path, host = "/usr/lib/it's\\here", "http://example.com/a?b='c'\\d"
    collection.put([Document("a", path, embedding=[1.0]), Document("b", host, embedding=[1.0])])
    assert keys(by_words(collection, path))[0] == ("a", 0)
    assert keys(by_words(collection, host))[0] == ("b", 0)


def test_a_long_query_is_cut_to_its_rarest_lexemes(fruit: Collection) -> None:
    query = " ".join([*WORDS, *(f"absent{number}" for number in range(3000))])
    found = lexemes(fruit, query)
    assert len(found.queries) == len(WORDS)
    assert found.weights == tuple(sorted(found.weights, reverse=True))
    known = lexical.Statistics(1000, 100.0)
    many = lexical.weighed({f"'w{number}'": number + 1 for number in range(100)}, known)
    assert many.queries == tuple(f"'w{number}'" for number in range(lexical.MOST_LEXEMES))


def test_frequent_lexemes_are_known_from_analyze_and_others_are_counted_once(model_db: Database) -> None:
    collection = load(model_db, "analyzed")
    with collection._pools.writing.begin() as connection:
        connection.exec_driver_sql(f"ANALYZE semsearch.{collection._space.table_name}")
        known = lexical.statistics(connection, collection._space)
    assert known.chunks == 300
    assert known.frequencies["apple"] == sum("apple" in text for text in texts())
    del known.frequencies["fig"]
    found = lexemes(collection, "fig nothing", known=known)
    assert known.frequencies["fig"] == sum("fig" in text for text in texts())
    assert "nothing" not in known.frequencies
    assert lexemes(collection, "fig nothing", known=known) == found
    assert {hit.document_id: hit.score for hit in by_words(collection, "fig", 1000)} == pytest.approx(bm25("fig"))


def test_chunks_with_frequent_lexemes_only_are_left_out_and_the_answer_says_so(
    fruit: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lexemes(fruit, "kiwi apple").complete
    monkeypatch.setattr(lexical, "CANDIDATES", 150)
    found = lexemes(fruit, "kiwi apple")
    assert not found.complete
    scores = bm25("kiwi apple")
    holding = {f"d{number}" for number, text in enumerate(texts()) if "kiwi" in text}
    hits = by_words(fruit, "kiwi apple", 1000)
    assert {hit.document_id: hit.score for hit in hits} == pytest.approx({id: scores[id] for id in holding})
    assert lexemes(fruit, "kiwi apple", share=0.1).complete


def test_a_lexeme_in_too_many_chunks_is_followed_as_far_as_allowed(
    fruit: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexical, "CANDIDATES", 20)
    assert not lexemes(fruit, "apple").complete
    assert len(by_words(fruit, "apple", 1000)) == 20


def test_words_need_a_language(model_db: Database) -> None:
    collection = load(model_db, "wordless", language=None, count=3)
    with pytest.raises(InvalidInput, match="'wordless' has no full text"):
        lexemes(collection, "apple")


# Both


def test_scores_add_the_share_of_the_distance_and_of_the_words(fruit: Collection) -> None:
    query, every = "fig kiwi", by_meaning(fruit, 300)
    found, scores = lexemes(fruit, query), bm25("fig kiwi")
    hits = hybrid(fruit, query, 300, depths=(300, 300))
    assert sorted(keys(hits)) == sorted(keys(every))
    near = max(every[0].distance, fusion.LEAST_GAP * every[299].distance)
    for hit in hits:
        share = min(1, near / hit.distance)
        assert hit.score == pytest.approx(share * 2 / 3 + scores.get(hit.document_id, 0) / found.largest / 3)
    assert hits == sorted(hits, key=lambda hit: (-hit.score, hit.distance))


def test_rrf_adds_the_weighted_reciprocal_ranks(fruit: Collection) -> None:
    expected: Counter[Key] = Counter()
    for weight, ranked in ((1, by_meaning(fruit, 20)), (3, by_words(fruit, "fig kiwi", 30))):
        for rank, key in enumerate(keys(ranked), 1):
            expected[key] += weight / (60 + rank)
    hits = hybrid(fruit, "fig kiwi", len(expected), kind="rrf", weights=(1, 3), depths=(20, 30))
    assert [hit.score for hit in hits] == pytest.approx(sorted(expected.values(), reverse=True))
    assert all(hit.score == pytest.approx(expected[key]) for key, hit in zip(keys(hits), hits, strict=True))


@pytest.mark.parametrize("distance", ["cosine", "l2", "inner_product"])
@pytest.mark.parametrize("kind", ["scores", "rrf"])
def test_what_fills_a_longer_answer_comes_last_nearest_first(model_db: Database, kind: Any, distance: str) -> None:
    collection = load(model_db, "filled", distance=distance)
    options = {"kind": kind, "weights": WEIGHTS[kind], "depths": (20, 30)}
    found = {*keys(by_meaning(collection, 20)), *keys(by_words(collection, "fig kiwi", 30))}
    hits = hybrid(collection, "fig kiwi", 300, **options)
    assert {*keys(hits)[: len(found)]} == found
    assert keys(hits)[len(found) :] == [key for key in keys(by_meaning(collection, 300)) if key not in found]
    assert hits == sorted(hits, key=lambda hit: -(hit.score or 0))
    for limit in (1, 30, 60, 110):
        shorter = hybrid(collection, "fig kiwi", limit, **options)
        assert keys(shorter) == keys(hits)[:limit]
        assert [hit.score for hit in shorter] == pytest.approx([hit.score for hit in hits[:limit]])


def test_each_leg_goes_as_deep_as_it_was_told(fruit: Collection) -> None:
    words = keys(by_words(fruit, "kiwi", 5))
    hits = hybrid(fruit, "kiwi", 2, kind="rrf", weights=(0, 1), depths=(1, 5))
    assert keys(hits) == words[:2]


@pytest.mark.parametrize("kind", ["scores", "rrf"])
@pytest.mark.parametrize("limit", [1, 25, 150])
def test_the_filter_holds_in_both_legs_and_the_answer_is_complete(fruit: Collection, kind: Any, limit: int) -> None:
    chosen = {"year": {"$lt": 3}}
    hits = hybrid(fruit, "apple kiwi", limit, chosen, kind=kind, weights=WEIGHTS[kind], depths=(10, 10))
    assert len(hits) == min(limit, 90)
    assert all(hit.metadata["year"] < 3 for hit in hits)
    assert len(set(keys(hits))) == len(hits)


@pytest.mark.parametrize("kind", ["scores", "rrf"])
@pytest.mark.parametrize("query", ["", "zeppelin", "'"])
def test_without_words_to_find_it_is_the_search_by_meaning(fruit: Collection, kind: Any, query: str) -> None:
    assert keys(hybrid(fruit, query, 20, kind=kind)) == keys(by_meaning(fruit, 20))


@pytest.mark.parametrize("distance", ["cosine", "l2", "inner_product", "l1"])
def test_every_distance_keeps_its_order_where_words_say_nothing(model_db: Database, distance: str) -> None:
    collection = model_db.create_collection("measured", dimensions=3, distance=distance)
    random = np.random.default_rng(5).standard_normal((40, 3))
    unit = (random / np.linalg.norm(random, axis=1, keepdims=True)).astype(np.float32)
    collection.put(Document(f"d{number}", "", embedding=each) for number, each in enumerate(unit))
    assert keys(hybrid(collection, "nothing", 40)) == keys(by_meaning(collection, 40))


def test_distances_of_unit_embeddings_give_the_same_scores_whatever_their_kind(model_db: Database) -> None:
    found = {}
    random = np.random.default_rng(5).standard_normal((40, 3))
    unit = (random / np.linalg.norm(random, axis=1, keepdims=True)).astype(np.float32)
    for distance in ("cosine", "l2", "inner_product"):
        collection = model_db.create_collection(distance, dimensions=3, distance=distance)
        collection.put(
            Document(f"d{number}", text, embedding=each)
            for number, (text, each) in enumerate(zip(texts(40), unit, strict=True))
        )
        found[distance] = {hit.document_id: hit.score for hit in hybrid(collection, "fig kiwi", 40)}
    assert found["l2"] == pytest.approx(found["cosine"], abs=1e-5)
    assert found["inner_product"] == pytest.approx(found["cosine"], abs=1e-5)


def test_a_chunk_at_no_distance_leaves_the_others_in_their_order(model_db: Database) -> None:
    collection = model_db.create_collection("same", dimensions=3)
    collection.put(
        [
            Document("same", "plum", embedding=QUERY),
            Document("near", "plum", embedding=[1, 0.1, 0]),
            Document("far", "fig", embedding=[0.0, 1, 0]),
        ]
    )
    assert keys(hybrid(collection, "")) == [("same", 0), ("near", 0), ("far", 0)]
    collection.delete(["near", "far"])
    assert [hit.score for hit in hybrid(collection, "plum")] == pytest.approx([2 / 3 + 1 / 3 * 1 / 2.2])


def test_what_the_words_found_comes_before_what_fills_the_answer(model_db: Database) -> None:
    """Also where the nearest are all as near."""
    collection = model_db.create_collection("equal", dimensions=3, language="simple")
    collection.put(Document(f"same{number}", "plum", embedding=QUERY) for number in range(9))
    collection.put([Document("near", "plum", embedding=[1, 0.1, 0]), Document("far", "fig", embedding=[0.0, 1, 0])])
    found = hybrid(collection, "fig", 11, weights=(1, 0.01), depths=(5, 5))
    assert keys(found)[5] == ("far", 0)
    assert (found[6].score or 0) < (found[5].score or 0)


def test_an_empty_collection_has_no_hits(model_db: Database) -> None:
    collection = model_db.create_collection("nothing", dimensions=3)
    assert by_words(collection, "anything") == []
    assert hybrid(collection, "anything") == []


def test_both_legs_are_one_statement_that_reads_no_more_than_it_must(model_db: Database) -> None:
    """The index serves the words, and the texts are read of the hits alone."""
    collection = load(model_db, "planned", count=2000)
    space = collection._space
    with collection._pools.writing.begin() as connection:
        connection.exec_driver_sql(f"CREATE INDEX ON semsearch.{space.table_name} USING gin (terms)")
        connection.exec_driver_sql(f"ANALYZE semsearch.{space.table_name}")
    found = fusion.run(
        collection._pools.searching, space, nearest.EXACT, QUERY, lexemes(collection, "kiwi"), None, Fusion(), 5
    )
    assert found.sql.count("c.text") == 1
    assert found.sql.upper().count("AS MATERIALIZED") == 6
    assert found.seen == collection.status().chunks
