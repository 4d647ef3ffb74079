"""The words of a query: which lexemes it has, how rare each is, and BM25 of the chunks that hold them, in plain SQL.

BM25 sums, over the lexemes of the query, idf * tf / (tf + K1 * (1 - B + B * length / average length)), which is the
form of Lucene 8 and later (Robertson & Zaragoza 2009, https://doi.org/10.1561/1500000019; Kamphuis et al. 2020,
https://doi.org/10.1007/978-3-030-45442-5_4). Lengths are in characters: those of a chunk are stored. Against lengths
in lexemes that moves nDCG@10 by -0.013 to +0.002 on six sets (`tests.benchmarks hybrid`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Engine,
    FromClause,
    Select,
    Text,
    all_,
    case,
    cast,
    collate,
    false,
    func,
    literal,
    literal_column,
    select,
    tablesample,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, REGCONFIG, TSQUERY, TSVECTOR, array

from semsearch.errors import InvalidInput
from semsearch.records import Hit
from semsearch.store import indexes, spaces
from semsearch.store.deadlines import limited
from semsearch.store.nearest import KEY, SHOWN, Found, numbered
from semsearch.store.session import transaction
from semsearch.store.spaces import Space, queried, table

# Lucene's defaults. On six sets they are better than 0.9 and 0.4 by 0.009 nDCG@10 (-0.001 to +0.024).
K1, B = 1.2, 0.75
MOST_LEXEMES = 32  # of a query; the rarest
# Chunks that are compared, about 10 us each with seven lexemes (2 kB of text): what holds none but frequent lexemes
# of the query is not looked at.
CANDIDATES = 5_000
MOST_COUNTED = 10_000  # chunks, to know how rare a lexeme is
SAMPLED = 1_000  # chunks, for the average length

Condition = ColumnElement[bool] | None

_WEIGHTS: ColumnElement[Any] = literal_column("'{1,1,1,1}'::real[]")
_HALF: ColumnElement[float] = literal_column("0.5", Double())
_ONE: ColumnElement[float] = literal_column("1::float8", Double())
_FULL: ColumnElement[float] = literal_column("1.64493406685", Double())  # to which sums of 1 / j^2 tend, in PostgreSQL


@dataclass
class Statistics:
    """What BM25 has to know of a collection. To be kept for a minute or so: `parse` adds what it counts.

    `frequencies` are the numbers of chunks that hold a lexeme, by lexeme; `average_length` is in characters.
    """

    chunks: int
    average_length: float
    frequencies: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Lexemes:
    """The lexemes of a query that occur, rarest first: each as a tsquery in PostgreSQL's notation, and its idf.

    Chunks that hold one of the first `sought` are compared. `largest` is what BM25 tends to where a chunk is full of
    all lexemes of the query, also of those that occur nowhere.
    """

    queries: tuple[str, ...]
    weights: tuple[float, ...]
    sought: int
    largest: float
    average_length: float
    complete: bool

    @property
    def any(self) -> str:
        """What chunks must hold to be compared, in PostgreSQL's notation."""
        return " | ".join(self.queries[: self.sought])


_FREQUENT = text("""
SELECT elements.lexeme, elements.share
FROM pg_stats s, unnest(s.most_common_elems::text::text[], s.most_common_elem_freqs) AS elements (lexeme, share)
WHERE s.schemaname = 'semsearch' AND s.tablename = :table AND s.attname = 'terms' AND elements.lexeme IS NOT NULL
""")


def statistics(connection: Connection, space: Space) -> Statistics:
    """Counts and averages, from what ANALYZE knows where it has been; a few milliseconds."""
    spaces.check_language(connection, space)
    chunks = indexes.rows(connection, space) or spaces.count(connection, space)
    some = tablesample(table(space), func.system(min(100.0, 100.0 * SAMPLED / max(chunks, 1))), seed=literal(0))
    average = connection.execute(select(func.avg(_length(some)))).scalar()
    shares = connection.execute(_FREQUENT, {"table": space.table_name})
    frequencies = {lexeme: max(1, round(share * chunks)) for lexeme, share in shares}
    return Statistics(chunks, float(average or 1), frequencies)


