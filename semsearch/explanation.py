"""Says why a plan was chosen and what PostgreSQL did, so that a person can read it."""

from __future__ import annotations

from collections.abc import Iterator

from semsearch.planner import Choice
from semsearch.retrieval import Pool


def of(pool: Pool) -> str:
    """The choice with its figures, the statement, and EXPLAIN (ANALYZE, BUFFERS) of it."""
    choice = ["plan: text, by words alone"] if pool.choice is None else _choice(pool.choice)
    return "\n".join([*choice, "", pool.sql, "", *pool.explain()])


def _choice(choice: Choice) -> Iterator[str]:
    yield f"plan: {choice.plan}, because {choice.reason}"
    if choice.matches is not None:
        yield f"{choice.matches:,} chunks match{', counted' if choice.counted else ', by the statistics'}"
    if choice.exact_cost is not None:
        walk = "" if choice.ann_cost is None else f", to walk the index about {choice.ann_cost / 1000:.1f} ms"
        yield f"to compare all takes about {choice.exact_cost / 1000:.1f} ms{walk}"
    if choice.scan.settings:
        yield "settings: " + ", ".join(f"{name} = {value}" for name, value in choice.scan.settings)
