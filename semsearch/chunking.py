"""Document -> chunks: pieces of its text that the model can read whole, with exact offsets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from semsearch.embedders import Splitter, Tokenizer
from semsearch.errors import InvalidInput
from semsearch.fields import describe
from semsearch.headings import outline, plain
from semsearch.records import MAX_TITLE, Chunk, Document, Format

# Tokens kept free for what the model adds by itself: special tokens (2 for BERT) and a document prompt ("passage: " is
# 3, "search_document: " 4, "title: none | text: " 7), and for the joint of heading and text.
RESERVED = 16
# Tokens kept free for the heading: "PEP 257 > Specification > One-line Docstrings" is 12 in BERT's WordPiece.
HEADING = 32
# https://learn.microsoft.com/azure/search/vector-search-how-to-chunk-documents starts from chunks of about 200 words
# with 10 to 15 % of overlap; 512 tokens are about 380 words, and all that most local models can read.
LARGEST = 512

# semantic-text-splitter 0.33 takes time with the square of a text without sentences: 64,000 characters of Chinese take
# 2.8 s, 8,000 take 0.1 s; so it sees a long text through a window of this many characters, or 8 to a token.
WINDOW = 8192
# With the square of the length of a run of newlines, too: 16,000 of them take 7 s. Nobody misses a chunk across one.
_GAP = re.compile(r"\n\s{64,}")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Chunking:
    """How documents are cut, in the model's tokens. Size 0: each is one chunk, of which the model reads the start."""

    size: int
    overlap: int


