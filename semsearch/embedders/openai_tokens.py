"""Counts tokens as OpenAI does, without its network, and packs texts into requests within its limits."""

from __future__ import annotations

import bisect
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


SAMPLE = 128  # texts that are counted exactly, 20 ms each, for an estimate
SAMPLED_AT_ONCE = 16


class OpenAITokenizer:
    """How a model of OpenAI's cuts and counts; estimates get better with the number of texts seen."""

    max_tokens = MAX_INPUT_TOKENS

    def __init__(self, name: str) -> None:
        self.model = f"openai:{name}"
        self._name = name
        self._sampled = self._exact = self._upper = 0

    def splitter(self, capacity: int, overlap: int, *, markdown: bool = False) -> Splitter:
        return splitter(self._name, capacity, overlap, markdown=markdown)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [count(text) for text in texts]

    def estimate_tokens(self, texts: Sequence[str]) -> int:
        upper = sum(min(tokens, MAX_INPUT_TOKENS) for tokens in self.count_tokens(texts))
        wanted = min(SAMPLED_AT_ONCE, SAMPLE - self._sampled)
        for text in texts[:: -(-len(texts) // wanted)] if texts and wanted > 0 else ():
            text = cut(self._name, text)
            self._exact += exact(self._name, text)
            self._upper += min(count(text), MAX_INPUT_TOKENS)
            self._sampled += 1
        return round(upper * self._exact / self._upper) if self._upper else upper


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


def exact(name: str, text: str) -> int:
    """The tokens of a text, found by halving."""
    return bisect.bisect_left(range(count(text)), True, key=lambda tokens: fits(name, text, tokens))


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
