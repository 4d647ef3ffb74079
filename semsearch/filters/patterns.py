"""The patterns of `$like` and `$regex`: only such as PostgreSQL never refuses and answers in time.

`$regex` finds its pattern anywhere in a text; `^` and `$` are the text's two ends. What is allowed means the same in
PostgreSQL's regular expressions and in Python's `re.search(..., re.ASCII | re.DOTALL)`, but that Python's `$` stands
before a newline at the end as well:

    any character (`.` too, newlines included)   \\d \\D \\s \\S \\w \\W (ASCII)   \\n \\r \\t \\f \\v
    [abc] [^abc] [a-z\\d]                         (...) (?:...) |                  ^ $
    * + ? {2} {2,} {2,5}, and each with ? behind   a backslash before any other sign makes it plain

No back references and no lookaround. Without these PostgreSQL matches by a state machine, in time linear in the text:
35 hostile patterns, 17 with a star within a star, took at most 0.02 s for 20,000 characters once they were compiled.
What takes time is compiling repetitions, for they are written out: ([^x]*[^y]*){127} took 4 s, and (a{255}){255} was
refused as too complex (PostgreSQL 18.4). With at most MAX_COPIES characters added by them, the worst took 0.25 s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_REGEX_BYTES = 256
MAX_REPETITIONS = 255  # PostgreSQL's own limit
MAX_COPIES = 128

_PLAIN = r"[^\\^$.\[\](){}*+?|]"
_ESCAPED = r"\\[nrtfv!-/:-@\[-`{-~]"
_IN_BRACKETS = r"[^\\^\[\]-]"
_TOKEN = re.compile(
    rf"""
    (?P<atom> {_PLAIN} | {_ESCAPED} | \\[dDsSwW] | \.
        | \[ \^? (?=[^\]]) (?: -(?!-) )? (?: {_IN_BRACKETS} (?: - {_IN_BRACKETS} )? | {_ESCAPED} | \\[dsw] )* -? \] )
  | (?P<end> [\^$] )
  | (?P<open> \(\?: | \((?!\?) )
  | (?P<close> \) )
  | (?P<bar> \| )
  | (?P<repeat> (?: [*+?] | \{{ (?P<least>[0-9]{{1,3}}) (?P<range> , (?P<most>[0-9]{{1,3}})? )? \}} ) \?? )
    """,
    re.VERBOSE | re.DOTALL,
)
_IN_ORDER = re.compile(rf"\\.|({_IN_BRACKETS})-({_IN_BRACKETS})", re.DOTALL)


def problem_of_like(pattern: str) -> str | None:
    """What is wrong with a pattern of `$like`; PostgreSQL refuses nothing else."""
    backslashes = len(pattern) - len(pattern.rstrip("\\"))
    return "a pattern does not end with a lone backslash; two of them are a plain one." if backslashes % 2 else None


def problem_of_regex(pattern: str) -> str | None:
    """What is wrong with a pattern of `$regex`."""
    if len(pattern.encode()) > MAX_REGEX_BYTES:
        return f"a regular expression has at most {MAX_REGEX_BYTES} bytes."
    try:
        _check(pattern)
    except ValueError as error:
        return str(error)
    return None


@dataclass
class _Group:
    """What stands between two parentheses, as far as it was read. `written_out` counts its characters."""

    written_out: int = 0
    last: int = 0  # the characters of what can be repeated now
    before: str = "open"  # the kind of the token before


def _check(pattern: str) -> None:
    groups, position, copies = [_Group()], 0, 0
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None:
            raise ValueError(_unknown(pattern, position))
        copies += _take(groups, token)
        if copies > MAX_COPIES:
            raise ValueError(f"its repetitions are too long: written out they add more than {MAX_COPIES} characters.")
        position = token.end()
    if len(groups) > 1:
        raise ValueError("a parenthesis is not closed.")
    _check_alternative(groups[0])


def _take(groups: list[_Group], token: re.Match[str]) -> int:
    """Take one token in; the number of characters that it adds to the pattern as it is written out."""
    group, kind, copies = groups[-1], token.lastgroup or "", 0
    match kind:
        case "atom":
            _check_ranges(token[0])
            group.last = 1
            group.written_out += 1
        case "open":
            groups.append(_Group())
            return 0
        case "close":
            _close(groups)
            return 0
        case "bar":
            _check_alternative(group)
        case "repeat":
            if group.before not in ("atom", "close"):
                raise ValueError(f"there is nothing that {token[0]!r} could repeat.")
            copies = group.last * (_times(token) - 1)
            group.written_out += copies
    group.before = kind
    return copies


def _close(groups: list[_Group]) -> None:
    if len(groups) == 1:
        raise ValueError("a parenthesis is closed that was not opened.")
    closed = groups.pop()
    _check_alternative(closed)
    groups[-1].last = closed.written_out
    groups[-1].written_out += closed.written_out
    groups[-1].before = "close"


def _check_alternative(group: _Group) -> None:
    if group.before in ("open", "bar"):
        raise ValueError("an alternative is empty.")


def _check_ranges(atom: str) -> None:
    if atom.startswith("["):
        for least, greatest in _IN_ORDER.findall(atom[1:-1]):
            if least > greatest:
                raise ValueError(f"the range {least}-{greatest} is empty.")


def _times(token: re.Match[str]) -> int:
    """How often the part before is written out: {2,} as two and a starred one."""
    if token["least"] is None:
        return 1
    least = int(token["least"])
    most = int(token["most"]) if token["most"] else least
    if not least <= most <= MAX_REPETITIONS:
        raise ValueError(f"{token[0]!r} repeats nothing: the bounds ascend, up to {MAX_REPETITIONS}.")
    return most + 1 if token["range"] and not token["most"] else max(most, 1)


def _unknown(pattern: str, position: int) -> str:
    sign = pattern[position]
    if sign == "(":
        return "groups are ( ) and (?: ); there is no lookaround, no name and no flag."
    if sign == "\\":
        return f"{pattern[position : position + 2]} has no meaning here; a backslash makes signs plain, not letters."
    if sign == "[":
        return "brackets hold characters and ranges, and are closed; in them [ ] ^ - and \\ need a backslash."
    return f"{sign!r} is written with a backslash where it is meant plainly."
