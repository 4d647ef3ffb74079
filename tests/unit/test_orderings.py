"""Which orderings an ANN index can answer, read from SQL as people write it."""

from __future__ import annotations

import pytest

from semsearch.store.orderings import Ordering, orderings

BARE = Ordering("embedding", "<=>", "$1", None)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM items ORDER BY embedding <=> $1 LIMIT 5",
        "select id from items order by embedding <=> '[1,2,3]' limit 5",
        "SELECT id FROM items ORDER BY (embedding <=> $1) ASC NULLS LAST, id LIMIT 5",
        "SELECT id, embedding <=> $1 AS distance FROM items ORDER BY distance LIMIT 5",
        "WITH near AS (SELECT id FROM items ORDER BY embedding <=> $1 LIMIT 9) SELECT * FROM near ORDER BY id DESC",
        "SELECT id -- 1 - (\nFROM items /* ORDER BY x DESC */ ORDER BY embedding <=> $1 LIMIT 5",
    ],
)
def test_a_bare_distance_in_ascending_order_is_fine(sql: str) -> None:
    assert list(orderings(sql)) == [BARE]


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("SELECT id FROM items ORDER BY embedding <=> $1 DESC LIMIT 5", "descending"),
        ("SELECT id FROM items ORDER BY 1 - (embedding <=> $1) DESC LIMIT 5", "descending"),
        ("SELECT id FROM items ORDER BY (1 - (embedding <=> $1)) DESC NULLS LAST", "descending"),
        ("SELECT id, 1 - (embedding <=> $1) AS score FROM items ORDER BY score DESC", "descending"),
        ("SELECT id, text, 1 - (embedding <=> $1) AS score FROM items ORDER BY score", "expression"),
        ("SELECT id FROM items ORDER BY -(embedding <=> $1)", "expression"),
        ("SELECT id FROM items ORDER BY embedding <=> $1 + 1", "expression"),
        ("SELECT id FROM items ORDER BY round((embedding <=> $1)::numeric, 3)", "expression"),
        ("SELECT id FROM items ORDER BY sqrt(embedding <=> $1)", "expression"),
    ],
)
def test_what_no_index_answers_has_a_fault(sql: str, fault: str) -> None:
    (found,) = orderings(sql)
    assert (found.left, found.operator, found.fault) == ("embedding", "<=>", fault)


def test_the_remedy_is_the_ordering_that_works() -> None:
    (found,) = orderings("SELECT id FROM items i ORDER BY 1 - (i.embedding <=> '[1,2]'::vector) DESC LIMIT 5")
    assert found.remedy == "ORDER BY i.embedding <=> $1::vector LIMIT 10"
    assert next(orderings(found.remedy)).fault is None


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT 1 FROM items ORDER BY name DESC",
        "SELECT 1 FROM items WHERE embedding <=> $1 < 1",
        "ORDER BY (",
        "",
    ],
)
def test_other_statements_order_by_no_distance(sql: str) -> None:
    assert list(orderings(sql)) == []


def test_a_cast_belongs_to_its_operand() -> None:
    (found,) = orderings("SELECT 1 FROM t ORDER BY (embedding)::halfvec(3) <-> $1::halfvec(3)")
    assert found == Ordering("(embedding)::halfvec(3)", "<->", "$1::halfvec(3)", None)
    assert found.is_of("embedding")
    assert not found.is_of("bed")
