"""What a filter can say, as a closed tree: the reader builds it, the compiler knows nothing else.

`$ne`, `$nin` and `$exists: false` have no node of their own: they are the Not of `$eq`, `$in` and `$exists`, so each
matches exactly what its opposite does not. `path` says where in the filter a node was written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Scalar = str | int | float | bool | None
Operator = Literal["$eq", "$gt", "$gte", "$lt", "$lte"]


@dataclass(frozen=True, slots=True)
class And:
    """Every one of the filters matches; with no filters, everything does."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the filters matches."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The filter does not match."""

    filter: Filter


@dataclass(frozen=True, slots=True)
class Comparison:
    """The value at the key compares so with a scalar; only `$eq` meets booleans and null."""

    key: str
    operator: Operator
    value: Scalar
    path: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class In:
    """The value at the key equals one of the scalars."""

    key: str
    values: tuple[Scalar, ...]
    path: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Exists:
    """The key is there, be it with null."""

    key: str
    path: str = field(compare=False)


Filter = And | Or | Not | Comparison | In | Exists
