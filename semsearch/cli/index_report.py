"""Prints advice on an index, its recall, and what tuning made of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import output

if TYPE_CHECKING:
    from semsearch.store.calibration import Calibration
    from semsearch.store.index_advice import Advice, Candidate
    from semsearch.store.indexes import Index
    from semsearch.store.recall import Recall


def print_advice(advice: Advice) -> None:
    """The best candidate first, why, and all of them as a table."""
    best, data = advice.best, advice.data
    click.echo(f"{_named(best)} for {data.rows:,} chunks of {data.dimensions:,} dimensions ({data.vector_type})")
    for reason in advice.reasons:
        click.echo(f"  {reason}")
    click.echo()
    columns = ("index", "size", "memory to build", "time to build", "memory to search", "against it")
    output.print_table(columns, [_candidate(each) for each in (best, *advice.alternatives)])


def _candidate(each: Candidate) -> tuple[Any, ...]:
    sizes = [output.size(count) for count in (each.index_bytes, each.build_bytes, each.search_bytes)]
    return _named(each), sizes[0], sizes[1], duration(each.build_seconds), sizes[2], each.problem


def _named(candidate: Candidate) -> str:
    return candidate.kind if candidate.quantization == "none" else f"{candidate.kind} {candidate.quantization}"


def as_json(advice: Advice) -> dict[str, Any]:
    """The same for programs; sizes in bytes, times in seconds."""
    made = dataclasses.asdict(advice)
    return {**made, "data": advice.data._asdict(), "server": advice.server._asdict()}


def duration(seconds: float) -> str:
    """
    >>> duration(0.2), duration(90), duration(7300)
    ('under 1 s', '2 min', '2.0 h')
    """
    if seconds < 1:
        return "under 1 s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def print_recall(measured: Sequence[Recall]) -> None:
    """The latest first, as tables are read."""
    columns = ("measured", "recall", "queries", "filtered recall", "filtered queries", "top_k", "ef_search")
    output.print_table(
        columns,
        [
            (
                f"{each.measured_at:%Y-%m-%d %H:%M}",
                _share(each.recall),
                each.queries,
                _share(each.filtered_recall),
                each.filtered_queries,
                each.top_k,
                each.ef_search,
            )
            for each in measured
        ],
    )


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def print_tuned(name: str, before: Calibration | None, now: Calibration) -> None:
    """What is reached, and what it costs."""
    cost = f"{now.milliseconds:.1f} ms a search"
    if before and before.measured_at:
        cost += f" instead of {before.milliseconds:.1f} ms"
    click.echo(f"{name}: {_reached(now)}, {cost}")


def said(measured: Calibration | None) -> str:
    """What was measured after a build, to be put behind a sentence."""
    return "" if measured is None or measured.recall is None else f", {_reached(measured)}"


def _reached(measured: Calibration) -> str:
    effort = f"ef_search {measured.ef_search}" if measured.ef_search else f"probes {measured.probes}"
    return f"recall@10 {measured.recall:.3f} with {effort}"


def row(index: Index) -> tuple[Any, ...]:
    """An index as a row of the table."""
    held = {"none": "embeddings", "halfvec": "half precision", "binary": "signs"}[index.quantization]
    holds = held if index.predicate is None else f"{held} where {index.predicate}"
    return index.name, index.kind, holds, index.dimensions, index.valid, index.serves, output.size(index.bytes)
