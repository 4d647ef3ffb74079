"""What a filter can say, as a closed tree: the reader builds it, the compiler knows nothing else.

What has an opposite has no node for it: `$ne`, `$nin`, `$contains_none`, `{"$exists": false}` ... are the Not of the
other, so each matches exactly what its opposite does not. `$between` is an And, `$null` a comparison with null. `path`
says where in the filter a node was written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Scalar = str | int | float | bool | None
Operator = Literal["$eq", "$gt", "$gte", "$lt", "$lte"]
PatternOperator = Literal["$like", "$ilike", "$starts_with", "$regex"]
TextOperator = Literal["$match", "$phrase", "$contains", "$icontains"]

DOCUMENT_ID = "$id"  # as the key of a Comparison, In or Matches: the document's id, which no key of metadata can be


@dataclass(frozen=True, slots=True)
class And:
    """Every one of the filters matches; with no filters, everything does."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the filters matches."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AtLeast:
    """At least `count` of the filters match: more than one of them, and not all."""

    count: int
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


@dataclass(frozen=True, slots=True)
class Empty:
    """The key is missing, or holds null, "", [] or {}."""

    key: str
    path: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Contains:
    """The value at the key is a list that holds one of the scalars, or every one."""

    key: str
    which: Literal["any", "every"]
    values: tuple[Scalar, ...]
    path: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Size:
    """The value at the key is a list, and its length compares so with a number."""

    key: str
    operator: Operator
    value: int
    path: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Matches:
    """The value at the key is a text of this shape."""

    key: str
    operator: PatternOperator
    pattern: str
    path: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Text:
    """The chunk's own text holds these words, this phrase or this piece."""

    operator: TextOperator
    sought: str
    path: str = field(compare=False)


Filter = And | Or | AtLeast | Not | Comparison | In | Exists | Empty | Contains | Size | Matches | Text
