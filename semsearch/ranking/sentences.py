"""Finds sentences, by punctuation and line breaks alone: good enough to show, in any language that has either."""

# ruff: noqa: RUF001 - the punctuation of many scripts looks like that of ours

from __future__ import annotations

import re

Span = tuple[int, int]  # start and end, so that text[start:end] is the sentence

LONGEST = 300  # characters; what is longer is no sentence that helps a reader

_END = re.compile(
    r"""
      (?P<stop> [.!?…؟۔]+ ["'”’»)\]]* ) (?= \s )
    | [。！？｡।॥።။។]+ [”’」』）"')]*
    | \n [^\S\n]* \n
    | \n (?= [^\S\n]* (?: [-*•+–] | \d{1,3} [.)] | \#{1,6} ) \s )
    | (?<= [\u0e00-\u0e7f] ) [ ]+ (?= [\u0e00-\u0e7f] )  # Thai has no full stop
    """,
    re.VERBOSE,
)
_LAST_WORD = re.compile(r"[^\s(\[\"'“‘«]*\Z")
_BREAKS = [re.compile(pattern) for pattern in (r"\n", r"[;:,،、；：，]\s?", r"\s")]

# Words that a full stop after them does not end a sentence; some only where a number follows: "No. 5", but "No."
_ABBREVIATION = re.compile(
    r"mrs?|ms|dr|prof|st|mt|jr|sr|vs|cf|approx|ca|al|eds?|est|dept|gen|col|incl|excl|resp|"
    r"bzw|vgl|ggf|evtl|hrsg|sog|zzgl|inkl|mme|mlle|sra|srta|sig|dott",
    re.IGNORECASE,
)
_BEFORE_NUMBERS = re.compile(
    r"nos?|nr|pp|vol|ch|figs?|sec|eq|abb|bd|art|str|av|núm|pág|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec",
    re.IGNORECASE,
)


def sentences(text: str) -> list[Span]:
    """The sentences in their order: not empty, without white space around them, at most 300 characters each.

    >>> text = "Dr. Smith paid $3.50. Why? It rained."
    >>> [text[start:end] for start, end in sentences(text)]
    ['Dr. Smith paid $3.50.', 'Why?', 'It rained.']
    """
    spans, start = [], 0
    for end in [*(found.end() for found in _END.finditer(text) if _is_end(text, found)), len(text)]:
        spans += _pieces(text, start, end)
        start = end
    return spans


def _is_end(text: str, found: re.Match[str]) -> bool:
    stop = found["stop"]
    if stop is None:
        return True
    following = text[found.end() : found.end() + 20].lstrip()
    if following[:1].islower():
        return False
    if stop[0] != "." or stop.startswith(".."):
        return True
    line = text[max(0, found.start() - 40) : found.start()]
    last = _LAST_WORD.search(line)
    assert last is not None  # it may be empty
    return not _is_abbreviation(last[0], following) and not _is_list_number(line, last)


def _is_abbreviation(word: str, following: str) -> bool:
    """Known ones, initials, and letters with stops between them: "e.g", "U.S"."""
    if _ABBREVIATION.fullmatch(word) or (_BEFORE_NUMBERS.fullmatch(word) and following[:1].isdigit()):
        return True
    return word != "I" and all(len(part) == 1 and part.isalpha() for part in word.split("."))


def _is_list_number(line: str, last: re.Match[str]) -> bool:
    before = line[: last.start()].rstrip(" \t")
    return last[0].isdigit() and (not before or before.endswith("\n"))


def _pieces(text: str, start: int, end: int) -> list[Span]:
    """The span without white space around it, cut where it is too long."""
    pieces: list[Span] = []
    while True:
        start += len(text[start:end]) - len(text[start:end].lstrip())
        if start == end:
            return pieces
        cut = end if len(text[start:end].rstrip()) <= LONGEST else start + _cut(text[start : start + LONGEST])
        pieces.append((start, start + len(text[start:cut].rstrip())))
        start = cut


def _cut(text: str) -> int:
    """Where to end a piece: after the last line, clause or word that leaves it at least a third of its length."""
    for pattern in _BREAKS:
        ends = [found.end() for found in pattern.finditer(text, LONGEST // 3)]
        if ends:
            return ends[-1]
    return len(text)
