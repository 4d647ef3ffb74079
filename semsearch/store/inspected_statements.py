"""Statements that people wrote, where the database keeps them: views, functions, pg_stat_statements if it is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Connection, Text, column, quoted_name, select, table, text
from sqlalchemy.exc import DBAPIError

from semsearch.store.inspection import AnnIndex, Column, Finding
from semsearch.store.orderings import Ordering, orderings

MOST = 1_000  # statements that are looked at
OPERATORS = r"<->|<=>|<#>|<\+>|<~>|<%>"


@dataclass(frozen=True)
class Statement:
    """SQL with a distance operator in it; `name` says where it is."""

    name: str
    sql: str

    def mentions(self, of: Column) -> bool:
        """Whether it asks that table, as far as a text can tell."""
        return of.name.rpartition(".")[2].strip('"') in self.sql


# Our own search by the operators, too; they are left out, and so are those of extensions.
VIEWS_AND_FUNCTIONS = text(r"""
SELECT 'view ' || c.oid::regclass AS name, pg_get_viewdef(c.oid) AS sql
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'semsearch', 'collections')
  AND pg_get_viewdef(c.oid) ~ '<->|<=>|<#>|<\+>|<~>|<%>'
UNION ALL
SELECT 'function ' || p.oid::regprocedure, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'semsearch')
  AND coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) ~ '<->|<=>|<#>|<\+>|<~>|<%>'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
ORDER BY name
""")
KEPT = text("""
SELECT n.nspname AS schema, c.relname AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = 'pg_stat_statements' AND c.relkind = 'v' AND has_table_privilege(c.oid, 'SELECT')
LIMIT 1
""")


def every(connection: Connection) -> list[Statement]:
    """All that can be read."""
    found = [Statement(*row) for row in connection.execute(VIEWS_AND_FUNCTIONS)]
    return found + _counted(connection)


def _counted(connection: Connection) -> list[Statement]:
    """Those of pg_stat_statements by how often they ran; none where the server does not load it."""
    there = connection.execute(KEPT).one_or_none()
    if there is None:
        return []
    name = quoted_name(there.name, quote=True)
    kept = table(name, column("query", Text), column("calls", BigInteger), schema=quoted_name(there.schema, quote=True))
    wanted = kept.c.query.regexp_match(OPERATORS) & kept.c.query.not_like("%semsearch.%")
    try:
        with connection.begin_nested():
            rows = connection.execute(select(kept.c.query).where(wanted).order_by(kept.c.calls.desc()).limit(MOST))
            return [Statement("a statement", " ".join(each.split())) for each in rows.scalars()]
    except DBAPIError:  # not in shared_preload_libraries
        return []


def seen(statements: Sequence[Statement], columns: Sequence[Column]) -> list[tuple[Statement, Column, Ordering]]:
    """The orderings by a distance of a known column."""
    return [
        (statement, of, ordering)
        for statement in statements
        for ordering in orderings(statement.sql)
        for of in columns
        if ordering.is_of(of.column) and statement.mentions(of)
    ]


def findings(seen: Sequence[tuple[Statement, Column, Ordering]], indexes: Sequence[AnnIndex]) -> Iterator[Finding]:
    """Orderings that no ANN index answers, though there is one, or could be."""
    for statement, of, ordering in seen:
        valid = [index for index in indexes if index.valid and index.is_on(of)]
        if ordering.fault:
            how = "in descending order" if ordering.fault == "descending" else "by an expression"
            said = f"{statement.name} orders {how}, which no index answers: {_short(statement.sql)}"
            yield Finding("statements", said, f"{ordering.remedy}, and compute with the distance outside of it")
        elif valid and not any(_answers(index, of, ordering) for index in valid):
            said = f"{statement.name} orders {of.name} by {ordering.left} {ordering.operator}, which no index answers"
            yield Finding("statements", said, f"Write {valid[0].ordering}, or make an index for it.")


def _answers(index: AnnIndex, of: Column, ordering: Ordering) -> bool:
    """Same operator, and cast where the index holds a cast."""
    same_form = ("halfvec" in index.expression or "bit" in index.expression) == ("::" in ordering.left)
    return index.operator == ordering.operator and (same_form or index.expression == of.column)


def _short(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= 120 else f"{line[:117]}..."