def default(embedder: Tokenizer) -> Chunking:
    """What a model reads besides a heading, at most 512 tokens; an eighth of it is shared with the chunk before."""
    readable = _readable(embedder)
    size = min(LARGEST, readable - min(HEADING, readable // 8))
    return Chunking(size, size // 8)


def settle(embedder: Tokenizer, size: int | None, overlap: int | None) -> Chunking:
    """What was asked for, and the usual where nothing was. Raises InvalidInput."""
    for name, value in (("chunk_size", size), ("chunk_overlap", overlap)):
        if value is not None and type(value) is not int:
            raise InvalidInput(f"{name} is a whole number; got {describe(value)}.")
    size = default(embedder).size if size is None else size
    settled = Chunking(size, size // 8 if overlap is None else overlap)
    check(settled, embedder)
    return settled


def check(chunking: Chunking, embedder: Tokenizer) -> None:
    """Raise InvalidInput for sizes that make no sense, or that are more than the model reads."""
    size, overlap, largest = chunking.size, chunking.overlap, _readable(embedder)
    if size < 0 or overlap < 0:
        raise InvalidInput(f"chunk size {size} and overlap {overlap} must not be negative.")
    if overlap and overlap >= size:
        raise InvalidInput(f"chunk overlap {overlap} must be smaller than the chunk size {size}.")
    if size > largest:
        raise InvalidInput(
            f"chunk size {size} is too much for {embedder.model}, which reads {embedder.max_tokens} tokens: "
            f"use {largest} at most."
        )


def chunk(text: str, *, title: str | None, format: Format, embedder: Tokenizer, chunking: Chunking) -> list[Chunk]:
    """The chunks of one text; none when there is nothing but whitespace."""
    return chunk_many([Document(id="", text=text, title=title, format=format)], embedder, chunking)[0]


def chunk_many(documents: Sequence[Document], embedder: Tokenizer, chunking: Chunking) -> list[list[Chunk]]:
    """The chunks of each document, in the order of the documents; tokens are counted for all of them at once.

    Every character that is not whitespace is in at least one chunk. A chunk has at most `size` tokens, and with its
    heading never more than the model reads: for that the heading is shortened, never the text. A heading that the
    chunk begins with anyway is not repeated in its `input`. Raises InvalidInput.
    """
    check(chunking, embedder)
    pieces = list(_pieces(documents, embedder, chunking))
    chunks: list[list[Chunk]] = [[] for _ in documents]
    for piece, input in zip(pieces, _inputs(pieces, embedder, chunking.size), strict=True):
        found = chunks[piece.document]
        found.append(Chunk(len(found), piece.start, piece.end, piece.text, " > ".join(piece.path), input))
    return chunks


@dataclass(frozen=True, slots=True)
class _Piece:
    document: int
    start: int
    end: int
    text: str
    path: tuple[str, ...]

    def input(self, heading: str) -> str:
        return f"{heading}\n{self.text}" if heading else self.text


def _readable(embedder: Tokenizer) -> int:
    return max(embedder.max_tokens - RESERVED, 1)


def _pieces(documents: Sequence[Document], embedder: Tokenizer, chunking: Chunking) -> Iterator[_Piece]:
    outlines = [outline(document.text, document.format) for document in documents]

    def piece(index: int, start: int, end: int) -> _Piece:
        document = documents[index]
        path = _path(document.title, outlines[index].path(start))
        return _Piece(index, start, end, document.text[start:end], path)

    wholes = [piece(index, *_whole(document.text)) for index, document in enumerate(documents)]
    for whole, fits in zip(wholes, _fit(wholes, embedder, chunking.size), strict=True):
        if fits:
            yield from (whole,) if whole.text else ()
        else:
            spans = _split(documents[whole.document], embedder, chunking)
            yield from (piece(whole.document, start, end) for start, end in spans)


def _whole(text: str) -> Span:
    end = len(text.rstrip())
    return min(len(text) - len(text.lstrip()), end), end


def _fit(wholes: Sequence[_Piece], embedder: Tokenizer, size: int) -> list[bool]:
    """Whether each text is one chunk. Counted with its heading first: so it will be embedded, with the same tokens."""
    fit = [not size or not whole.text for whole in wholes]
    headings = [" > ".join(_unrepeated(whole)) for whole in wholes]

    def count(inputs: dict[int, str]) -> None:
        counts = embedder.count_tokens(list(inputs.values())) if inputs else ()
        for at, tokens in zip(inputs, counts, strict=True):
            fit[at] = tokens <= size

    short = [at for at, whole in enumerate(wholes) if not fit[at] and len(whole.text) <= _window(size)]
    count({at: wholes[at].input(headings[at]) for at in short})
    count({at: wholes[at].text for at in short if headings[at] and not fit[at]})
    return fit


def _window(size: int) -> int:
    return max(WINDOW, 8 * size)


def _split(document: Document, embedder: Tokenizer, chunking: Chunking) -> Iterator[Span]:
    text = document.text
    splitter = embedder.splitter(chunking.size, chunking.overlap, markdown=document.format == "markdown")
    for stretch in _stretches(text):
        yield from _slide(text, stretch, splitter, _window(chunking.size))


def _stretches(text: str) -> Iterator[Span]:
    """The text between very long runs of newlines."""
    start = 0
    for gap in _GAP.finditer(text):
        yield start, gap.start()
        start = gap.end()
    yield start, len(text)


def _slide(text: str, stretch: Span, splitter: Splitter, window: int) -> Iterator[Span]:
    """Split a stretch through a window; its edge cuts the last piece in sight short, so the next one starts there."""
    start, end = stretch
    while start < end:
        edge = min(start + window, end)
        spans = [(start + at, start + at + len(piece)) for at, piece in splitter.chunk_indices(text[start:edge])]
        if edge < end and len(spans) > 1:
            edge = spans.pop()[0]
        # Control characters such as U+001F are whitespace to Python only, and no chunk of their own.
        yield from (span for span in spans if not text[span[0] : span[1]].isspace())
        start = edge


def _path(title: str | None, headings: tuple[str, ...]) -> tuple[str, ...]:
    title = " ".join((title or "")[:MAX_TITLE].split())  # whoever writes to the table of documents is not held to it
    if not title:
        return headings
    return (title, *(headings[1:] if headings and plain(headings[0]) == plain(title) else headings))


def _inputs(pieces: Sequence[_Piece], embedder: Tokenizer, size: int) -> list[str]:
    """What the model reads: heading and text, the heading shortened where both are too much."""
    above = [_unrepeated(piece) for piece in pieces]
    inputs = [piece.input(" > ".join(path)) for piece, path in zip(pieces, above, strict=True)]
    readable = _readable(embedder)
    least_room = readable - size if size else readable // 2
    doubtful = [i for i, path in enumerate(above) if path and not _surely_fits(path, least_room)]
    for i, tokens in zip(doubtful, embedder.count_tokens([inputs[i] for i in doubtful]), strict=True):
        if tokens > readable:
            room = readable - embedder.count_tokens([pieces[i].text])[0] if size else least_room
            inputs[i] = pieces[i].input(_shortened(above[i], room, embedder))
    return inputs


def _unrepeated(piece: _Piece) -> tuple[str, ...]:
    """The path without what the text begins with: two lines, for reStructuredText may draw one above a title."""
    lines = [plain(line) for line in piece.text[:1000].split("\n", 2)[:2]]
    return tuple(part for part in piece.path if plain(part) not in lines)


def _surely_fits(path: tuple[str, ...], room: int) -> bool:
    """Without counting: a token is at least one ASCII character."""
    heading = " > ".join(path)
    return heading.isascii() and len(heading) < room


def _shortened(path: tuple[str, ...], room: int, embedder: Tokenizer) -> str:
    """Outermost and innermost heading, or as much of the outermost as there is room for."""
    for heading in (" > ".join(path), " > ".join((path[0], path[-1])), path[0]):
        if embedder.count_tokens([heading])[0] <= room:
            return heading
    pieces = embedder.splitter(room, 0).chunk_indices(path[0]) if room > 0 else []
    start = pieces[0][1] if pieces else ""
    return start if start and embedder.count_tokens([start])[0] <= room else ""
