"""Filters as expressions of Python.

>>> from semsearch import F
>>> dict((F("year") >= 2020) & F("lang").in_(["en", "de"]))
{'$and': [{'year': {'$gte': 2020}}, {'lang': {'$in': ['en', 'de']}}]}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, ClassVar, NoReturn


class Expression(Mapping[str, Any]):
    """A filter; as a mapping it is its JSON form. Combined by `&`, `|` and `~`."""

    __slots__ = ("_filter",)

    def __init__(self, filter: Mapping[str, Any]) -> None:
        self._filter = dict(filter)

    def __getitem__(self, key: str) -> Any:
        return self._filter[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._filter)

    def __len__(self) -> int:
        return len(self._filter)

    def __and__(self, other: Mapping[str, Any]) -> Expression:
        return _joined("$and", self, other)

    def __or__(self, other: Mapping[str, Any]) -> Expression:
        return _joined("$or", self, other)

    def __rand__(self, other: Mapping[str, Any]) -> Expression:
        return _joined("$and", other, self)

    def __ror__(self, other: Mapping[str, Any]) -> Expression:
        return _joined("$or", other, self)

    def __invert__(self) -> Expression:
        return Expression({"$not": self._filter})

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a filter is neither true nor false: join filters by & | ~ instead of and, or, not, each in parentheses, "
            "and write F('year').between(2020, 2024) instead of 2020 <= F('year') <= 2024."
        )

    def __repr__(self) -> str:
        return f"Expression({self._filter!r})"


def _joined(operator: str, *filters: Mapping[str, Any]) -> Expression:
    # flat, as a & b & c would go deeper with every letter
    parts: list[Any] = []
    for each in filters:
        if not isinstance(each, Mapping):
            raise TypeError(f"a filter is joined to a filter, as in (F('a') == 1) & (F('b') == 2); got {each!r:.80}.")
        parts += each[operator] if each.keys() == {operator} else [dict(each)]
    return Expression({operator: parts})


def _json(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return [_json(each) for each in value] if isinstance(value, list | tuple) else value


class _Compared:
    """Something that is equal to values."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def _asks(self, operator: str, operand: Any) -> Expression:
        raise NotImplementedError

    def __eq__(self, value: Any) -> Expression:  # type: ignore[override]
        return self._asks("$eq", value)

    def __ne__(self, value: Any) -> Expression:  # type: ignore[override]
        return self._asks("$ne", value)


class _Ordered(_Compared):
    """Something that has an order too."""

    __slots__ = ()

    def __lt__(self, value: Any) -> Expression:
        return self._asks("$lt", value)

    def __le__(self, value: Any) -> Expression:
        return self._asks("$lte", value)

    def __gt__(self, value: Any) -> Expression:
        return self._asks("$gt", value)

    def __ge__(self, value: Any) -> Expression:
        return self._asks("$gte", value)

    def between(self, least: Any, greatest: Any) -> Expression:
        """At least the one and at most the other."""
        return self._asks("$between", [least, greatest])


class _Size(_Ordered):
    """The length of a list."""

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key

    def _asks(self, operator: str, operand: Any) -> Expression:
        return Expression({self._key: {"$size": {operator: operand}}})


class _Id(_Compared):
    """The document's id."""

    __slots__ = ()

    def _asks(self, operator: str, operand: Any) -> Expression:
        return Expression({"$id": {operator: _json(operand)}})

    def in_(self, ids: Iterable[str]) -> Expression:
        """One of these."""
        return self._asks("$in", list(ids))

    def not_in(self, ids: Iterable[str]) -> Expression:
        """None of these."""
        return self._asks("$nin", list(ids))

    def starts_with(self, prefix: str) -> Expression:
        """It begins so."""
        return self._asks("$starts_with", prefix)


class _Text:
    """The chunk's own text."""

    __slots__ = ()

    def match(self, words: str) -> Expression:
        """All these words, in any order and in any of their forms, by the collection's language."""
        return Expression({"$text": {"$match": words}})

    def phrase(self, words: str) -> Expression:
        """These words one after another."""
        return Expression({"$text": {"$phrase": words}})

    def contains(self, piece: str) -> Expression:
        """Exactly these characters."""
        return Expression({"$text": {"$contains": piece}})

    def icontains(self, piece: str) -> Expression:
        """These characters, in capitals or not."""
        return Expression({"$text": {"$icontains": piece}})


class F(_Ordered):
    """A key of the metadata, to be compared: `F("year") >= 2020`. A dot reaches into an object: `F("author.name")`."""

    __slots__ = ("_key",)

    id: ClassVar = _Id()
    text: ClassVar = _Text()

    def __init__(self, key: str) -> None:
        self._key = key

    @staticmethod
    def at_least(count: int, *filters: Mapping[str, Any]) -> Expression:
        """So many of the filters match, or more."""
        return Expression({"$at_least": {"count": count, "of": [dict(each) for each in filters]}})

    def __repr__(self) -> str:
        return f"F({self._key!r})"

    def _asks(self, operator: str, operand: Any) -> Expression:
        return Expression({self._key: {operator: _json(operand)}})

    def in_(self, values: Iterable[Any]) -> Expression:
        """Equal to one of these."""
        return self._asks("$in", list(values))

    def not_in(self, values: Iterable[Any]) -> Expression:
        """Equal to none of these."""
        return self._asks("$nin", list(values))

    def exists(self) -> Expression:
        """There, be it null."""
        return self._asks("$exists", True)

    def is_null(self) -> Expression:
        """There, and null."""
        return self._asks("$null", True)

    def is_empty(self) -> Expression:
        """Missing, null, "", [] or {}."""
        return self._asks("$empty", True)

    def contains(self, value: Any) -> Expression:
        """A list that holds this value."""
        return self._asks("$contains", value)

    def contains_any(self, values: Iterable[Any]) -> Expression:
        """A list that holds one of these."""
        return self._asks("$contains_any", list(values))

    def contains_all(self, values: Iterable[Any]) -> Expression:
        """A list that holds each of these."""
        return self._asks("$contains_all", list(values))

    def contains_none(self, values: Iterable[Any]) -> Expression:
        """No list that holds one of these."""
        return self._asks("$contains_none", list(values))

    @property
    def size(self) -> _Size:
        """The length of a list, to be compared."""
        return _Size(self._key)

    def like(self, pattern: str) -> Expression:
        """A text of this shape: % is any text, _ any character, a backslash makes either plain."""
        return self._asks("$like", pattern)

    def ilike(self, pattern: str) -> Expression:
        """The same, in capitals or not."""
        return self._asks("$ilike", pattern)

    def starts_with(self, prefix: str) -> Expression:
        """A text that begins so."""
        return self._asks("$starts_with", prefix)

    def regex(self, pattern: str) -> Expression:
        """A text in which the regular expression finds something; `semsearch.filters.patterns` says what it may be."""
        return self._asks("$regex", pattern)
