"""Random filters and rows, over so few values of each type that they meet."""

from __future__ import annotations

import random
from typing import Any

from semsearch import fields, filters
from semsearch.errors import FilterError
from tests.filtering.evaluator import Row

DECLARED: dict[str, fields.FieldType] = {
    "lang": "text",
    "year": "integer",
    "score": "float",
    "draft": "boolean",
    "day": "date",
    "at": "timestamp",
}
NUMBERS = [0, 1, -1, 5, 2020, 2020.0, 2020.5, 0.1, 0.30000000000000004, 1e300, 5e-324, 2**53 + 1, 2**63 - 1, -(2**63)]
TEXTS = ["", "a", "A", "Z", "ä", "aa", "b", "aB\n", "b_a", "2020", "true", "null", "a%", "a'b", '"', "\\", "ʼ"]
TEXTS += ["𝄞", "\uffff", "en", "de"]
DATES = ["2024-02-29", "2024-03-01", "1999-12-31", "0001-01-01", "9999-12-31"]
MOMENTS = ["2024-02-29", "2024-02-29T00:00:00.000001Z", "2024-02-29T02:00+02:00", "2024-02-28 23:00-01"]
MOMENTS += ["1999-12-31T23:59"]
VALUES: dict[fields.FieldType | None, list[Any]] = {
    "text": TEXTS,
    "integer": [number for number in NUMBERS if fields.convert(number, "integer") is not None],
    "float": NUMBERS,
    "boolean": [True, False],
    "date": DATES,
    "timestamp": MOMENTS,
    None: [*NUMBERS, *TEXTS, True, False],
}
KEYS = ["a", "b", "Year", "0", "tags", "author.name", "author.name.first", "author.0"]
WORDS = ["reset", "my", "password", "Reset", "the"]
PIECES = ["", "my", "reset", "Reset", "y p", "RESET M", "_", "%", "s_t", "p%d", "\\"]
IDS = ["a", "a/1", "a/2", "b", "ä", "%"]
LIKES = ["%", "_", "a%", "%a", "%A%", "a_%", "\\%", "%\\%", "_\\_a", "\\\\", "", "ä", "%\n", "a'b", "\\a"]
ATOMS = ["a", "b", "B", "ä", "2", ".", "[ab]", "[^a]", "[a-z\\d]", "\\w", "\\W", "\\s", "\\d", "\\%", "\\\\", "[%_'-]"]
REPEATS = ["", "", "", "*", "+", "?", "{2}", "{1,}", "{0,2}", "*?"]
LIMITS = ["at most 64 conditions", "at most 256 bytes", "repetitions are too long"]


