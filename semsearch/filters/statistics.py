"""Whether PostgreSQL can know how many rows match a filter before it looks."""

from __future__ import annotations

from semsearch.filters.columns import Columns
from semsearch.filters.tree import And, AtLeast, Comparison, Contains, Filter, In, Matches, Not, Or, Text


def estimable(filter: Filter, columns: Columns) -> bool:
    """Whether there are statistics for every condition; EXPLAIN's number of rows is a guess otherwise.

    There are for columns, and for containment of metadata, which is evaluated on the sample that ANALYZE kept. For an
    expression such as metadata -> 'year' PostgreSQL takes 0.5 % or a third, whatever it holds.
    """
    match filter:
        case And() | Or():
            return all(estimable(each, columns) for each in filter.filters)
        case Not():
            return estimable(filter.filter, columns)
        case Comparison():
            return filter.operator == "$eq" or columns.typed(filter.key) is not None
        case In() | Contains():
            return True
        case Matches():
            return filter.operator == "$starts_with" and columns.typed(filter.key) is not None
        case Text():
            return filter.operator == "$match"
        case AtLeast():
            return False
    return False
