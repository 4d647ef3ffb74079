"""Shows hits so that a person enjoys reading them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from semsearch.cli import output, passages

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from semsearch.records import Hit

MARGIN = 4  # columns: the rank stands in it
TEXT_LINES = 5
WHOLE_LINES = 20  # of a text whose neighbours are shown, so that one reads on into the other
NEIGHBOUR_LINES = 3
WIDEST = 100  # columns: longer lines are tiring to read


def print_hits(hits: Sequence[Hit], *, by_document: bool = False) -> None:
    """Rank, document, distance or score, heading, passage and metadata of every hit; or the hits of each document
    together, with one rank.
    """
    console = output.console()
    if not hits:
        console.print("no hits")
    for rank, group in enumerate(_groups(hits, by_document), start=1):
        _print_group(console, rank, group)
        console.print()


def _groups(hits: Sequence[Hit], by_document: bool) -> Iterator[list[Hit]]:
    if by_document:
        yield from (list(group) for _, group in itertools.groupby(hits, key=lambda hit: hit.document_id))
    else:
        yield from ([hit] for hit in hits)


def _print_group(console: Console, rank: int, group: Sequence[Hit]) -> None:
    from rich.text import Text

    width = min(console.width, WIDEST)
    heading = group[0].document_id  # what stands above already
    for hit in group:
        console.print(_title(rank if hit is group[0] else None, hit, width))
        lines = list(_body(console, hit, heading, width - MARGIN))
        if hit is group[-1] and hit.metadata:
            lines += passages.beginning(console, _metadata(hit.metadata), width - MARGIN, 1, "dim")
        for line in lines:
            console.print(Text(" " * MARGIN).append_text(line), soft_wrap=True)
        heading = hit.heading


def _title(rank: int | None, hit: Hit, width: int) -> RenderableType:
    """Without a rank it is a further hit of the document above."""
    from rich.table import Table
    from rich.text import Text

    place = Text(f"#{hit.ordinal}", style="not bold dim")
    name = Text(output.printable(hit.document_id), style="bold", overflow="fold")
    if hit.ordinal:
        name.append(" ").append_text(place)
    number = Text(f"{rank:>2}" if rank else "", style="bold cyan")
    line = Table.grid(expand=True)
    line.width = width
    line.add_column(width=MARGIN)
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(number, name if rank else place, Text(f" {_measures(hit)}", style="dim"))
    return line


def _measures(hit: Hit) -> str:
    """The distance alone; with a score, which of the two is which."""
    distance = "" if hit.distance is None else f"{hit.distance:.4f}"
    if hit.score is None:
        return distance
    return f"score {hit.score:.4f}" + (f" · distance {distance}" if distance else "")


def _body(console: Console, hit: Hit, heading: str, width: int) -> Iterator[Text]:
    """Lines of at most `width` columns; `heading` stands above already."""
    if hit.heading and hit.heading != heading:
        yield from passages.beginning(console, hit.heading, width, 1, "green")
    if hit.before:
        yield from passages.end(console, _before(hit), width, NEIGHBOUR_LINES * len(hit.before), "dim")
    lines = WHOLE_LINES if hit.before or hit.after else TEXT_LINES
    if hit.highlight is None:
        yield from passages.beginning(console, hit.text, width, lines)
    else:
        yield from passages.around(console, hit.text, width, lines, hit.highlight)
    if hit.after:
        yield from passages.beginning(console, _after(hit), width, NEIGHBOUR_LINES * len(hit.after), "dim")


def _before(hit: Hit) -> str:
    """The text of the chunks before the hit, without what the next of them repeats."""
    ends = [*(chunk.start for chunk in hit.before[1:]), hit.start]
    return "\n".join(
        chunk.text[: max(0, end - chunk.start)].strip() for chunk, end in zip(hit.before, ends, strict=True)
    )


def _after(hit: Hit) -> str:
    """The text of the chunks after the hit, without what each repeats of the one before."""
    starts = [hit.end, *(chunk.end for chunk in hit.after[:-1])]
    return "\n".join(
        chunk.text[max(0, start - chunk.start) :].strip() for chunk, start in zip(hit.after, starts, strict=True)
    )


def _metadata(metadata: dict[str, Any]) -> str:
    shown = (f"{name}: {_value(value)}" for name, value in metadata.items() if value not in (None, "", [], {}))
    return " · ".join(shown)


def _value(value: Any) -> str:
    """As a filter is written: texts as they are, the rest as JSON."""
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
