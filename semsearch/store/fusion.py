"""Meaning and words put together in one statement: the nearest chunks, the best by BM25, both within the filter.

Every chunk that either leg found gets its exact distance and its exact BM25. By default the two are turned into shares
and added: how near it is (the distance of the nearest chunk, divided by its own) and how much of the BM25 that the
query could have at most. Words so count for little where few of them are found, and much where the distances hardly
differ; neither share changes when a model's distances are all larger or smaller. `rrf` looks at ranks alone
(reciprocal rank fusion, Cormack et al. 2009, https://doi.org/10.1145/1571941.1572114).

What fills a longer answer beyond the depths of both legs comes behind all that they found, nearest first: whatever the
page, a chunk has the same score, and none that is met on a later page belonged on an earlier one.

nDCG@10 of vector, text, scores and rrf (`python -m tests.benchmarks hybrid` measures them anew): cranfield .373 .359
.401 .409, stackfaq .950 .724 .950 .869, dbpedia .511 .366 .511 .478, scifact .660 .699 .712 .719. The weight of the
words was chosen among .3 to 1 on these; two other sets agree (xquad-en .943 .972 .976 .972, adi .497 .489 .528 .510).
BM25 by its largest possible value is from Bruch et al. 2023, https://arxiv.org/abs/2210.11934.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    CTE,
    ColumnElement,
    Double,
    Engine,
    FromClause,
    Select,
    Text,
    and_,
    bindparam,
    case,
    collate,
    exists,
    func,
    literal,
    literal_column,
    select,
    union_all,
)

from semsearch.records import Embedding, Hit
from semsearch.store import lexical, nearest
from semsearch.store.deadlines import limited
from semsearch.store.documents import any_of
from semsearch.store.lexical import Condition, Lexemes
from semsearch.store.nearest import KEY, QUERY, SHOWN, Found, Scan
from semsearch.store.session import transaction
from semsearch.store.spaces import Space, queried

WEIGHTS = {"scores": (1.0, 0.5), "rrf": (1.0, 1.0)}  # of meaning, of words
DEPTH = 100
RRF = 60  # the constant of the paper
# The nearest counts as no nearer than a fifth of the last: a chunk that says just what is asked would leave nothing
# to the others. Changes no figure above by more than 0.001.
LEAST_GAP = 0.2


@dataclass(frozen=True)
class Fusion:
    """How two legs are put together. `weights` and `depths` (hits of each leg) are of meaning and of words."""

    kind: Literal["scores", "rrf"] = "scores"
    weights: tuple[float, float] = WEIGHTS["scores"]
    depths: tuple[int, int] = (DEPTH, DEPTH)


@dataclass(frozen=True)
class Within:
    """Only documents of these ids, each with so many hits at least, where it has as many chunks that match."""

    documents: tuple[str, ...]
    each: int


def statement(
    space: Space,
    vector: Select[Any],
    lexemes: Lexemes,
    condition: Condition,
    fusion: Fusion,
    top_k: int,
    within: Within | None = None,
) -> Select[Any]:
    """Distance and columns of a Hit, its score, its rank in either leg (NULL where that did not find it), and how many
    chunks either leg compared (`seen` and `read`; NULL where it does not say).

    `vector` is that leg (`vector_leg`); as many hits come as it has, or `top_k`; those `within` are all that either leg
    found and the nearest others. Best first, in a total order.
    """
    legs = _legs(vector, lexical.leg(space, lexemes, condition, fusion.depths[1]))
    if within is not None:
        legs = _filled_up(space, legs, condition, within)
    compared = _compared(space, legs, lexemes)
    scored = _scored(compared, lexemes, fusion)
    chosen = select(*scored.c).order_by(*_order(scored))
    if within is None:
        chosen = chosen.limit(top_k)
    else:
        chosen = chosen.where(scored.c.document_id == any_of(within.documents))
    best = chosen.cte("best").prefix_with("MATERIALIZED")
    chunks = queried(space)
    shown = (chunks.c[name] for name in SHOWN)
    counted = (select(func.max(legs.c[name])).scalar_subquery().label(name) for name in ("seen", "read"))
    return (
        select(best.c.distance, *shown, best.c.score, best.c.vector_rank, best.c.text_rank, *counted)
        .join_from(best, chunks, _same(best, chunks))
        .order_by(*_order(best))
    )


def _same(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    return and_(*(one.c[name] == other.c[name] for name in KEY))


def _order(scored: FromClause) -> tuple[ColumnElement[Any], ...]:
    return scored.c.score.desc(), scored.c.distance, collate(scored.c.document_id, "C"), scored.c.ordinal


def _ranked(leg: Select[Any], name: str, value: str, best: Literal["asc", "desc"]) -> FromClause:
    """The leg with ranks from 1. Not within it: LIMIT has to be innermost for an index to serve it.

    By its value + 0: PostgreSQL 17 takes the order in which an index was walked for granted, which is nearly right.
    """
    found = leg.cte(name).prefix_with("MATERIALIZED")
    first = getattr(found.c[value] + literal_column("0"), best)()
    rank = func.row_number().over(order_by=(first, collate(found.c.document_id, "C"), found.c.ordinal))
    return select(*found.c, rank.label("rank")).subquery(f"{name}_ranked")


def _legs(vector: Select[Any], text: Select[Any]) -> CTE:
    """What either leg found."""
    near, worded = _ranked(vector, "nearest", "distance", "asc"), _ranked(text, "worded", "score", "desc")
    found = select(
        *(func.coalesce(near.c[name], worded.c[name]).label(name) for name in KEY),
        near.c.distance,
        near.c.rank.label("vector_rank"),
        near.c.seen,
        worded.c.score,
        worded.c.rank.label("text_rank"),
        worded.c.seen.label("read"),
    ).select_from(near.join(worded, _same(near, worded), full=True))
    return found.cte("found").prefix_with("MATERIALIZED")


def _filled_up(space: Space, legs: CTE, condition: Condition, within: Within) -> CTE:
    """With the nearest of each of the documents that neither leg found."""
    chunks = queried(space)
    where = [chunks.c.document_id == any_of(within.documents), ~exists().where(_same(legs, chunks))]
    first = (nearest.distance(space), chunks.c.ordinal)
    place = func.row_number().over(partition_by=chunks.c.document_id, order_by=first).label("place")
    every = select(*(chunks.c[name] for name in KEY), nearest.distance(space).label("distance"), place)
    others = every.where(*where if condition is None else (*where, condition)).subquery("others")
    unknown = literal_column("NULL", Text())
    columns = (others.c[each.name] if each.name in others.c else unknown.label(each.name) for each in legs.c)
    nearest_ones = select(*columns).where(others.c.place <= within.each)
    return union_all(select(*legs.c), nearest_ones).cte("filled").prefix_with("MATERIALIZED")


def _compared(space: Space, legs: CTE, lexemes: Lexemes) -> CTE:
    """With the distance and the BM25 of each, also where the other leg found it."""
    chunks = queried(space)
    read = (
        select(
            *(legs.c[name] for name in (*KEY, "vector_rank", "text_rank", "score")),
            func.coalesce(legs.c.distance, nearest.distance(space)).label("distance"),
            _gap(space, func.coalesce(legs.c.distance, nearest.distance(space))).label("gap"),
            *lexical.measured(chunks),
        )
        .join_from(legs, chunks, _same(legs, chunks))
        .offset(literal_column("0"))
        .subquery("chunks")
    )
    words = func.coalesce(read.c.score, lexical.score(read, lexemes), literal_column("0"))
    kept = (read.c[name] for name in (*KEY, "vector_rank", "text_rank", "distance", "gap"))
    return select(*kept, words.label("words")).cte("compared").prefix_with("MATERIALIZED")


def _gap(space: Space, distance: ColumnElement[float]) -> ColumnElement[float]:
    """The distance on a scale on which 0 is the same, and alike for all distances of embeddings of length 1.

    Inner products have no such 0, so there it is the cosine distance; half of a squared l2 is just that.
    """
    if space.distance == "inner_product":
        return queried(space).c.embedding.op("<=>", return_type=Double())(QUERY)
    return distance if space.distance == "cosine" else distance * distance


def _scored(compared: CTE, lexemes: Lexemes, fusion: Fusion) -> FromClause:
    score = _rrf(compared, fusion) if fusion.kind == "rrf" else _shares(compared, lexemes, fusion)
    kept = (*KEY, "distance", "vector_rank", "text_rank")
    rank, distance = compared.c.vector_rank, compared.c.distance
    is_found = func.coalesce(rank <= fusion.depths[0], literal_column("false")) | compared.c.text_rank.is_not(None)
    first, last = (each(distance).filter(rank <= fusion.depths[0]).over() for each in (func.min, func.max))
    rated = select(
        *(compared.c[name] for name in kept),
        score.label("score"),
        is_found.label("is_found"),
        ((distance - last) / func.nullif(last - first, literal_column("0"), type_=Double())).label("beyond"),
    ).subquery("rated")
    least = func.min(rated.c.score).filter(rated.c.is_found).over()
    # What a walk of the index missed may be nearer; and where all are as near, there is no scale: greatest(NULL, 0).
    behind = least / (literal_column("2") + func.greatest(rated.c.beyond, literal_column("0"), type_=Double()))
    score = case((rated.c.is_found, rated.c.score), else_=behind)
    return select(*(rated.c[name] for name in kept), score.label("score")).subquery("scored")


def _rrf(compared: CTE, fusion: Fusion) -> ColumnElement[float]:
    def part(weight: float, rank: ColumnElement[int], depth: int) -> ColumnElement[float]:
        # What a longer page fetches beyond the depth adds nothing.
        share = literal(weight, Double()) / (literal_column(f"{RRF:d}") + rank)
        return case((rank <= depth, share), else_=literal_column("0"))

    (meaning, words), (near, worded) = fusion.weights, fusion.depths
    return part(meaning, compared.c.vector_rank, near) + part(words, compared.c.text_rank, worded)


def _shares(compared: CTE, lexemes: Lexemes, fusion: Fusion) -> ColumnElement[float]:
    """The weighted mean of the two shares: 1 is the nearest chunk that is also full of all words."""
    gap, rank = compared.c.gap, compared.c.vector_rank
    first = func.min(gap).filter(rank <= fusion.depths[0]).over()
    last = func.max(gap).filter(rank <= fusion.depths[0]).over()
    least = func.greatest(first, literal(LEAST_GAP, Double()) * last)
    near = func.least(literal_column("1"), least / func.nullif(gap, literal_column("0"), type_=Double()))
    words = compared.c.words / literal(lexemes.largest or 1.0, Double())
    meaning, wording = (weight / sum(fusion.weights) for weight in fusion.weights)
    return literal(meaning, Double()) * near + literal(wording, Double()) * words


def run(
    engine: Engine,
    space: Space,
    scan: Scan,
    query: Embedding,
    lexemes: Lexemes,
    condition: Condition,
    fusion: Fusion,
    limit: int,
    timeout: float | None = None,
    within: Within | None = None,
) -> Found:
    """The best `limit`. `scan` finds `depth(fusion, limit)` nearest chunks.

    Raises DeadlineExceeded when it takes longer than `timeout` seconds.
    """
    asked = statement(space, vector_leg(space, scan, condition), lexemes, condition, fusion, limit, within)
    values = nearest.parameters(space, scan, query, depth(fusion, limit))
    with engine.connect() as connection, transaction(connection, (*scan.settings, *limited(timeout))):
        result = connection.execute(asked, values)
        sql = str(result.context.statement)
        rows = result.all()
    hits = [Hit(*row[: len(SHOWN) + 2]) for row in rows]
    seen, read = (rows[0].seen, rows[0].read) if rows else (None, None)
    return Found(hits, nearest.numbered(sql), seen, is_whole=(read or 0) < lexical.CANDIDATES)


def vector_leg(space: Space, scan: Scan, condition: Condition) -> Select[Any]:
    """The nearest chunks by this scan; how many is a parameter, `top_k`."""
    return nearest.counted_leg(space, scan, condition, bindparam("top_k"))


def depth(fusion: Fusion, limit: int) -> int:
    """How many nearest chunks are needed, so that no answer is shorter than it has to be."""
    return max(fusion.depths[0], limit)
