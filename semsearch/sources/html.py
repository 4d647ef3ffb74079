"""HTML as Markdown: its readable text with its headings, lists and preformatted blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from semsearch.sources.encoding import decode_html
from semsearch.sources.source import Parsed

_DROPPED = frozenset({"head", "script", "style", "noscript", "template", "svg", "iframe", "object", "canvas", "select"})
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_PREFIXES = {**_HEADINGS, "li": "- "}
_BLOCKS = {*_PREFIXES, "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div"}
_BLOCKS |= {"dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "html", "legend", "main"}
_BLOCKS |= {"nav", "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul"}
_CELLS = frozenset({"td", "th"})
_ITEMS = frozenset({"li", "tr", "dt", "dd"})
"""Blocks that follow one another without a blank line."""


def parse(data: bytes, encoding: str | None = None) -> Parsed:
    """The document's text as Markdown, and its <title>. Scripts, styles and templates are left out."""
    tree = LexborHTMLParser(decode_html(data, encoding))
    title = tree.css_first("head > title")
    writer = _Writer()
    if tree.root is not None:
        for node, entering in _walk(tree.root):
            writer.enter(node) if entering else writer.leave(node)
    return Parsed(writer.markdown(), _one_line(title.text()) or None if title is not None else None, "markdown")


def _walk(root: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    """Each node when it begins (True) and ends (False). By hand: pages nest deeper than Python may recurse."""
    node: LexborNode | None = root
    path: list[LexborNode] = []
    while node is not None:
        yield node, True
        child = node.child if node.tag not in _DROPPED else None
        if child is not None:
            path.append(node)
            node = child
            continue
        yield node, False
        while node.next is None and path:
            node = path.pop()
            yield node, False
        node = node.next if path else None


class _Writer:
    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._inline: list[str] = []
        self._prefix = ""
        self._preformatted = 0
        self._item = False
        self._last_was_item = False

    def enter(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if node.is_text_node:
            self._inline.append(node.text_content or "")
        elif tag == "br":
            self._inline.append("\n" if self._preformatted else _BREAK)
        elif tag in _CELLS:
            self._inline.append(_CELL)
        elif tag in _BLOCKS:
            self._end_block()
            self._prefix = _PREFIXES.get(tag, self._prefix)
            self._preformatted += tag == "pre"
            self._item = self._item or tag in _ITEMS

    def leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag in _BLOCKS:
            self._end_block()
            self._preformatted -= tag == "pre"
            self._prefix = ""
            self._item = False

    def markdown(self) -> str:
        self._end_block()
        return "".join(self._pieces)

    def _end_block(self) -> None:
        """Writes what was gathered as one block, a blank line below the last; items follow items without one."""
        text = "".join(self._inline)
        self._inline.clear()
        block = _fenced(text) if self._preformatted else _flowed(text, in_heading=self._prefix.startswith("#"))
        if text.strip() and block:
            if self._pieces:
                self._pieces.append("\n" if self._item and self._last_was_item else "\n\n")
            self._pieces.append(self._prefix + block)
            self._last_was_item = self._item
            self._prefix = ""
            self._item = False


_BREAK = "\x00br\x00"
_CELL = "\x00td\x00"


def _flowed(text: str, *, in_heading: bool) -> str:
    cells = [_one_line(cell) for cell in text.split(_CELL)]
    row = " | ".join(cell for cell in cells if cell)
    lines = [line.strip() for line in row.split(_BREAK)]
    return (" " if in_heading else "\n").join(line for line in lines if line)


def _fenced(text: str) -> str:
    """Within a fence longer than any in the text, so that the text cannot end it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{text.strip(chr(10)).rstrip()}\n{fence}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
