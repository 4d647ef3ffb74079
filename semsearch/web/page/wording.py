"""Says in words what figures mean: distances, scores, plans, sizes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from semsearch.collection import Collection
from semsearch.records import Hit, Hits
from semsearch.web.page.asking import Asked

NOT_TOLD = "\N{EN DASH}"
DISTANCES = {
    "cosine": "cosine distance: 0 points the same way as the query, 1 has nothing to do with it, 2 is its opposite",
    "l2": "Euclidean distance: 0 is the same embedding, and there is no upper end",
    "inner_product": "negative inner product: the smaller, the nearer",
    "l1": "taxicab distance: 0 is the same embedding, and there is no upper end",
}
PLANS = {
    "exact": "every chunk that matches was compared",
    "ann": "the index led to the nearest, without comparing all",
    "text": "only chunks that have words of the query were looked at",
}
SCORES = {
    "hybrid": "the score adds how near the chunk is to the nearest one and how many of the query's words it has, "
    "rare words counting more",
    "text": "the score is BM25: how many of the query's words the chunk has, rare ones counting more, long texts less",
    "rerank": "the score is what the reranking model says after reading query and chunk together",
}


def seen(hits: Hits, *, counted: bool) -> str:
    """How the hits were found, in one sentence; the number may be an estimate, which is made from all tenants."""
    if hits.plan == "text" or not counted:
        return f"{PLANS[hits.plan]}."
    at_least = "at least " if hits.plan == "ann" else ""
    return f"{PLANS[hits.plan]}: {at_least}{hits.seen:,}."


def why(
    hit: Hit, rank: int, hits: Hits, asked: Asked, collection: Collection, *, counted: bool
) -> Iterator[tuple[str, str]]:
    """What made a chunk a hit, as terms and what they mean; `counted`: with how many were compared."""
    if hit.distance is not None:
        yield "distance", f"{hit.distance:.4f}, a {DISTANCES[collection.distance]}."
    if hit.score is not None:
        kind = "rerank" if asked.rerank else asked.mode
        yield "score", f"{hit.score:.4f}; {SCORES[kind]}. Larger is better."
    yield "rank", f"{rank:,} on this page, ordered by {'score' if hit.score is not None else 'distance'}."
    yield "plan", f"{hits.plan}: {seen(hits, counted=counted)}"
    complete = "Nothing that would rank higher was left out." if hits.plan != "ann" else "No more hits could have come."
    yield "complete", complete if hits.complete else "No: the search ended early, so that better hits may be missing."


def value(found: Any) -> str:
    """A value of the metadata: texts as they are, lists with commas, the rest as JSON.

    >>> value(["en", 2, None]), value({"a": 1})
    ('en, 2, null', '{"a": 1}')
    """
    if isinstance(found, list):
        return ", ".join(map(value, found))
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def shown(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The metadata that say anything."""
    return [(name, value(found)) for name, found in metadata.items() if found not in (None, "", [], {})]


def size(count: float | None) -> str:
    """Bytes as people say them, in the units of the limits; a dash stands for what is not told.

    >>> size(900), size(16 * 2**20), size(2_500_000)
    ('900 B', '16 MB', '2.4 MB')
    """
    if count is None:
        return NOT_TOLD
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1024:
            return f"{round(count, 1):g} {unit}"
        count /= 1024
    return f"{round(count, 1):g} TB"


def title(heading: str, document_id: str) -> tuple[str, list[str]]:
    """What a hit is called, and the headings below that.

    >>> title("Handbook > Passwords > Reset", "a1"), title("", "a1")
    (('Handbook', ['Passwords', 'Reset']), ('a1', []))
    """
    first, *rest = [part for part in heading.split(" > ") if part.strip()] or [document_id]
    return first, rest
