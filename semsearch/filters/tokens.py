"""The words and signs that a filter in text form is made of."""

from __future__ import annotations

import re
from dataclasses import dataclass

from semsearch.errors import FilterError

_TOKEN = re.compile(
    r"""\s* (?: (?P<quoted> '(?:[^']|'')*' | "(?:[^"]|"")*" )
              | (?P<sign> <= | >= | <> | != | == | [=<>(),] )
              | (?P<word> [^\s'"=<>!(),]+ )
              | (?P<end> \Z ) )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One of them, of a kind named in the pattern; `text` has no quotes, `word` is compared with keywords."""

    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        return self.text.lower() if self.kind == "word" else ""

    def is_sign(self, *signs: str) -> bool:
        return self.kind == "sign" and self.text in signs


def split(text: str) -> list[Token]:
    """All tokens, the last of them the end. Raises FilterError at a quote that is not closed and at a lone `!`."""
    tokens: list[Token] = []
    position = 0
    while not tokens or tokens[-1].kind != "end":
        found = _TOKEN.match(text, position)
        if found is None:
            at = len(text) - len(text[position:].lstrip())
            raise error(
                text, at, "the quote is not closed" if text[at] in "'\"" else f"{text[at]!r} means nothing here"
            )
        tokens.append(_token(found))
        position = found.end()
    return tokens


def _token(found: re.Match[str]) -> Token:
    kind = found.lastgroup
    assert kind is not None
    text = found[kind]
    if kind == "quoted":
        text = text[1:-1].replace(text[0] * 2, text[0])
    return Token(kind, text, found.start(kind))


def error(text: str, at: int, problem: str) -> FilterError:
    """The FilterError that points, by an arrow, to the place where the text went wrong."""
    before, after = text[max(0, at - 30) : at], text[at : at + 30]
    excerpt = f"{'...' if at > 30 else ''}{before}--> {after}{'...' if len(text) > at + 30 else ''}"
    return FilterError(f"at character {at + 1}", f"{problem}: {' '.join(excerpt.split())}")
