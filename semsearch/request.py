"""What a search is asked: every option, checked before anything is done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, TypedDict, get_args

from semsearch import pages
from semsearch.errors import InvalidInput
from semsearch.fields import describe
from semsearch.ranking.boost_syntax import MAX_WEIGHT
from semsearch.records import Embedding

Mode = Literal["vector", "text", "hybrid"]
Fusion = Literal["scores", "rrf"]

MAX_TOP_K = 1000
MAX_CANDIDATES = 10_000
MAX_RERANKED = 1_000
MAX_NEIGHBOURS = 10
MAX_EXAMPLES = 100


class Options(TypedDict, total=False):
    """The options of a search, by keyword.

    | option | meaning |
    |---|---|
    | `top_k` | how many hits; documents, with `per_document` |
    | `filter` | a condition on the metadata (`semsearch.filters`, `semsearch.F`) |
    | `tenant` | whose documents; a collection with tenants requires it |
    | `mode` | `vector` (meaning), `text` (words, BM25), `hybrid` (both) |
    | `fusion`, `weights`, `depth` | of hybrid: how both are put together; weights of meaning and words; hits of each |
    | `plan` | `auto`; `exact` compares all, `ann` walks the index only, and may then return fewer |
    | `rerank` | a cross-encoder that reads query and text together, such as `sentence-transformers:cross-encoder/...` |
    | `boosts` | what raises a hit beyond its nearness (`semsearch.ranking.boosts`) |
    | `diversity` | 0 to 1: hits that differ from one another |
    | `candidates` | how many of the nearest these three choose from |
    | `per_document` | at most so many hits of a document, beside one another |
    | `max_distance`, `min_score` | leave out what is farther, or scores less |
    | `after` | the `next` of the page before |
    | `highlight` | mark the sentence of each hit that answers best |
    | `neighbours` | so many chunks before and after each hit |
    | `deadline` | seconds after which DeadlineExceeded is raised |
    | `partial` | then return the best so far instead |
    | `explain` | say why this plan, and PostgreSQL's own EXPLAIN |
    """

    top_k: int
    filter: Mapping[str, Any] | None
    tenant: str | None
    mode: Mode
    fusion: Fusion
    weights: Sequence[float] | None
    depth: int | None
    plan: Literal["auto", "exact", "ann"]
    rerank: str | None
    boosts: Sequence[Mapping[str, Any]]
    diversity: float | None
    candidates: int | None
    per_document: int | None
    max_distance: float | None
    min_score: float | None
    after: str | None
    highlight: bool
    neighbours: int
    deadline: float | None
    partial: bool
    explain: bool


@dataclass(frozen=True)
class Target:
    """What is asked for: exactly one of a text, an embedding, a document, or examples."""

    query: str | None = None
    embedding: Sequence[float] | Embedding | None = None
    document_id: str | None = None
    positive: Sequence[str] = ()
    negative: Sequence[str] = ()
    positive_texts: Sequence[str] = ()
    negative_texts: Sequence[str] = ()

    def __post_init__(self) -> None:
        examples = any((self.positive, self.negative, self.positive_texts, self.negative_texts))
        if sum(given is not None for given in (self.query, self.embedding, self.document_id)) + examples != 1:
            raise InvalidInput("a search takes one of query, embedding and document_id.")


@dataclass(frozen=True)
class Request:
    """The options of a search, each within its limits. Raises InvalidInput."""

    top_k: int = 10
    filter: Mapping[str, Any] | None = None
    tenant: str | None = None
    mode: Mode = "vector"
    fusion: Fusion | None = None
    weights: Sequence[float] | None = None
    depth: int | None = None
    plan: Literal["auto", "exact", "ann"] = "auto"
    rerank: str | None = None
    boosts: Sequence[Mapping[str, Any]] = ()
    diversity: float | None = None
    candidates: int | None = None
    per_document: int | None = None
    max_distance: float | None = None
    min_score: float | None = None
    after: str | None = None
    highlight: bool = False
    neighbours: int = 0
    deadline: float | None = None
    partial: bool = False
    explain: bool = False

    @classmethod
    def of(cls, options: Options) -> Request:
        """The request with these options. Raises InvalidInput for one that does not exist."""
        unknown = set(options) - {field.name for field in fields(cls)}
        if unknown:
            raise InvalidInput(f"a search has no option {sorted(unknown)[0]!r}.")
        return cls(**options)

    def __post_init__(self) -> None:
        _whole("top_k", self.top_k, 1, MAX_TOP_K, needed=True)
        _one_of("mode", self.mode, get_args(Mode))
        if self.fusion is not None:
            _one_of("fusion", self.fusion, get_args(Fusion))
        _one_of("plan", self.plan, ("auto", "exact", "ann"))
        _whole("candidates", self.candidates, 1, MAX_CANDIDATES)
        _whole("depth", self.depth, 1, MAX_CANDIDATES)
        _whole("per_document", self.per_document, 1, MAX_TOP_K)
        _whole("neighbours", self.neighbours, 0, MAX_NEIGHBOURS, needed=True)
        for name in ("highlight", "partial", "explain"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidInput(f"{name} is true or false; got {describe(getattr(self, name))}.")
        _number("diversity", self.diversity, 0, 1)
        _number("max_distance", self.max_distance, -math.inf, math.inf)
        _number("min_score", self.min_score, -math.inf, math.inf)
        check_deadline(self.deadline)
        self._check_weights()
        if self.min_score is not None and not self.has_scores:
            raise InvalidInput(
                "min_score is for hits that have a score (text, hybrid, rerank, boosts); the others "
                "have a distance: use max_distance."
            )
        if self.partial and self.deadline is None:
            raise InvalidInput("partial takes a deadline: the best found until then is returned.")
        if self.after is not None and self.diversity is not None:
            raise InvalidInput("after and diversity do not go together: what differs has no order that could go on.")

        self._check_effect()
        _ = self.page  # read here, so that a wrong one costs no call of a model

    def _check_effect(self) -> None:
        """Nothing that was asked for is without effect."""
        if self.mode != "hybrid" and not (self.fusion is None and self.weights is None and self.depth is None):
            raise InvalidInput("fusion, weights and depth are for mode 'hybrid', of meaning and words.")
        if self.mode == "text" and (self.plan != "auto" or self.max_distance is not None):
            raise InvalidInput("plan and max_distance are about distances, and mode 'text' looks at none.")
        if self.candidates is not None and not self.is_ranked_again:
            raise InvalidInput("candidates are for what ranks hits again: rerank, boosts or diversity.")
        if (self.candidates or 0) > self.most_candidates:
            raise InvalidInput(
                f"rerank and diversity take at most {self.most_candidates:,} candidates; got {self.candidates:,}."
            )

    def _check_weights(self) -> None:
        if self.weights is None:
            return
        given = tuple(self.weights) if isinstance(self.weights, Sequence) else ()
        if len(given) != 2 or not all(map(_is_weight, given)) or not any(given):
            got = ", ".join(map(describe, given)) or describe(self.weights)
            raise InvalidInput(
                f"weights are two numbers, of meaning and of words, such as (0.7, 0.3): not both 0, and otherwise from "
                f"{1 / MAX_WEIGHT:f} to {MAX_WEIGHT:,}; got {got}."
            )

    @cached_property
    def page(self) -> pages.Page | None:
        """Where the page before ended."""
        return None if self.after is None else pages.parse(self.after)

    @property
    def is_ranked_again(self) -> bool:
        """Whether hits are put into another order once they were found."""
        return self.rerank is not None or bool(self.boosts) or self.diversity is not None

    @property
    def is_plain(self) -> bool:
        """Whether the statement alone makes the page: hits by distance."""
        return self.mode == "vector" and self.per_document is None and not self.is_ranked_again

    @property
    def has_scores(self) -> bool:
        return self.mode != "vector" or self.rerank is not None or bool(self.boosts)

    @property
    def pool(self) -> int:
        """How many of the best are looked at before the page is cut out of them.

        A cross-encoder reads every one of them, which takes far longer than to find it: it is given fewer.
        """
        if self.candidates is not None:
            return max(self.candidates, self.top_k)
        if self.rerank is not None:
            return max(50, self.top_k)
        return min(max(100, 10 * self.top_k), self.most_candidates)

    @property
    def most_candidates(self) -> int:
        """A cross-encoder reads each of them, and diversity compares each with each."""
        return MAX_CANDIDATES if self.rerank is None and self.diversity is None else MAX_RERANKED


def check_deadline(seconds: Any) -> None:
    """Raise InvalidInput for what is no time that something may take."""
    _number("deadline", seconds, 0.001, 86400)


def _whole(name: str, value: Any, least: int, most: int, *, needed: bool = False) -> None:
    if (needed or value is not None) and (type(value) is not int or not least <= value <= most):
        raise InvalidInput(f"{name} is a whole number from {least} to {most}; got {describe(value)}.")


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    except OverflowError:  # an integer beyond every float
        return False


def _is_weight(value: Any) -> bool:
    return _is_number(value) and (value == 0 or 1 / MAX_WEIGHT <= value <= MAX_WEIGHT)  # products of two stay numbers


def _number(name: str, value: Any, least: float, most: float) -> None:
    if value is not None and not (_is_number(value) and least <= value <= most):
        bounds = f" from {least:g} to {most:g}" if math.isfinite(most) else ""
        raise InvalidInput(f"{name} is a number{bounds}; got {describe(value)}.")


def _one_of(name: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        raise InvalidInput(f"{name} is one of {', '.join(known)}; got {describe(value)}.")
