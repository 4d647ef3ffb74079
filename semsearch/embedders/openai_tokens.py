"""Counts tokens as OpenAI does, without its network, and packs texts into requests within its limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from semsearch.embedders import Splitter
from semsearch.errors import InvalidInput

# https://platform.openai.com/docs/api-reference/embeddings/create: 2,048 inputs, 8,192 tokens each (older models 8,191)
# and 300,000 together; a tenth of that is kept free, because other servers' models count otherwise.
MAX_INPUTS = 2048
MAX_INPUT_TOKENS = 8191
MAX_REQUEST_TOKENS = 270_000


def splitter(name: str, capacity: int, overlap: int, *, markdown: bool = False) -> Splitter:
    kind = MarkdownSplitter if markdown else TextSplitter
    return kind.from_tiktoken_model(_tokenizer(name), capacity, overlap)


def count(text: str) -> int:
    """At least as many tokens as the text has. Raises InvalidInput where it is no Unicode.

    The tokenizer is byte-level BPE: there are never more tokens than bytes, and in ASCII text never more than half as
    many. Counting exactly takes the splitter 2 ms a text.
    """
    try:
        return len(text.encode()) - len(text.encode("ascii", "ignore")) // 2
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"the text has half a character (a lone surrogate) at {error.start} and is no Unicode."
        ) from None


def fits(name: str, text: str, tokens: int) -> bool:
    """Whether the text has no more than so many tokens, exactly."""
    if tokens < 1:
        return not text
    return len(TextSplitter.from_tiktoken_model(_tokenizer(name), tokens, 0, trim=False).chunks(text)) <= 1


def cut(name: str, text: str) -> str:
    """The start of a text that one input may have: at least seven eighths of what fits, all of it where it fits."""
    if count(text) <= MAX_INPUT_TOKENS // 2:
        return text
    text = text[: 8 * MAX_INPUT_TOKENS]  # English has 4 to 5 characters a token
    while not fits(name, text, MAX_INPUT_TOKENS):
        text = text[: len(text) * 7 // 8]
    return text


def batches(name: str, texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, cut to what is read of them, as many at once as one request may have."""
    batch: list[str] = []
    total = 0
    for text in texts:
        text = cut(name, text)
        tokens = min(count(text), MAX_INPUT_TOKENS)
        if batch and (len(batch) == MAX_INPUTS or total + tokens > MAX_REQUEST_TOKENS):
            yield batch
            batch, total = [], 0
        batch.append(text)
        total += tokens
    if batch:
        yield batch


@cache
def _tokenizer(name: str) -> str:
    """The name itself where its tokenizer is known, else that of OpenAI's models of today as an approximation."""
    try:
        TextSplitter.from_tiktoken_model(name, 1)
    except Exception:  # what the library raises, 0.33
        return "text-embedding-3-small"
    return name
