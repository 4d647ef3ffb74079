"""Filters as people write them on a command line: `year >= 2020 and lang in (en, de)`.

    filter      = all { "or" all }
    all         = one { "and" one }
    one         = "not" one | "(" filter ")" | "at least" number "of" "(" filter { "," filter } ")" | test
    test        = "text" ("match" | "phrase" | "contains" | "icontains") text
                | "id" equal text | "id" ["not"] "in" texts | "id" ["not"] "starts with" text
                | "size" "(" key ")" (order number | "between" number "and" number)
                | key order value | key ["not"] "in" values | key ["not"] "between" value "and" value
                | key ["not"] "exists" | key "is" ["not"] ("null" | "empty")
                | key ["not"] "contains" (value | ("any" | "all" | "none") values)
                | key ["not"] ("like" | "ilike" | "starts with" | "matches") text
    order       = equal | "<" | "<=" | ">" | ">="
    equal       = "=" | "==" | "!=" | "<>"
    values      = "(" [ value { "," value } ] ")", and so texts

Keys and values are bare words or stand in quotes of either kind, doubled where they are meant plainly. A bare true,
false, null or number is that value, anything in quotes a text. Keywords are in capitals or not; a key of the metadata
that is named like one stands in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from semsearch.errors import FilterError
from semsearch.filters import tokens
from semsearch.filters.tokens import Token
from semsearch.filters.values import MAX_DEPTH

_COMPARE = {"=": "$eq", "==": "$eq", "!=": "$ne", "<>": "$ne", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}
_EQUAL = ("=", "==", "!=", "<>")
_PATTERNS = {"like": "$like", "ilike": "$ilike", "matches": "$regex", "starts": "$starts_with"}
_SETS = {"any": "$contains_any", "all": "$contains_all", "none": "$contains_none"}
_TEXT = ("match", "phrase", "contains", "icontains")
_RESERVED = frozenset({"and", "or", "not"})
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")

Json = dict[str, Any]


def from_text(text: str) -> Json:
    """The JSON form of a filter in text form, to be parsed like any other. Raises FilterError that shows the place.

    >>> from_text("year >= 2020 and not lang in (en, de)")
    {'$and': [{'year': {'$gte': 2020}}, {'$not': {'lang': {'$in': ['en', 'de']}}}]}
    """
    return _Reader(text).whole()


class _Reader:
    """Reads one filter by recursive descent, at most MAX_DEPTH parentheses and `not`s deep."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens.split(text)
        self._next = 0

    # ---- tokens

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._token
        self._next += token.kind != "end"
        return token

    def _have(self, *words: str) -> bool:
        """Take these keywords, if all of them are next."""
        ahead = self._tokens[self._next : self._next + len(words)]
        if tuple(token.word for token in ahead) != words:
            return False
        self._next += len(words)
        return True

    def _have_sign(self, sign: str) -> bool:
        if not self._token.is_sign(sign):
            return False
        self._next += 1
        return True

    def _want(self, *words: str) -> None:
        if not self._have(*words):
            raise self._wrong(f"{' '.join(words)!r} is missing")

    def _want_sign(self, sign: str) -> None:
        if not self._have_sign(sign):
            raise self._wrong(f"{sign!r} is missing")

    def _wrong(self, problem: str, token: Token | None = None) -> FilterError:
        return tokens.error(self._text, (token or self._token).at, problem)

    # ---- filters

    def whole(self) -> Json:
        filter = self._any(1)
        if self._token.kind != "end":
            raise self._wrong("'and' or 'or' is missing")
        return filter

    def _any(self, depth: int) -> Json:
        return self._joined("or", self._all, depth)

    def _all(self, depth: int) -> Json:
        return self._joined("and", self._one, depth)

    def _joined(self, word: str, read: Callable[[int], Json], depth: int) -> Json:
        parts = [read(depth)]
        while self._have(word):
            parts.append(read(depth))
        return parts[0] if len(parts) == 1 else {f"${word}": parts}

    def _one(self, depth: int) -> Json:
        if depth > MAX_DEPTH:
            raise self._wrong(f"filters go at most {MAX_DEPTH} deep")
        if self._have("not"):
            return {"$not": self._one(depth + 1)}
        if self._have_sign("("):
            inner = self._any(depth + 1)
            self._want_sign(")")
            return inner
        if self._have("at", "least"):
            return self._at_least(depth)
        return self._test()

    def _at_least(self, depth: int) -> Json:
        count = self._value()
        self._want("of")
        self._want_sign("(")
        filters = [self._any(depth + 1)]
        while self._have_sign(","):
            filters.append(self._any(depth + 1))
        self._want_sign(")")
        return {"$at_least": {"count": count, "of": filters}}

    # ---- tests

    def _test(self) -> Json:
        following = self._tokens[min(self._next + 1, len(self._tokens) - 1)]
        match self._token.word:
            case "text" if following.word in _TEXT:
                self._next += 2
                return {"$text": {f"${following.word}": self._string()}}
            case "id":
                self._next += 1
                return {"$id": self._of_id()}
            case "size" if following.is_sign("("):
                self._next += 2
                return self._of_size()
        return {self._key(): self._of_key()}

    def _of_id(self) -> Any:
        if self._token.is_sign(*_EQUAL):
            return {_COMPARE[self._take().text]: self._string()}
        negated = self._have("not")
        if self._have("in"):
            return {"$nin" if negated else "$in": self._list(self._string)}
        if not self._have("starts", "with"):
            raise self._wrong("ids are compared by = != in, starts with")
        return _unless(negated, {"$starts_with": self._string()})

    def _of_size(self) -> Json:
        key = self._key()
        self._want_sign(")")
        if self._have("between"):
            return {key: {"$size": {"$between": self._range()}}}
        if not self._token.is_sign(*_COMPARE):
            raise self._wrong("a comparison such as >= is missing")
        return {key: {"$size": {_COMPARE[self._take().text]: self._value()}}}

    def _of_key(self) -> Json:
        if self._token.is_sign(*_COMPARE):
            return {_COMPARE[self._take().text]: self._value()}
        if self._have("is"):
            negated = self._have("not")
            if self._have("null"):
                return {"$null": not negated}
            if self._have("empty"):
                return {"$empty": not negated}
            raise self._wrong("'null' or 'empty' is missing")
        return self._negatable(self._have("not"))

    def _negatable(self, negated: bool) -> Json:
        token = self._take()
        match token.word:
            case "in":
                return {"$nin" if negated else "$in": self._list(self._value)}
            case "exists":
                return {"$exists": not negated}
            case "between":
                return _unless(negated, {"$between": self._range()})
            case "contains":
                return _unless(negated, self._contains())
            case "like" | "ilike" | "matches" | "starts":
                if token.word == "starts":
                    self._want("with")
                return _unless(negated, {_PATTERNS[token.word]: self._string()})
        raise self._wrong("a comparison is missing, such as = >= in between exists contains like", token)

    def _contains(self) -> Json:
        which = _SETS.get(self._token.word)
        if which and self._tokens[self._next + 1].is_sign("("):
            self._next += 1
            return {which: self._list(self._value)}
        return {"$contains": self._value()}

    # ---- keys and values

    def _key(self) -> str:
        return self._named("a key of the metadata").text

    def _string(self) -> str:
        return self._named("a text").text

    def _value(self) -> Any:
        token = self._named("a value")
        if token.kind == "quoted":
            return token.text
        if token.word in _WORDS:
            return _WORDS[token.word]
        if not _FLOAT.fullmatch(token.text):
            return token.text
        if len(token.text) > 400:  # int() of more than 4,300 digits raises ValueError
            raise self._wrong("the number is too long", token)
        return int(token.text) if _INTEGER.fullmatch(token.text) else float(token.text)

    def _named(self, what: str) -> Token:
        if self._token.kind not in ("word", "quoted") or self._token.word in _RESERVED:
            raise self._wrong(f"{what} is missing")
        return self._take()

    def _list(self, read: Callable[[], Any]) -> list[Any]:
        self._want_sign("(")
        if self._have_sign(")"):
            return []
        values = [read()]
        while self._have_sign(","):
            values.append(read())
        self._want_sign(")")
        return values

    def _range(self) -> list[Any]:
        least = self._value()
        self._want("and")
        return [least, self._value()]


def _unless(negated: bool, operators: Json) -> Json:
    return {"$not": operators} if negated else operators
