"""Lays out texts as lines to read: their beginning, their end, or what is around a mark."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from semsearch.cli import output

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# How a line begins that goes on where the last one ended; one that begins with a name and a colon is a field's.
PROSE = re.compile(r"(?![\w-]{1,30}: )[\w\"'(*`]")
REACH = 4  # times what could be shown is laid out: more is not worth wrapping, however long the text is


def beginning(console: Console, text: str, width: int, lines: int, style: str = "") -> list[Text]:
    """The first lines of the text as it flows at this width, with an ellipsis where it goes on."""
    from rich.text import Text

    shown = Text(output.printable(reflow(text[: REACH * lines * width])), style=style)
    return _cut(list(shown.wrap(console, width)), 0, lines, width)


def end(console: Console, text: str, width: int, lines: int, style: str = "") -> list[Text]:
    """The last lines of the text, with an ellipsis where there is something before."""
    from rich.text import Text

    shown = Text(output.printable(reflow(text[-REACH * lines * width :])), style=style)
    wrapped = list(shown.wrap(console, width))
    return _cut(wrapped, max(0, len(wrapped) - lines), lines, width)


def around(console: Console, text: str, width: int, lines: int, mark: tuple[int, int]) -> list[Text]:
    """The lines with the part of the text between two offsets, which is bold: from the beginning, if it fits."""
    from rich.text import Text

    reach = REACH * lines * width
    skipped = max(0, mark[0] - reach)
    piece = text[skipped : mark[0] + reach]
    shown = Text(output.printable(reflow(piece)))
    shown.stylize("bold", *_reflowed(piece, mark[0] - skipped, mark[1] - skipped))
    wrapped = list(shown.wrap(console, width))
    marked = [number for number, line in enumerate(wrapped) if line.spans] or [0]
    fits = not skipped and marked[-1] < lines
    return _cut(wrapped, 0 if fits else max(0, marked[0] - 1), lines, width)


def _reflowed(text: str, start: int, end: int) -> tuple[int, int]:
    """Where a part of the text stands once it is reflowed, which changes nothing before a place by what follows it."""
    flowing = reflow(text[:end])
    before = len(reflow(text[:start]))
    return before + len(flowing[before:]) - len(flowing[before:].lstrip()), len(flowing)


def _cut(wrapped: list[Text], first: int, lines: int, width: int) -> list[Text]:
    shown = wrapped[first : first + lines]
    for line in shown:
        line.rstrip()
    if first + lines < len(wrapped):
        _break_off(shown[-1], width)
    if first:
        shown[0] = _resume(shown[0], width)
    return shown


def _resume(line: Text, width: int) -> Text:
    """Begin the line with an ellipsis, in place of its first word where there is no room for both."""
    from rich.text import Text

    if line.cell_len >= width:
        line = line[max(line.plain.find(" "), 0) + 1 :]
    return Text("…", style=line.style).append_text(line)


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
