"""Shows hits so that a person enjoys reading them, and writes them so that a program can."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from semsearch.cli import output

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from semsearch.records import Hit, Hits

MARGIN = 4  # columns: the rank stands in it
TEXT_LINES = 4
WIDEST = 100  # columns: longer lines are tiring to read


def as_json(hits: Hits) -> dict[str, Any]:
    """The hits, nearest first, and how they were found."""
    return {"hits": [dataclasses.asdict(hit) for hit in hits], "plan": hits.plan}


def print_hits(hits: Hits) -> None:
    """Rank, document, distance, heading, the beginning of the text and the metadata of every hit."""
    from rich.text import Text

    console = output.console()
    width = min(console.width, WIDEST)
    if not hits:
        console.print("no hits")
    for rank, hit in enumerate(hits, start=1):
        console.print(_title(rank, hit, width))
        for line in _body(console, hit, width - MARGIN):
            console.print(Text(" " * MARGIN).append_text(line), soft_wrap=True)
        console.print()


def _title(rank: int, hit: Hit, width: int) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    name = Text(output.printable(hit.document_id), style="bold", overflow="fold")
    if hit.ordinal:
        name.append(f" #{hit.ordinal}", style="not bold dim")
    line = Table.grid(expand=True)
    line.width = width
    line.add_column(width=MARGIN)
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(Text(f"{rank:>2}", style="bold cyan"), name, Text(f" {hit.distance:.4f}", style="dim"))
    return line


def _body(console: Console, hit: Hit, width: int) -> Iterator[Text]:
    """Lines of at most `width` columns."""
    if hit.heading and hit.heading != hit.document_id:
        yield from _flow(console, hit.heading, width, lines=1, style="green")
    yield from _flow(console, hit.text, width, lines=TEXT_LINES)
    if hit.metadata:
        yield from _flow(console, _metadata(hit.metadata), width, lines=1, style="dim")


def _flow(console: Console, text: str, width: int, *, lines: int, style: str = "") -> Iterator[Text]:
    """The first lines of the text as it flows at this width, with an ellipsis where it goes on."""
    from rich.text import Text

    # A line takes at most `width` characters: more than that is not worth wrapping, however long the text is.
    flowing = Text(output.printable(" ".join(text[: 2 * lines * width].split())), style=style)
    wrapped = flowing.wrap(console, width)
    for line in wrapped[:lines]:
        line.rstrip()
    if len(wrapped) > lines:
        wrapped[lines - 1].truncate(width - 1, overflow="crop")
        wrapped[lines - 1].rstrip()
        wrapped[lines - 1].append("…")
    yield from wrapped[:lines]


def _metadata(metadata: dict[str, Any]) -> str:
    shown = (f"{name}: {_value(value)}" for name, value in metadata.items() if value not in (None, "", [], {}))
    return " · ".join(shown)


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