def parse(
    connection: Connection, space: Space, query: str, known: Statistics | None = None, share: float = 1.0
) -> Lexemes:
    """The lexemes of a query, by the collection's language; none where it has stop words only.

    `share` is about how much of the collection meets the condition of the search: then so many more chunks may hold
    a lexeme before it is not followed. Raises InvalidInput where the collection has no language.
    """
    if space.language is None:
        raise InvalidInput(f"collection {space.name!r} has no full text: it was made without a language.")
    known = known or statistics(connection, space)
    found = connection.execute(_lexemes(space, query.replace("\0", " "), list(known.frequencies))).all()
    known.frequencies.update({row.lexeme: row.chunks for row in found if row.chunks})  # none today may be one tomorrow
    return weighed({row.query: known.frequencies.get(row.lexeme, 0) for row in found}, known, share)


def _lexemes(space: Space, query: str, known: list[str]) -> Select[Any]:
    """Lexemes with the number of chunks that hold each, counted unless it is known.

    tsvector and tsquery share one notation for lexemes, so the server itself quotes what it made.
    """
    made = func.unnest(func.to_tsvector(cast(literal(space.language, Text()), REGCONFIG()), literal(query, Text())))
    asked = made.table_valued("lexeme", "positions", "weights").render_derived(name="asked")
    quoted = cast(func.array_to_tsvector(array([asked.c.lexeme])), Text())
    chunks = queried(space)
    holding = select(literal(1)).select_from(chunks).where(_holds(chunks.c.terms, quoted)).correlate(asked)
    counted = select(func.count()).select_from(holding.limit(MOST_COUNTED).subquery("holding")).scalar_subquery()
    unknown = asked.c.lexeme != all_(literal(known, ARRAY(Text())))
    return select(asked.c.lexeme, quoted.label("query"), case((unknown, counted)).label("chunks"))


def weighed(frequencies: dict[str, int], known: Statistics, share: float = 1.0) -> Lexemes:
    """Lexemes by the number of chunks that hold each; as many are sought as stay within CANDIDATES, but one at least.

    >>> found = weighed({"'rare'": 3, "'common'": 4_000, "'nowhere'": 0, "'usual'": 4_500}, Statistics(9_000, 500.0))
    >>> found.any, found.complete
    ("'rare' | 'common'", False)
    """
    every = sorted((number, query) for query, number in frequencies.items() if number)
    occurring = every[:MOST_LEXEMES]
    sought, total = 0, 0
    for number, _ in occurring:
        total = min(total + number, known.chunks)
        if sought and total * share > CANDIDATES:
            break
        sought += 1
    return Lexemes(
        tuple(query for _, query in occurring),
        tuple(_idf(number, known.chunks) for number, _ in occurring),
        sought,
        sum(_idf(number, known.chunks) for number in frequencies.values()),
        known.average_length,
        total * share <= CANDIDATES and len(every) == len(occurring),
    )


def _idf(frequency: int, chunks: int) -> float:
    """Never negative, as in Lucene; the number of chunks is an estimate, so a lexeme may be in more."""
    return math.log(1 + (max(chunks - frequency, 0) + 0.5) / (frequency + 0.5))


def leg(space: Space, lexemes: Lexemes, condition: Condition, limit: int) -> Select[Any]:
    """Keys and scores of the best by BM25, `limit` of them, best first in a total order; and how many were compared."""
    chunks = queried(space)
    holding = select(*(chunks.c[name] for name in KEY), *measured(chunks))
    if lexemes.sought:
        holding = holding.where(_holds(chunks.c.terms, literal(lexemes.any, Text())))
    else:
        holding = holding.where(false())
    if condition is not None:
        holding = holding.where(condition)
    candidates = holding.limit(CANDIDATES).subquery("candidates")
    kept = (candidates.c[name] for name in KEY)
    scored = select(*kept, score(candidates, lexemes).label("score"), func.count().over().label("seen"))
    best = scored.subquery("scored")
    order = best.c.score.desc(), collate(best.c.document_id, "C"), best.c.ordinal
    return select(*best.c).order_by(*order).limit(limit)


