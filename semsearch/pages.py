"""Where a page of hits ended, as a text that the next search is given: keyset pagination.

What is put or deleted meanwhile moves no page of distances: the next one begins behind the last hit that was shown,
wherever that stands by then. No hit comes twice. Scores of words depend on all that is stored: when it changes between
two pages, hits may come again or be left out. A walk of the index may miss a hit that is nearer than the last of a
page, as it may miss any, and then no later page has it; pages of the exact plan miss none.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from semsearch import cleaning
from semsearch.errors import InvalidInput
from semsearch.records import Hit

MOST_SEEN = 1_000_000  # hits on all pages together
ADVICE = "`after` is the `next` of an earlier answer to the same search; this is none."


@dataclass(frozen=True)
class Page:
    """The end of a page: the key of its last hit, which hits of that key were shown, how many hits in all, and the
    distance of the last.

    The key is a distance, or a score with its sign changed: smaller comes first. Scores have a total order, so that the
    last hit is enough. A walk of an index has none: of several at one distance it may find any.
    """

    key: float
    shown: tuple[tuple[str, int], ...]
    seen: int
    distance: float

    def __str__(self) -> str:
        plain = json.dumps([self.key, self.shown, self.seen, self.distance], separators=(",", ":"))
        return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def key(hit: Hit) -> float:
    """What hits are ordered by, smaller first."""
    if hit.score is not None:
        return -hit.score
    assert hit.distance is not None
    return hit.distance


def order(hit: Hit) -> tuple[float, float, str, int]:
    """What hits with a score are sorted by."""
    return key(hit), hit.distance or 0.0, hit.document_id, hit.ordinal


def parse(text: Any) -> Page:
    """The page that ended so. Raises InvalidInput."""
    if not isinstance(text, str):
        raise InvalidInput(ADVICE)
    try:
        last, shown, seen, distance = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        page = Page(float(last), tuple((id, int(at)) for id, at in shown), int(seen), float(distance))
    except (ValueError, TypeError, OverflowError, binascii.Error, RecursionError) as error:
        raise InvalidInput(ADVICE) from error
    known = bool(page.shown) and all(cleaning.is_id(id) and 0 <= at < 2**31 for id, at in page.shown)
    if not (known and math.isfinite(page.key) and math.isfinite(page.distance) and 0 < page.seen <= MOST_SEEN):
        raise InvalidInput(ADVICE)
    return page


def end(hits: Sequence[Hit], before: Page | None) -> Page:
    """Where a page that consists of these hits ends."""
    last, seen = hits[-1], len(hits) + (before.seen if before else 0)
    if last.score is not None:
        return Page(key(last), ((last.document_id, last.ordinal),), seen, last.distance or 0.0)
    shown = [(hit.document_id, hit.ordinal) for hit in hits if key(hit) == key(last)]
    if before is not None and before.key == key(last):
        shown = [*before.shown, *shown]
    return Page(key(last), tuple(shown), seen, key(last))


def follows(hit: Hit, page: Page) -> bool:
    """Whether a hit belongs on a later page."""
    if hit.score is not None:
        return order(hit) > (page.key, page.distance, *page.shown[-1])
    at = key(hit)
    return at > page.key or (at == page.key and (hit.document_id, hit.ordinal) not in page.shown)
