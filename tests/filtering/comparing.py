"""PostgreSQL's answers against the evaluator's, on random filters and rows."""

from __future__ import annotations

import random

import sqlalchemy as sa

from semsearch import filters
from tests.filtering.drawing import DECLARED, Draw
from tests.filtering.evaluator import Evaluator
from tests.filtering.table import COLUMNS, answers, load

FILTERS, ROWS_EACH = 40, 40
_EVALUATOR = Evaluator(DECLARED)


def compare(connection: sa.Connection, seed: int, columns: filters.Columns = COLUMNS) -> int:
    """Ask FILTERS filters of ROWS_EACH rows, assert that both say the same, and count those that tell rows apart."""
    draw = Draw(random.Random(seed))
    stored, asked = [draw.row() for _ in range(ROWS_EACH)], [draw.filter() for _ in range(FILTERS)]
    telling = 0
    with connection.begin_nested() as savepoint:
        load(connection, stored)
        for filter, found in zip(asked, answers(connection, asked, columns), strict=True):
            expected = {id for id, row in enumerate(stored) if _EVALUATOR.holds(filter, row)}
            assert found == expected, (seed, filter, [stored[id] for id in found ^ expected][:3])
            telling += 0 < len(found) < len(stored)
        savepoint.rollback()
    return telling
