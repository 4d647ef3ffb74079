"""Random filters with numbered holes instead of the user's strings and numbers, to be filled more than once.

Whatever fills the holes, the SQL text must stay the same: that is the proof that no string of a user becomes SQL.
"""

from __future__ import annotations

import random
import re
from typing import Any, NamedTuple

from semsearch import filters


class Hole(NamedTuple):
    """Stands for a text; equal holes get equal texts. A pattern must stay one whatever it is filled with."""

    kind: str  # "text", "regex", "like"
    number: int


class Number(NamedTuple):
    """Stands for a number."""

    number: int


HOSTILE = [
    "'", '"', "%s", "%(param_1)s", ":x", "--", ";", "\\", "_$1", "{}", "::jsonb", ")", "/*", "\n", "ä", "ʼ", "\x01",
    "|", "a|b", "$$", "?", "[", "''", "%%", "\u2028", "' OR 1=1 --",
]  # fmt: skip

Filled = dict[Hole | Number, Any]


class Templates:
    """Draws filters in which a dotted key is a tuple of holes. `source` decides everything."""

    def __init__(self, source: random.Random) -> None:
        self.random = source

    def filter(self, depth: int = 2) -> dict[Any, Any]:
        if depth == 0 or self.random.random() < 0.4:
            return dict(self._condition() for _ in range(self.random.choice([0, 1, 1, 2])))
        several = [self.filter(depth - 1) for _ in range(self.random.choice([1, 2, 3]))]
        count = self.random.randint(1, len(several))
        return self.random.choice([
            {"$and": several}, {"$or": several}, {"$not": several[0]}, {"$at_least": {"count": count, "of": several}}
        ])  # fmt: skip

    def _condition(self) -> tuple[Any, Any]:
        match self.random.choice(["key", "key", "key", "key", "text", "$id", "$text"]):
            case "text":  # a declared field, of type text
                return "text", dict([self.random.choice([self._pattern, self._list, self._order])(self._hole)])
            case "$id":
                operator = self.random.choice(["$eq", "$ne", "$in", "$nin", "$starts_with"])
                return "$id", {operator: self._some(self._hole) if "in" in operator else self._hole()}
            case "$text":
                return "$text", {self.random.choice(["$match", "$phrase", "$contains", "$icontains"]): self._hole()}
        key = tuple(self._hole() for _ in range(self.random.choice([1, 1, 2])))
        return key, dict(self._operator() for _ in range(self.random.choice([1, 1, 2])))

    def _operator(self) -> tuple[str, Any]:
        draw = self.random.choice([self._single, self._order, self._list, self._pattern, self._contains, self._whether])
        return draw(self._scalar)

    def _single(self, value: Any) -> tuple[str, Any]:
        return self.random.choice(["$eq", "$ne"]), value()

    def _order(self, _: Any) -> tuple[str, Any]:
        operator = self.random.choice(["$gt", "$gte", "$lt", "$lte", "$between"])
        return operator, [self._hole(), self._hole()] if operator == "$between" else self._hole()

    def _list(self, value: Any) -> tuple[str, Any]:
        return self.random.choice(["$in", "$nin"]), self._some(value)

    def _contains(self, value: Any) -> tuple[str, Any]:
        operator = self.random.choice(["$contains", "$contains_any", "$contains_all", "$contains_none", "$overlaps"])
        return operator, value() if operator == "$contains" else self._some(value)

    def _pattern(self, _: Any) -> tuple[str, Any]:
        kind = self.random.choice(["text", "like", "regex"])
        operators = {"text": ["$starts_with"], "like": ["$like", "$ilike"], "regex": ["$regex"]}[kind]
        return self.random.choice(operators), self._hole(kind)

    def _whether(self, _: Any) -> tuple[str, Any]:
        operator = self.random.choice(["$exists", "$null", "$empty", "$size"])
        return operator, self.random.randrange(5) if operator == "$size" else self.random.choice([True, False])

    def _some(self, value: Any) -> list[Any]:
        return [value() for _ in range(self.random.choice([0, 1, 2, 3]))]

    def _scalar(self) -> Any:
        return self.random.choice([self._hole, self._hole, self._number, lambda: None, lambda: True])()

    def _hole(self, kind: str = "text") -> Hole:
        return Hole(kind, self.random.randrange(10**6))

    def _number(self) -> Number:
        return Number(self.random.randrange(10**6))


def filled(template: Any, given: Filled) -> Any:
    """The filter, with something for every hole."""
    match template:
        case Hole() | Number():
            return given[template]
        case list():
            return [filled(each, given) for each in template]
        case dict():
            return {_key(key, given): filled(value, given) for key, value in template.items()}
    return template


def _key(key: Any, given: Filled) -> str:
    return ".".join(given[part].replace(".", "·") for part in key) if isinstance(key, tuple) else key


def holes(template: Any) -> set[Hole | Number]:
    match template:
        case Hole() | Number():
            return {template}
        case dict():
            return {hole for pair in template.items() for each in pair for hole in holes(each)}
        case list() | tuple():
            return {hole for each in template for hole in holes(each)}
    return set()


def plain(found: set[Hole | Number]) -> Filled:
    """Something harmless for every hole."""
    return {hole: f"k{hole.number}" if isinstance(hole, Hole) else hole.number for hole in found}


def hostile(found: set[Hole | Number], source: random.Random) -> Filled:
    """Something awkward for every hole."""
    return {hole: _awkward(hole, source) for hole in found}


def _awkward(hole: Hole | Number, source: random.Random) -> Any:
    if isinstance(hole, Number):
        return source.choice([source.random() * 1e9, source.randrange(-(10**9), 10**9)])
    # the number keeps the texts of different holes different, as two equal keys would be one condition less
    text = f"{source.choice(HOSTILE)}{hole.number}{source.choice(HOSTILE)}"
    if hole.kind == "regex":
        return re.sub(r"[!-/:-@\[-`{-~]", r"\\\g<0>", text)
    if hole.kind == "like":
        return text + "x"
    return f"k{text}" if text.startswith("$") else text  # a key begins with no dollar sign


def first_difference(template: Any, source: random.Random, columns: filters.Columns, dialect: Any) -> str | None:
    """How the SQL differs between two fillings of the template; None where it is the same."""
    found = holes(template)
    one, other = (
        filters.compile(filters.parse(filled(template, given)), columns).compile(dialect=dialect)
        for given in (plain(found), hostile(found, source))
    )
    same = str(one) == str(other) and one.params.keys() == other.params.keys()
    return None if same else f"{template}\n{one}\n{other}"
