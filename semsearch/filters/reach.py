"""What a filter looks at."""

from __future__ import annotations

from semsearch.filters.tree import And, AtLeast, Filter, Not, Or, Text


def reads_text(filter: Filter) -> bool:
    """Whether it looks at the text of chunks, so that it may match one chunk of a document and not another."""
    match filter:
        case And() | Or() | AtLeast():
            return any(reads_text(each) for each in filter.filters)
        case Not():
            return reads_text(filter.filter)
    return isinstance(filter, Text)
