"""What the token budget of a day lets through: tokens are set aside before they are spent, so it is never exceeded."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from semsearch.errors import BudgetExhausted, DatabaseUnavailable, InvalidInput
from semsearch.store import usage
from semsearch.store.spaces import Space
from semsearch.store.transactions import in_transaction

Costs = Mapping[str, Mapping[bytes, int]]  # document id -> hash of a text to be embedded -> its tokens, or more


@dataclass
class Grant:
    """Documents that may be embedded, for which `tokens` were set aside; `left` ones must wait, as `exhausted` says."""

    ids: list[str] = field(default_factory=list)
    tokens: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    exhausted: BudgetExhausted | None = None


def is_limited(engine: Engine, space: Space) -> bool:
    """Whether there is a budget, by the database and not by what was read when the collection was opened."""
    return in_transaction(engine, lambda connection: usage.budget(connection, space)) is not None


def reserve(engine: Engine, space: Space, worker: int, costs: Costs) -> Grant:
    """Set the tokens of as many documents aside as the budget allows, in order. None is embedded by halves."""

    def run(connection: Connection) -> Grant:
        allowance = usage.allowance(connection, space)
        grant = _grant(space, allowance, costs) if allowance else Grant(list(costs))
        usage.add(connection, space, worker, tokens=grant.tokens)
        return grant

    return in_transaction(engine, run)


def spend(engine: Engine, space: Space, tokens: int) -> None:
    """Enter the tokens of texts that are of no document; they count whatever becomes of the call.

    Raises InvalidInput, BudgetExhausted.
    """
    if not is_limited(engine, space):
        return
    grant = reserve(engine, space, 0, {"": {b"": tokens}})
    if grant.failed:
        raise InvalidInput(f"what was sent is too much: {grant.failed['']}.")
    if grant.exhausted:
        raise grant.exhausted


def correct(engine: Engine, space: Space, worker: int, tokens: int) -> None:
    """Enter what was spent beyond what was set aside, or give back the rest, of a call that has failed."""
    if tokens:
        with contextlib.suppress(DBAPIError, DatabaseUnavailable), engine.begin() as connection:
            usage.add(connection, space, worker, tokens=tokens)


def _grant(space: Space, allowance: usage.Allowance, costs: Costs) -> Grant:
    grant = Grant()
    taken: set[bytes] = set()
    needed = 0
    for id, texts in costs.items():
        cost = sum(tokens for hash, tokens in texts.items() if hash not in taken)
        if cost > allowance.budget:
            grant.failed[id] = f"its {cost:,} tokens are more than the token budget of a day, {allowance.budget:,}"
        elif cost and grant.tokens + cost > allowance.left:
            grant.left.add(id)
            needed += cost
        else:
            grant.ids.append(id)
            grant.tokens += cost
            taken.update(texts)
    if grant.left:
        grant.exhausted = _exhausted(space, allowance, needed)
    return grant


def _exhausted(space: Space, allowance: usage.Allowance, needed: int) -> BudgetExhausted:
    return BudgetExhausted(
        f"the token budget of {allowance.budget:,} a day of collection {space.name!r} is used up: {needed:,} more are "
        f"needed, {max(allowance.left, 0):,} are left. It goes on at {allowance.next_day:%Y-%m-%d %H:%M} UTC, or after "
        f"`semsearch budget {space.name} N`.",
        allowance.seconds,
    )
