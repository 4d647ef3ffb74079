"""Shows the answer to a search: its hits, how they were found, and how to go on; for programs as JSON."""

from __future__ import annotations

import dataclasses
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import hits, output

if TYPE_CHECKING:
    from semsearch.records import Hits

# What a hit has only where it was asked for.
EXTRAS = ("score", "highlight", "before", "after")
INDENT = 6  # columns more: EXPLAIN's own steps are four and six


@dataclass(frozen=True)
class Show:
    """How an answer is shown: for a program, or as the statement alone; hits under their document; with EXPLAIN."""

    as_json: bool = False
    sql: bool = False
    by_document: bool = False
    hurried: bool = False  # a deadline may have ended the search

    @classmethod
    def of(cls, values: Mapping[str, Any], *, as_json: bool, sql: bool) -> Show:
        """As the options of a search ask for it."""
        return cls(as_json, sql, values["per_document"] is not None, values["partial"])


def print_answer(found: Hits, show: Show, query: str | None = None) -> None:
    """One answer; of several, each says what was asked: as a title, or in a JSON object on a line of its own."""
    if show.as_json:
        answer = as_json(found) | ({"sql": found.sql} if show.sql else {})
        output.print_json(answer if query is None else {"query": query} | answer, on_one_line=query is not None)
        return
    if query is not None:
        _print_query(query)
    if show.sql:
        click.echo(found.sql)
    else:
        _print_all(found, show)
    if query is not None:
        click.echo()


def as_json(found: Hits) -> dict[str, Any]:
    """The hits, best first, with the extras that any of them has; how they were found, and where they go on."""
    unused = [name for name in EXTRAS if all(getattr(hit, name) in (None, ()) for hit in found)]
    answer = {
        "hits": [_without(dataclasses.asdict(hit), unused) for hit in found],
        "plan": found.plan,
        "seen": found.seen,
        "complete": found.complete,
        "next": found.next,
    }
    return answer if found.explanation is None else answer | {"explanation": found.explanation}


def _without(values: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _print_all(found: Hits, show: Show) -> None:
    hits.print_hits(found, by_document=show.by_document)
    if found.explanation is not None:
        _print_explanation(found.explanation)
    _print_summary(found, show)


def _print_query(query: str) -> None:
    from rich.text import Text

    console = output.console()
    console.print(Text(f" {output.printable(query)} ", style="bold reverse"), soft_wrap=True)
    console.print()


def _print_explanation(explanation: str) -> None:
    """On a terminal the lines that are too long for it go on below, indented further."""
    width = output.console().width if sys.stdout.isatty() else output.PIPED_WIDTH
    for line in output.printable(explanation).splitlines():
        indent = " " * (len(line) - len(line.lstrip()) + INDENT)
        click.echo("\n".join(textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False)))
    click.echo()


def _print_summary(found: Hits, show: Show) -> None:
    counts = [_number(len(found), "hit")] if found else []
    if found and show.by_document:
        counts[0] += f" in {_number(len({hit.document_id for hit in found}), 'document')}"
    parts = [*counts, f"plan {found.plan}", f"{_number(found.seen, 'chunk')} seen", _completeness(found, show)]
    console = output.console()
    console.print(" · ".join(parts), style="dim")
    if found.next is not None:
        console.print(f"next page: --after {found.next}", style="dim", soft_wrap=True)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _completeness(found: Hits, show: Show) -> str:
    if found.complete:
        return "complete"
    if show.hurried:
        return "not complete: the deadline came first"
    return "not complete: some of the words are very common"
