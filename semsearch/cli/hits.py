"""Shows hits so that a person enjoys reading them, and writes them so that a program can."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from semsearch.cli import output

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from semsearch.records import Hit, Hits

MARGIN = 4  # columns: the rank stands in it
TEXT_LINES = 5
# How a line begins that goes on where the last one ended; one that begins with a name and a colon is a field's.
PROSE = re.compile(r"(?![\w-]{1,30}: )[\w\"'(*`]")
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
    wrapped = Text(output.printable(reflow(text[: 4 * lines * width])), style=style).wrap(console, width)
    for line in wrapped[:lines]:
        line.rstrip()
    if len(wrapped) > lines:
        _break_off(wrapped[lines - 1], width)
    yield from wrapped[:lines]


def _break_off(line: Text, width: int) -> None:
    """End the line with an ellipsis, after a whole word where there is one."""
    if line.cell_len >= width:
        line.truncate(width - 1, overflow="crop")
        space = line.plain.rstrip().rfind(" ")
        line.right_crop(len(line) - space if space > 0 else 0)
    line.rstrip()
    line.append("…")


def reflow(text: str) -> str:
    """The text without blank lines, its paragraphs on one line each; code, lists and the like keep their lines.

    >>> print(reflow("What it is\\ngood for:\\n\\n  - this\\n  - that\\n\\nAnd no\\nmore."))
    What it is good for:
      - this
      - that
    And no more.
    """
    lines: list[str] = []
    flows = False
    for line in text.expandtabs(4).splitlines():
        prose = PROSE.match(line) is not None
        if prose and flows:
            lines[-1] += f" {line.rstrip()}"
        elif not line.isspace() and line:
            lines.append(line.rstrip())
        flows = prose
    return "\n".join(lines)


def _metadata(metadata: dict[str, Any]) -> str:
    shown = (f"{name}: {_value(value)}" for name, value in metadata.items() if value not in (None, "", [], {}))
    return " · ".join(shown)


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
