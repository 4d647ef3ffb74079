"""Finds the headings of Markdown and reStructuredText, and which of them a place in the text lies under."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from semsearch.records import Format

# A line longer than this above an underline is a paragraph that something else follows, not a heading.
LONGEST = 200

# The lines that matter: code fences, ATX headings, setext underlines (https://spec.commonmark.org/0.31.2/#leaf-blocks).
_MARKDOWN = re.compile(
    r"^ {0,3}(?:(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)"
    r"|(?P<hashes>#{1,6})(?=[ \t\r\n]|\Z)(?P<title>[^\n]*)"
    r"|(?P<underline>=+|-+)[ \t]*\r?$)",
    re.MULTILINE,
)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n.*?^(?:---|\.\.\.)[ \t]*\r?$", re.MULTILINE | re.DOTALL)
# Lines that an underline cannot turn into a heading: code, quotes, headings, tables, list items.
_NOT_A_TITLE = re.compile(r"\t| {4}| {0,3}(?:[>#|]|[-*+][ \t]|\d{1,9}[.)][ \t])")
_CLOSING_HASHES = re.compile(r"(?:^|[ \t])#+$")

# https://docutils.sourceforge.io/docs/ref/rst/restructuredtext.html#sections
_ADORNMENT = re.compile(r"^([!-/:-@\[-`{-~])\1*[ \t]*\r?$", re.MULTILINE)

Heading = tuple[int, int, str]  # where its line starts, level (smaller is further out), title


@dataclass(frozen=True, slots=True)
class Outline:
    """The headings of a text; `paths[i]` holds from character `starts[i]` on."""

    starts: tuple[int, ...]
    paths: tuple[tuple[str, ...], ...]

    def path(self, offset: int) -> tuple[str, ...]:
        """The headings above a place, outermost first, with the one that starts exactly there."""
        found = bisect_right(self.starts, offset)
        return self.paths[found - 1] if found else ()


def outline(text: str, format: Format) -> Outline:
    """The headings of a text; a text without markup has none."""
    if format == "markdown":
        return _nest(_markdown(text))
    if format == "rst":
        return _nest(_rst(text))
    return Outline((), ())


def plain(line: str) -> str:
    """A heading's line without its marks, for comparing: `## Passwords ##` and `Passwords` are the same."""
    return " ".join(line.strip().strip("#").split()).casefold()


def _nest(headings: Iterator[Heading]) -> Outline:
    starts: list[int] = []
    paths: list[tuple[str, ...]] = []
    open_headings: list[tuple[int, str]] = []
    for start, level, title in headings:
        while open_headings and open_headings[-1][0] >= level:
            open_headings.pop()
        open_headings.append((level, title))
        starts.append(start)
        paths.append(tuple(title for _, title in open_headings))
    return Outline(tuple(starts), tuple(paths))


def _markdown(text: str) -> Iterator[Heading]:
    front_matter = _FRONT_MATTER.match(text)
    fence = ""
    for mark in _MARKDOWN.finditer(text, front_matter.end() if front_matter else 0):
        if mark["fence"]:
            fence = _fence(fence, mark["fence"], mark["info"])
        elif fence:
            continue
        elif mark["hashes"]:
            title = _CLOSING_HASHES.sub("", mark["title"].strip()).strip()
            if 0 < len(title) <= LONGEST:
                yield mark.start(), len(mark["hashes"]), title
        else:
            start, title = _line_above(text, mark.start())
            if _can_be_underlined(text, start, title):
                yield start, 1 if mark["underline"][0] == "=" else 2, title.strip()


def _fence(opened: str, mark: str, info: str) -> str:
    """The fence that is open after this one: it closes only one of its own kind, at least as long, without words."""
    if not opened:
        return "" if mark[0] == "`" and "`" in info else mark
    closes = mark[0] == opened[0] and len(mark) >= len(opened) and not info.strip()
    return "" if closes else opened


def _line_above(text: str, start: int) -> tuple[int, str]:
    above = text.rfind("\n", 0, max(start - 1, 0)) + 1
    return above, text[above : max(start - 1, 0)].rstrip("\r")


def _can_be_underlined(text: str, start: int, title: str) -> bool:
    if not 0 < len(title.strip()) <= LONGEST or _NOT_A_TITLE.match(title):
        return False
    above = _line_above(text, start)[1].strip()
    return start == 0 or not above or above.startswith("#")


def _rst(text: str) -> Iterator[Heading]:
    styles: list[tuple[str, bool]] = []
    for mark in _ADORNMENT.finditer(text):
        start, title = _line_above(text, mark.start())
        if not _is_rst_title(title, mark[0].rstrip()):
            continue
        above_start, above = _line_above(text, start)
        overlined = start > 0 and above.rstrip() == mark[0].rstrip()
        if not overlined and (title[0].isspace() or (start > 0 and above.strip())):
            continue
        style = mark[1], overlined
        if style not in styles:
            styles.append(style)
        yield above_start if overlined else start, styles.index(style), title.strip()


def _is_rst_title(title: str, adornment: str) -> bool:
    """Docutils takes an underline shorter than the title from four characters on, and `::` is never one."""
    if not 0 < len(title.strip()) <= LONGEST or _ADORNMENT.match(title) or adornment in ("::", ".."):
        return False
    return len(adornment) >= min(len(title.strip()), 4)
