"""What an address of the page asks for: the whole state of the page, so that every view can be shared by its link.

| address | shows |
|---|---|
| `/?collection=handbook&q=reset+password&mode=hybrid&is.lang=en&from.year=2020` | hits |
| `/?collection=handbook&document=passwords.md&chunk=2&mark=10-52` | a document, with a sentence marked |
| `/?view=collections`, `/?view=failures&collection=handbook` | how far collections are, what was given up |
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from semsearch import filters
from semsearch.errors import InvalidInput
from semsearch.fields import FieldType
from semsearch.request import MAX_TOP_K, Options
from semsearch.web import json_scan

MODES = ("vector", "hybrid", "text")
VIEWS = ("search", "collections", "failures")
TOP_K = 10

_MARK = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBERS = {"integer": int, "float": float}
_TRUTH = {"true": True, "false": False}
_OWN = ("collection", "q", "mode", "tenant", "filter", "like", "document", "mark", "after", "rerank")


@dataclass(frozen=True)
class Asked:
    """The parameters of an address, as they were given; `chosen` and `ranges` are of declared fields."""

    view: str = "search"
    collection: str | None = None
    q: str = ""
    mode: str = "vector"
    rerank: str = ""
    tenant: str | None = None
    filter: str = ""
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    like: str | None = None
    top_k: int = TOP_K
    after: str | None = None
    document: str | None = None
    chunk: int | None = None
    mark: str | None = None

    @property
    def is_filtered(self) -> bool:
        return bool(self.filter or self.chosen or self.ranges)

    @property
    def filters(self) -> int:
        """How many conditions are set."""
        return bool(self.filter) + sum(map(len, self.chosen.values())) + len(self.ranges)

    @property
    def marked(self) -> tuple[int, int] | None:
        """The offsets of the sentence to mark in the chunk."""
        found = _MARK.fullmatch(self.mark or "")
        return (int(found[1]), int(found[2])) if found else None

    def link(self, **changes: Any) -> str:
        """The address of this state with those changes; None leaves out."""
        pairs = [(name, value) for name, value in self._pairs() if name not in changes]
        pairs += [(name, value) for name, value in changes.items() if value is not None]
        return "/?" + urlencode(pairs, errors="surrogatepass") if pairs else "/"

    def fresh(self, **changes: Any) -> str:
        """The address of something else in the same collection: nothing of the query is kept."""
        return Asked(collection=self.collection, tenant=self.tenant).link(**changes)

    def changed(self, **changes: Any) -> Asked:
        return replace(self, **changes)

    def without_filters(self) -> str:
        return self.changed(filter="", chosen={}, ranges={}, after=None).link()

    def _pairs(self) -> Iterable[tuple[str, Any]]:
        usual = {"mode": "vector"}
        yield from ((name, value) for name in _OWN if (value := getattr(self, name)) and value != usual.get(name))
        yield from ((f"is.{name}", value) for name, values in self.chosen.items() for value in values)
        for name, (low, high) in self.ranges.items():
            yield from ((f"{end}.{name}", value) for end, value in (("from", low), ("to", high)) if value)
        if self.view != "search":
            yield "view", self.view
        if self.top_k != TOP_K:
            yield "top_k", self.top_k
        if self.chunk is not None:
            yield "chunk", self.chunk

    def condition(self, fields: Mapping[str, FieldType], but: str | None = None) -> dict[str, Any] | None:
        """The filter, of all conditions `but` those at one field. Raises InvalidInput, FilterError."""
        unknown = next((name for name in (*self.chosen, *self.ranges) if name not in fields), None)
        if unknown is not None:
            raise InvalidInput(f"the collection has no field {unknown!r:.80} to filter by.")
        parts = [written(self.filter)] if self.filter else []
        for name, values in self.chosen.items():
            if name != but and values:
                parts.append({name: {"$in": [_value(name, fields[name], value) for value in values]}})
        parts += [{name: _range(name, fields[name], *ends)} for name, ends in self.ranges.items() if name != but]
        return {"$and": parts} if len(parts) > 1 else parts[0] if parts else None

    def options(self, fields: Mapping[str, FieldType], tenant: str | None) -> Options:
        """The options of the search, without what only some of the page's parts ask for. Raises the same."""
        options = Options(top_k=self.top_k, filter=self.condition(fields), tenant=tenant, mode=self.mode)  # type: ignore[typeddict-item]
        if self.rerank:
            options["rerank"] = self.rerank
        return options


def read(pairs: Iterable[tuple[str, str]]) -> Asked:
    """The parameters of an address. Raises InvalidInput for those that make no sense."""
    given: dict[str, Any] = {}
    chosen: dict[str, list[str]] = {}
    ranges: dict[str, list[str]] = {}
    for name, value in pairs:
        kind, _, key = name.partition(".")
        if not value or "\0" in value:  # forms send what was left empty, too; no text in PostgreSQL has a NUL
            continue
        if kind == "is" and key:
            chosen.setdefault(key, []).append(value)
        elif kind in ("from", "to") and key:
            ranges.setdefault(key, ["", ""])[kind == "to"] = value
        elif name in _OWN:
            given[name] = value
        elif name in ("top_k", "chunk", "view"):
            given[name] = value if name == "view" else _whole(name, value)
    if given.get("view", "search") not in VIEWS:
        raise InvalidInput(f"the page has no view {given['view']!r:.80}: it has {', '.join(VIEWS)}.")
    given["q"] = given.get("q", "").strip()
    return Asked(
        **given,
        chosen={name: tuple(dict.fromkeys(values)) for name, values in chosen.items()},
        ranges={name: (low, high) for name, (low, high) in ranges.items()},
    )


def written(text: str) -> dict[str, Any]:
    """A filter as it is typed: `year >= 2020 and lang = en`, or JSON. Raises FilterError, InvalidInput."""
    if not text.lstrip().startswith("{"):
        return filters.from_text(text)
    try:
        return dict(json.loads(text, object_pairs_hook=json_scan.once))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the filter is no JSON: {error}") from error


def _range(name: str, type_: FieldType, low: str, high: str) -> dict[str, Any]:
    """From one value to another, both included; a day that is named as the end of moments is included whole."""
    limits = {"$gte": _value(name, type_, low)} if low else {}
    if type_ == "timestamp" and _DAY.fullmatch(high):
        return {**limits, "$lt": _day_after(name, high)}
    return {**limits, "$lte": _value(name, type_, high)} if high else limits


def _day_after(name: str, day: str) -> str:
    try:
        return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
    except (ValueError, OverflowError):
        raise InvalidInput(f"field {name!r} is of type timestamp; {day!r} is no day.") from None


def _value(name: str, type_: FieldType, value: str) -> Any:
    try:
        return _NUMBERS[type_](value) if type_ in _NUMBERS else _TRUTH[value] if type_ == "boolean" else value
    except (ValueError, KeyError):
        raise InvalidInput(f"field {name!r} is of type {type_}; {value!r:.80} is no value of it.") from None


def _whole(name: str, value: str) -> int:
    most = MAX_TOP_K if name == "top_k" else 2**31 - 1
    if not re.fullmatch("[0-9]{1,10}", value) or int(value) > most:
        raise InvalidInput(f"{name} is a whole number, at most {most:,}; got {value!r:.80}.")
    return int(value)


def quoted(text: str) -> str:
    """A text as a header can hold it."""
    return quote(text[:300], errors="replace")