class Draw:
    """Draws from so few values a type that filters and rows meet."""

    def __init__(self, source: random.Random) -> None:
        self.random = source
        self.values = {type_: source.sample(values, min(6, len(values))) for type_, values in VALUES.items()}

    # ---- rows

    def row(self) -> Row:
        metadata = {name: self._stored(type_) for name, type_ in DECLARED.items() if self.random.random() < 0.85}
        for key in KEYS:
            if self.random.random() < 0.7:
                self._put(metadata, key.split("."), self._stored(None))
        words = self.random.choices(WORDS, k=self.random.randrange(5))
        return Row(metadata, self.random.choice(IDS), " ".join(words))

    def _put(self, metadata: dict[str, Any], parts: list[str], value: Any) -> None:
        place: Any = metadata
        for part in parts[:-1]:
            place = place.setdefault(part, {}) if isinstance(place, dict) else {}
        if isinstance(place, dict):
            place[parts[-1]] = value

    def _stored(self, type_: fields.FieldType | None) -> Any:
        """A value of the type, or null, or anything else that JSON can hold."""
        any_type = self.random.choice(list(VALUES))
        value = self.random.choice(self.values[self.random.choice([type_] * 5 + [any_type])])
        other = [None, [value], {"x": value}, [], {}, "", [[value]], [{"x": value}, value]]
        if type_ is None:
            other += [self.some([*self.values[None], None]) for _ in range(6)]
        return self.random.choice([value] * 12 + other)

    # ---- filters

    def filter(self, depth: int = 3, most: int = 2) -> dict[str, Any]:
        """A filter; of `most` conditions side by side, and one at least where `most` is 1."""
        while True:
            drawn = self._filter(depth, most)
            try:
                filters.parse(drawn)
                return drawn
            except FilterError as error:
                assert any(limit in str(error) for limit in LIMITS), (drawn, error)

    def _filter(self, depth: int, most: int) -> dict[str, Any]:
        if depth == 0 or self.random.random() < 0.5:
            return dict(
                self._condition() for _ in range(self.random.choice([1, 1, 1, 1, 1, most, (most - 1) * 2 or 1]))
            )
        several = [self._filter(depth - 1, most) for _ in range(self.random.choice([1, 2, 2, 3]))]
        together = self.random.choice(["$and", "$or", "$or", "$not", "$at_least"])
        joined: dict[str, Any] = {together: several}
        if together == "$not":
            joined = {together: several[0]}
        if together == "$at_least":
            joined = {together: {"count": self.random.randint(1, len(several)), "of": several}}
        return {**dict([self._condition()]), **joined} if self.random.random() < 0.3 else joined

    def _condition(self) -> tuple[str, Any]:
        key = self.random.choice([*DECLARED, *KEYS, "$id", "$text"])
        draw = {"$id": self._of_id, "$text": self._of_text}.get(key, lambda: self._operator(DECLARED.get(key)))
        operators = dict(draw() for _ in range(self.random.choice([1, 1, 1, 2])))
        if key != "$text" and self.random.random() < 0.1:
            return key, self.random.choice(IDS if key == "$id" else self.values[DECLARED.get(key)])
        return key, {"$not": operators} if self.random.random() < 0.2 else operators

    def _of_id(self) -> tuple[str, Any]:
        operator = self.random.choice(["$eq", "$ne", "$in", "$nin", "$starts_with"])
        return operator, self.some(IDS) if operator in ("$in", "$nin") else self.random.choice(IDS)

    def _of_text(self) -> tuple[str, Any]:
        operator = self.random.choice(["$match", "$phrase", "$contains", "$icontains"])
        if operator.endswith("contains"):
            return operator, self.random.choice(PIECES)
        return operator, " ".join(self.random.choices(WORDS, k=self.random.choice([0, 1, 1, 2])))

    def _operator(self, type_: fields.FieldType | None) -> tuple[str, Any]:
        scalars = [*self.values[type_], None]
        ordered = [value for value in self.values[type_] if not isinstance(value, bool)]
        kinds = ["single", "list", "whether"] + ["order", "order", "between"] * bool(ordered)
        kinds += ["pattern"] * 2 * (type_ in ("text", None)) + ["contains", "contains", "size"] * (type_ is None)
        match self.random.choice(kinds):
            case "order":
                return self.random.choice(["$gt", "$gte", "$lt", "$lte"]), self.random.choice(ordered)
            case "between":
                return "$between", [self.random.choice(ordered), self.random.choice(ordered)]
            case "list":
                return self.random.choice(["$in", "$nin"]), self.some(scalars)
            case "whether":
                return self.random.choice(["$exists", "$null", "$empty"]), self.random.choice([True, False])
            case "pattern":
                return self._pattern()
            case "contains":
                sets = ["$contains_any", "$contains_all", "$contains_none", "$overlaps"]
                return self.random.choice([("$contains", self.random.choice(scalars))] + [
                    (name, self.some(scalars)) for name in sets
                ])  # fmt: skip
            case "size":
                return "$size", self._size()
        return self.random.choice(["$eq", "$ne"]), self.random.choice(scalars)

    def _pattern(self) -> tuple[str, str]:
        operator = self.random.choice(["$like", "$ilike", "$starts_with", "$regex"])
        match operator:
            case "$starts_with":
                return operator, self.random.choice(TEXTS)
            case "$regex":
                return operator, self.regex()
        return operator, self.random.choice(LIKES)

    def _size(self) -> Any:
        operator = self.random.choice(["", "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$between"])
        if operator == "$between":
            return {operator: sorted(self.random.choices(range(4), k=2))}
        number = self.random.randrange(4)
        return {operator: number} if operator else number

    def regex(self, depth: int = 2) -> str:
        """A regular expression of the kind that is allowed."""
        alternatives = []
        for _ in range(self.random.choice([1, 1, 2])):
            parts = [self._part(depth) for _ in range(self.random.choice([1, 1, 2, 3]))]
            ends = self.random.choice([("", ""), ("", ""), ("^", ""), ("", "$"), ("^", "$")])
            alternatives.append(ends[0] + "".join(parts) + ends[1])
        return "|".join(alternatives)

    def _part(self, depth: int) -> str:
        if depth and self.random.random() < 0.3:
            atom = self.random.choice(["({})", "(?:{})"]).format(self.regex(depth - 1))
        else:
            atom = self.random.choice(ATOMS)
        return atom + self.random.choice(REPEATS)

    def some(self, values: list[Any]) -> list[Any]:
        """None to two of the values."""
        return self.random.sample(values, self.random.randrange(3))
