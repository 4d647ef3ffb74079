"""Prints answers: as tables for people, as JSON for programs, never with control characters from a text."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 1_000  # columns of a table nobody looks at: a name must not be cut before it reaches grep
# Escape sequences and text direction overrides in a stored text could rewrite the reader's terminal.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text without characters that a terminal obeys instead of showing; tabs and newlines stay.

    >>> printable("red: \\x1b[31m")
    'red: ␛[31m'
    """
    return UNPRINTABLE.sub(lambda match: chr(0x2400 + ord(match[0])) if match[0] < " " else "\ufffd", text)


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """A console that prints strings as they are: no markup, no emoji codes, no guessed colours."""
    from rich.console import Console

    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def print_json(answer: Any, *, on_one_line: bool = False) -> None:
    """One JSON object, on one line where nobody looks at it and indented on a terminal."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    indent = 2 if sys.stdout.isatty() and not on_one_line else None
    click.echo(json.dumps(answer, ensure_ascii=not utf8, indent=indent, default=_plain))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Rows under their column names; numbers are right-aligned, nothing is cut where the output is piped."""
    from rich.table import Table

    shown = list(rows)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for position, column in enumerate(columns):
        numeric = all(isinstance(row[position], int) for row in shown)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in shown:
        table.add_row(*(printable(cell(value)) for value in row))
    console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table)


def print_fields(fields: Iterable[tuple[str, Any]]) -> None:
    """Names and values, one pair a line."""
    shown = [(name, printable(cell(value))) for name, value in fields]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name.ljust(width)}  {value}")


def cell(value: Any) -> str:
    """A value as a person writes it.

    >>> cell(12345), cell(None), cell(True)
    ('12,345', '-', 'yes')
    """
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def rate(each_second: float) -> str:
    """A rate with as many digits as can be meant.

    >>> rate(1234.5), rate(1.25)
    ('1,234', '1.2')
    """
    return f"{each_second:,.0f}" if each_second >= 10 else f"{each_second:.1f}"


def size(count: int | None) -> str | None:
    """Bytes in the unit a person would choose.

    >>> size(1536), size(3 * 1024**3), size(None)
    ('1.5 KB', '3.0 GB', None)
    """
    if count is None:
        return None
    amount, unit = float(count), "B"
    for larger in ("KB", "MB", "GB", "TB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"


def _plain(value: Any) -> Any:
    """What `json` cannot write by itself: our records, arrays, dates."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
