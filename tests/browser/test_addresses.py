"""What stands in an address becomes a search, and the other way round; no browser is needed for that."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest

from semsearch.errors import InvalidInput
from semsearch.fields import FieldType
from semsearch.records import Neighbour
from semsearch.web.page import asking, excerpts

FIELDS: dict[str, FieldType] = {
    "lang": "text", "year": "integer", "score": "float", "open": "boolean", "day": "date", "at": "timestamp",
}  # fmt: skip


def condition(query: str, but: str | None = None) -> Any:
    return asking.read(parse_qsl(query, keep_blank_values=True)).condition(FIELDS, but)


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ("", None),
        ("is.lang=&from.year=&filter=", None),  # as a form sends what was left empty
        ("is.lang=de&is.lang=en&is.lang=de", {"lang": {"$in": ["de", "en"]}}),
        ("is.open=true", {"open": {"$in": [True]}}),
        ("is.year=2020", {"year": {"$in": [2020]}}),
        ("from.year=2020&to.year=2021", {"year": {"$gte": 2020, "$lte": 2021}}),
        ("to.score=0.5", {"score": {"$lte": 0.5}}),
        ("from.day=2024-01-01&to.day=2024-01-31", {"day": {"$gte": "2024-01-01", "$lte": "2024-01-31"}}),
        ("to.at=2024-01-31", {"at": {"$lt": "2024-02-01"}}),  # the whole day
        ("to.at=2024-01-31T12:00", {"at": {"$lte": "2024-01-31T12:00"}}),
        ("filter=year+>=+2020", {"year": {"$gte": 2020}}),
        ('filter={"year":1}&is.lang=de', {"$and": [{"year": 1}, {"lang": {"$in": ["de"]}}]}),
    ],
)
def test_filters(query: str, meant: Any) -> None:
    assert condition(query) == meant


def test_a_field_is_counted_without_its_own_choice() -> None:
    assert condition("is.lang=de&from.year=2020", but="lang") == {"year": {"$gte": 2020}}


@pytest.mark.parametrize(
    "query",
    [
        *("is.year=x", "is.open=yes", "from.score=much", "is.other=1", "to.at=2024-02-31", "to.at=9999-12-31"),
        *("filter=year+>=", "filter={", "filter={}}", "top_k=0x1", "top_k=1001", "chunk=-1", "view=else"),
    ],
)
def test_what_makes_no_sense_is_said(query: str) -> None:
    with pytest.raises(InvalidInput):
        condition(query)


def test_links_hold_everything() -> None:
    query = "collection=notes&q=a+%26+b&mode=text&filter=x+%3D+1&is.lang=de&is.lang=en&from.year=1&to.year=2&top_k=20"
    asked = asking.read(parse_qsl(query))
    assert asking.read(parse_qsl(asked.link()[2:])) == asked
    assert asked.link(document="a/b?c#d", chunk=0).endswith("&document=a%2Fb%3Fc%23d&chunk=0")
    assert asked.fresh(like="x") == "/?collection=notes&like=x"
    assert asked.filters == 4 and not asking.read(parse_qsl(asked.without_filters()[2:])).is_filtered


def test_the_parts_of_a_document_are_its_text() -> None:
    text = "  before.\n\nOne two. Three four.\n\nFive six. And so on"
    chunks = [Neighbour(0, 11, 31, "A", ""), Neighbour(1, 20, 42, "A > B", ""), Neighbour(2, 42, 52, "A > B", "")]
    parts = list(excerpts.parts(text, chunks, (0, 3), 1, (0, 11)))
    assert [part.ordinal for part in parts] == [None, 0, 1, 2]
    assert [part.heading for part in parts] == ["", "A", "A > B", ""]
    shown = "".join(piece.text for part in parts for piece in part.pieces)
    assert "".join(shown.split()) == "".join(text.split())
    assert "".join(piece.text for part in parts for piece in part.pieces if piece.marked) == text[20:31]
    assert [piece.hit for piece in parts[3].pieces] == [False]


def test_a_text_that_has_become_shorter_is_shown_as_it_is() -> None:
    chunks = [Neighbour(0, 0, 90, "", ""), Neighbour(1, 80, 200, "", "")]
    parts = list(excerpts.parts("short now", chunks, (0, 2), 1, (5, 20)))
    assert "".join(piece.text for part in parts for piece in part.pieces) == "short now"


@pytest.mark.parametrize("length", [0, 1, 89, 340, 341, 2000])
@pytest.mark.parametrize("mark", [None, (0, 10), (300, 420), (1900, 2000)])
def test_the_mark_is_always_in_the_excerpt(length: int, mark: tuple[int, int] | None) -> None:
    text = ("word " * 400)[:length]
    inside = mark if mark and mark[1] <= length else None
    cut = excerpts.excerpt(text, inside)
    assert cut.marked == (text[inside[0] : inside[1]] if inside else "")
    assert cut.before + cut.marked + cut.after in text
    assert len(cut.before + cut.marked + cut.after) <= 600