def _holds(terms: ColumnElement[Any], query: ColumnElement[str]) -> ColumnElement[bool]:
    return terms.op("@@", is_comparison=True)(cast(query, TSQUERY()))


def measured(chunks: FromClause) -> tuple[ColumnElement[Any], ColumnElement[int]]:
    """What `score` reads of a chunk, for a subquery with LIMIT or OFFSET, which PostgreSQL does not merge with others.

    To append nothing decompresses the terms once, instead of once for each lexeme (half of the time at seven).
    """
    terms = chunks.c.terms.op("||", return_type=TSVECTOR())(literal_column("''::tsvector"))
    return terms.label("terms"), _length(chunks).label("length")


def _length(chunks: FromClause) -> ColumnElement[int]:
    return chunks.c.end - chunks.c.start + func.length(chunks.c.heading)


def score(measured: FromClause, lexemes: Lexemes) -> ColumnElement[float]:
    """BM25 of a row of `measured`; NULL where the query has no lexeme.

    tf is read off ts_rank, which is 6 times as fast as unnest (1.6 us for each lexeme): with all weights 1 it gives a
    lexeme that occurs tf times sum(1 / j^2 for j = 1 ... tf) / 1.64493406685, up to PostgreSQL's limit of 255
    positions (src/backend/utils/adt/tsrank.c, calc_rank_or), and that sum is pi^2 / 6 - 1 / (tf + 0.5), nearly.
    """
    asked = func.unnest(
        cast(literal(list(lexemes.queries), ARRAY(Text())), ARRAY(TSQUERY())),
        literal(list(lexemes.weights), ARRAY(Double())),
    )
    each = asked.table_valued("query", "weight").render_derived(name="lexemes")
    rank: ColumnElement[float] = func.ts_rank(_WEIGHTS, measured.c.terms, each.c.query, type_=Double())
    frequency: ColumnElement[float] = func.round(_ONE / (_FULL * (_ONE - rank)) - _HALF, type_=Double())
    slope: ColumnElement[float] = literal(K1 * B / lexemes.average_length, Double())
    norm: ColumnElement[float] = literal(K1 * (1 - B), Double()) + slope * measured.c.length
    return select(func.sum(each.c.weight * (_ONE - norm / (frequency + norm)))).scalar_subquery()


def statement(space: Space, lexemes: Lexemes, condition: Condition, limit: int) -> Select[Any]:
    """The columns of a Hit but its distance, its score, and how many chunks were compared; best first."""
    chunks = queried(space)
    best = leg(space, lexemes, condition, limit).cte("best").prefix_with("MATERIALIZED")
    same = (chunks.c.document_id == best.c.document_id) & (chunks.c.ordinal == best.c.ordinal)
    order = best.c.score.desc(), collate(best.c.document_id, "C"), best.c.ordinal
    shown = (chunks.c[name] for name in SHOWN)
    return select(*shown, best.c.score, best.c.seen).join_from(best, chunks, same).order_by(*order)


def run(
    engine: Engine, space: Space, lexemes: Lexemes, condition: Condition, limit: int, timeout: float | None = None
) -> Found:
    """The best `limit` by BM25. Raises DeadlineExceeded when it takes longer than `timeout` seconds."""
    with engine.connect() as connection, transaction(connection, limited(timeout)):
        result = connection.execute(statement(space, lexemes, condition, limit))
        sql = str(result.context.statement)
        rows = result.all()
    return Found([Hit(None, *row[:-1]) for row in rows], numbered(sql), rows[0].seen if rows else 0)
