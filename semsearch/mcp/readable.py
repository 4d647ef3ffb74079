"""Answers in words, for assistants that are shown no structured content.

What documents say is indented, every line of it: no text can look like a hit, a heading or a note of ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from semsearch.mcp.answers import Beside, Collections, Found, Hits, Part

INDENT = "    "


def collections(answer: Collections) -> str:
    """A line for each."""
    if not answer.collections:
        return "There are no collections."
    return "\n".join(f"{one.name}: {one.description}" for one in answer.collections)


def hits(answer: Hits) -> str:
    """The hits, numbered, best first."""
    count = len(answer.hits)
    found = f"{count} hit{'' if count == 1 else 's'}" if count else "No hits"
    parts = [f"{found} in collection {answer.collection}{', best first' if count > 1 else ''}."]
    if not answer.complete:
        parts[0] += " There may be better ones: the search ended early."
    if answer.cut:
        parts[0] += " Long texts or metadata were cut: the tool `get` reads the document whole."
    return "\n\n".join([*parts, *("\n".join(_hit(at, hit)) for at, hit in enumerate(answer.hits, 1))])


def document(answer: Part) -> str:
    """Title, metadata, and the text."""
    shown = f"characters {answer.offset:,} to {answer.offset + len(answer.text):,} of {answer.length:,}"
    if answer.next_offset is not None:
        shown += f"; offset={answer.next_offset} goes on"
    lines = [f"Document {_inline(answer.document_id)} of collection {answer.collection}, {shown}."]
    if answer.title:
        lines.append(f"title: {_inline(answer.title)}")
    if answer.metadata:
        lines.append(f"metadata: {_json(answer.metadata)}")
    if answer.cut:
        lines.append("Some metadata were left out: they are long.")
    return "\n".join([*lines, "text:", _indented(answer.text)])


def _hit(at: int, hit: Found) -> Iterator[str]:
    measures = [("distance", hit.distance), ("score", hit.score)]
    near = "".join(f", {name} {value:.4f}" for name, value in measures if value is not None)
    yield f"[{at}] document {_inline(hit.document_id)}, chunk {hit.ordinal}{near}"
    if hit.heading:
        yield f"heading: {_inline(hit.heading)}"
    if hit.metadata:
        yield f"metadata: {_json(hit.metadata)}"
    yield from _beside("before", hit.before)
    yield f"text:\n{_indented(hit.text)}"
    yield from _beside("after", hit.after)


def _beside(where: str, chunks: list[Beside]) -> Iterator[str]:
    for chunk in chunks:
        yield f"chunk {chunk.ordinal}, {where} it:\n{_indented(chunk.text)}"


def _indented(text: str) -> str:
    return "".join(INDENT + line for line in text.splitlines(keepends=True))


def _inline(text: str) -> str:
    """On one line, in quotes where it would not read as one word."""
    plain = text.isprintable() and " " not in text and not text.startswith('"')
    return text if plain else _json(text)


def _json(value: Any) -> str:
    """On one line: whatever is not printable is escaped, and the rest is as it was written."""
    return "".join(
        each if each.isprintable() else json.dumps(each)[1:-1] for each in json.dumps(value, ensure_ascii=False)
    )
