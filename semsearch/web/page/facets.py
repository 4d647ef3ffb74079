"""The filters beside the hits: a collection's declared fields, with the values that its documents have there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from semsearch.collection import Collection
from semsearch.fields import FieldType
from semsearch.store.deadlines import FACETS, Deadline
from semsearch.store.facets import MAX_FACETS, Facet
from semsearch.web.page.asking import Asked

LISTED = ("text", "boolean")  # types whose values are offered one by one; the others are ranges
FIRST = 8  # values that are shown at once
MOST = 100

_INPUTS: dict[FieldType, str] = {"integer": "number", "float": "number", "date": "date", "timestamp": "date"}


@dataclass(frozen=True)
class Value:
    """One value to choose. `text` is what the address says, `count` how many documents have it (None: unknown)."""

    text: str
    count: int | None
    chosen: bool


@dataclass(frozen=True)
class Group:
    """One field: `values` to choose from, or the `low` and `high` ends of a range with the values found there."""

    name: str
    type: FieldType
    values: tuple[Value, ...] = ()
    more: int = 0
    missing: int = 0
    low: str = ""
    high: str = ""
    least: str = ""
    most: str = ""

    @property
    def is_listed(self) -> bool:
        return self.type in LISTED

    @property
    def input(self) -> str:
        """The type of the input of either end; a moment that is no day is text."""
        days = all(len(end) in (0, 10) for end in (self.low, self.high))
        return _INPUTS[self.type] if self.type != "timestamp" or days else "text"


def groups(collection: Collection, asked: Asked, tenant: str | None, seconds: float) -> list[Group]:
    """The filters, each counted among the documents that all the others leave.

    Raises InvalidInput, FilterError, DeadlineExceeded after so many seconds.
    """
    deadline = Deadline(seconds, FACETS)
    fields = dict(list(collection.fields.items())[:MAX_FACETS])
    if collection.space.tenant is not None:
        fields.pop(collection.space.tenant, None)
    counted: dict[str, Facet] = {}
    for names, condition in _asked(fields, asked, collection.fields):
        counted |= collection.facets(names, filter=condition, tenant=tenant, limit=MOST, deadline=deadline.remaining())
    return [_group(name, type_, counted[name], asked) for name, type_ in fields.items()]


def _asked(
    fields: dict[str, FieldType], asked: Asked, every: dict[str, FieldType]
) -> Iterator[tuple[list[str], dict[str, object] | None]]:
    """Which facets are counted under which condition: a field's own choice does not hide its other values."""
    own = [name for name in fields if name in asked.chosen or name in asked.ranges]
    yield [name for name in fields if name not in own], asked.condition(every)
    for name in own:
        yield [name], asked.condition(every, but=name)


def _group(name: str, type_: FieldType, facet: Facet, asked: Asked) -> Group:
    found = [(_text(value), count) for value, count in facet.values]
    if type_ in LISTED:
        chosen = asked.chosen.get(name, ())
        values = [Value(text, count, text in chosen) for text, count in found]
        values += [Value(text, 0, True) for text in chosen if text not in dict(found)]
        values.sort(key=lambda value: not value.chosen)
        return Group(name, type_, tuple(values), facet.distinct - len(found), facet.missing)
    low, high = asked.ranges.get(name, ("", ""))
    ends = sorted((value for value, _ in facet.values), key=lambda value: (isinstance(value, str), value))
    if facet.more or not ends:
        return Group(name, type_, missing=facet.missing, low=low, high=high)
    return Group(name, type_, (), 0, facet.missing, low, high, _text(ends[0]), _text(ends[-1]))


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
