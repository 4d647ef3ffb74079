"""How stored chunks are compared with those a worker would store: every kind of difference, and none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from semsearch.records import Chunk
from semsearch.store.chunks import Row
from semsearch.store.verification import Stored
from semsearch.verify import KINDS, Difference, Verification, compare

TEXTS = ("one", "two", "three")
PLANNED = [
    Row("a", Chunk(i, 10 * i, 10 * i + len(text), text, "head", text), text.encode(), None, {"lang": "en", "ok": True})
    for i, text in enumerate(TEXTS)
]
STORED = [
    Stored(row.chunk.ordinal, row.chunk.start, row.chunk.end, row.hash, "head", row.chunk.text, row.metadata, True)
    for row in PLANNED
]


def with_second(**changes: Any) -> list[Stored]:
    return [STORED[0], replace(STORED[1], **changes), STORED[2]]


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        (STORED, None),
        ([], "missing"),
        (STORED[:2], "stale"),
        ([STORED[0], STORED[2]], "gaps"),
        (STORED[1:], "gaps"),
        (with_second(text="other"), "stale"),
        (with_second(hash=b"other"), "stale"),
        (with_second(start=11), "stale"),
        (with_second(end=11), "stale"),
        (with_second(heading=""), "stale"),
        (with_second(usable=False), "unusable"),
        (with_second(metadata={"ok": True, "lang": "en"}), None),
        (with_second(metadata={"lang": "de", "ok": True}), "metadata"),
        (with_second(metadata={"lang": "en", "ok": 1}), "metadata"),
        (with_second(metadata={}), "metadata"),
        (with_second(usable=False, text="other"), "stale"),
    ],
)
def test_a_document_differs_in_one_way(stored: list[Stored], kind: str | None) -> None:
    assert compare(stored, PLANNED) == kind


def test_a_blank_document_has_no_chunks() -> None:
    assert compare([], []) is None
    assert compare(STORED, []) == "stale"


def test_a_document_that_would_be_written_off_must_not_have_chunks() -> None:
    assert compare([], None) == "missing"
    assert compare(STORED, None) == "stale"


def test_every_kind_is_counted_and_the_first_are_named() -> None:
    difference = Difference()
    for number in range(25):
        difference.add(str(number))
    assert difference.count == 25
    assert difference.examples == [str(number) for number in range(10)]


def test_what_was_enqueued_is_healed_and_a_trigger_is_not() -> None:
    found = Verification("notes")
    assert found.clean
    found.differences["stale"].add("a")
    assert not found.clean
    assert not found.healed
    found.enqueued = 1
    assert found.healed
    found.blocked = "the table is gone"
    assert not found.healed
    assert set(found.differences) == set(KINDS)
