"""Answers as they are sent: written straight from what was found, in the form that `bodies` describes."""

from __future__ import annotations

import json
from collections.abc import Collection as Ids
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from semsearch.collection import Collection
from semsearch.errors import IngestError
from semsearch.records import Hit, Hits, Neighbour
from semsearch.road import Report

HIT = ("distance", "document_id", "ordinal", "text", "metadata", "heading", "start", "end")
CHUNK = ("ordinal", "start", "end", "heading", "text")
# Not the chunks: those who wait embed whatever is waiting, also others' documents, and others embed theirs.
COUNTS = ("added", "changed", "unchanged", "waiting")


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """As JSON."""
    written = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(written.encode("utf-8", "backslashreplace"), status, dict(headers or {}), "application/json")


def as_hits(found: Hits) -> dict[str, Any]:
    """A search's answer; what was not asked for is left out."""
    answer = {
        "hits": [as_hit(hit) for hit in found],
        "plan": found.plan,
        "seen": found.seen,
        "complete": found.complete,
        "next": found.next,
    }
    return answer if found.explanation is None else {**answer, "sql": found.sql, "explanation": found.explanation}


def as_hit(hit: Hit) -> dict[str, Any]:
    values = {name: getattr(hit, name) for name in HIT}
    if hit.score is not None:
        values["score"] = hit.score
    if hit.highlight is not None:
        values["highlight"] = hit.highlight
    for side in ("before", "after"):
        if around := getattr(hit, side):
            values[side] = [as_chunk(neighbour) for neighbour in around]
    return values


def as_chunk(chunk: Neighbour) -> dict[str, Any]:
    return {name: getattr(chunk, name) for name in CHUNK}


def as_report(report: Report, failed: Mapping[str, str]) -> dict[str, Any]:
    """What became of documents; `failed` are those of them that could not be embedded."""
    return {
        **{name: getattr(report, name) for name in COUNTS},
        "failed": [{"id": id, "reason": reason} for id, reason in failed.items()],
        "broken": [{"where": one.where, "reason": one.reason, "id": one.id} for one in report.broken],
        "seconds": round(report.seconds, 3),
    }


def failed_of(report: Report, ids: Ids[str]) -> dict[str, str]:
    """Which of these documents could not be embedded: the report has whatever failed meanwhile, also others'."""
    return {id: reason for id, reason in report.failed.items() if id in ids}


def failed_for(report: Report, collection: Collection, tenant: str | None) -> dict[str, str]:
    """The same, where it is not known which documents were put: those of the tenant, if there is one."""
    return report.failed if tenant is None else failed_of(report, collection.owned(report.failed, tenant=tenant))


def raise_failed(failed: Mapping[str, str], count: int) -> None:
    """Raise IngestError when some of `count` documents could not be embedded."""
    if failed:
        id, reason = next(iter(failed.items()))
        which = f"document {id!r:.80}" if count == 1 else f"{len(failed)} documents, the first of them {id!r:.80},"
        rest = "" if count == 1 else " The others are searchable."
        raise IngestError(f"{which} could not be embedded: {reason}.{rest}", dict(failed))
