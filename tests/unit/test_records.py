"""The nouns: equal by value, frozen, and Hits behave as a sequence."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from semsearch import Document, Hit, Hits


def hit(number: int) -> Hit:
    return Hit(float(number), f"d{number}", 0, "text", {}, "", 0, 4)


def test_documents_are_equal_by_value_whatever_their_embedding() -> None:
    assert Document("a", "x", embedding=np.ones(3)) == Document("a", "x")
    assert Document("a", "x", {"year": 1}) != Document("a", "x")
    assert "embedding" not in repr(Document("a", "x", embedding=[1.0] * 1000))


def test_documents_do_not_share_their_metadata() -> None:
    assert Document("a", "x").metadata is not Document("b", "y").metadata


def test_records_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Document("a", "x").text = "y"  # type: ignore[misc]


def test_hits_are_a_sequence() -> None:
    hits = Hits((hit(1), hit(2), hit(3)), "exact", "SELECT 1")
    assert len(hits) == 3
    assert hits[0] == hit(1)
    assert hits[-1].document_id == "d3"
    assert hits[1:] == (hit(2), hit(3))
    assert [each.document_id for each in hits] == ["d1", "d2", "d3"]
    assert hit(2) in hits
    assert not Hits((), "ann", "")
    with pytest.raises(IndexError):
        hits[3]
