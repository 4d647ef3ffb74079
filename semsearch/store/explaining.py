"""EXPLAIN, around any statement that SQLAlchemy can compile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, Select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement, Executable

from semsearch.store.session import Setting, transaction


class Explain(Executable, ClauseElement):
    """EXPLAIN (options) statement. The options are this program's own words, never a user's."""

    inherit_cache = False

    def __init__(self, statement: Select[Any], options: str) -> None:
        self.statement = statement
        self.wanted = options


@compiles(Explain)
def _explain(element: Explain, compiler: SQLCompiler, **options: Any) -> str:
    return f"EXPLAIN ({element.wanted}) {compiler.process(element.statement, **options)}"


def explain(
    engine: Engine, statement: Select[Any], values: Mapping[str, Any], settings: Sequence[Setting] = ()
) -> list[str]:
    """What PostgreSQL itself says of a statement, which it runs for that: one line each."""
    asked = Explain(statement, "ANALYZE, BUFFERS, SETTINGS")
    with engine.connect() as connection, transaction(connection, settings):
        return list(connection.execute(asked, dict(values)).scalars())
