"""What is true: texts that prove their own wholeness, and embeddings that both Python and SQL can compute.

`text(...)` ends in a check over all that precedes it, so one look at a stored document tells whether its chunks are all
there, in order, and of one version. `vector(text)` is made of the first bytes of sha256(text), so one look at a chunk
tells whether its embedding is that of its text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from semsearch.embedders import Spent, Splitter, unheeded
from semsearch.errors import InvalidInput
from semsearch.records import Embedding

MODEL = "openai:test-model"
DIMENSIONS = 8
CHUNK_SIZE = 32  # tokens: two or three sentences
POISON = "POISON"
CHECK = 8  # characters of the check at the end of a text


def vector(text: str) -> Embedding:
    """Bytes of the hash, each plus one: never zero, and exact in every vector type."""
    found: Embedding = np.frombuffer(hashlib.sha256(text.encode()).digest()[:DIMENSIONS], np.uint8).astype(np.float32)
    return found + 1


# The same in SQL, for the alias `c` of a table of chunks.
EMBEDDING = "ARRAY[{}]::real[]".format(
    ", ".join(f"get_byte(sha256(convert_to(c.text, 'UTF8')), {at}) + 1" for at in range(DIMENSIONS))
)


def text(key: str, version: str, sentences: int = 0, poison: bool = False) -> str:
    """A text of 1 + `sentences` sentences, of which only the first and the last differ between versions of a key."""
    lines = [f"{POISON} {version} of {key}." if poison else f"Version {version} of {key}."]
    lines += [f"Sentence {at} of {key} stands here since the beginning." for at in range(sentences)]
    whole = " ".join(lines)
    return f"{whole} {check(whole)}"


def check(text: str) -> str:
    return hashlib.md5("".join(text.split()).encode(), usedforsecurity=False).hexdigest()[:CHECK]


class Fake:
    """An embedder that knows the truth and refuses poison, in this process."""

    model = MODEL
    dimensions = DIMENSIONS
    max_tokens = 8191
    fingerprint = "fake 8"

    def splitter(self, capacity: int, overlap: int, *, markdown: bool = False) -> Splitter:
        return _Splitter(capacity)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def estimate_tokens(self, texts: Sequence[str]) -> int:
        return sum(self.count_tokens(texts))

    def embed_documents(self, texts: Sequence[str], *, spent: Spent = unheeded) -> Embedding:
        if any(POISON in text for text in texts):
            raise InvalidInput("poison")
        return np.array([vector(text) for text in texts], np.float32).reshape(-1, DIMENSIONS)

    def embed_query(self, text: str) -> Embedding:
        return vector(text)

    def probe(self, *, fresh: bool = False) -> Embedding | None:
        return None


class _Splitter:
    """So many words to a chunk: the tokenizers of real models take most of the time of a short test."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity

    def chunk_indices(self, text: str) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        start, words = 0, 0
        for at, character in enumerate(text + " "):
            if character == " ":
                words += 1
                if words == self._capacity or at == len(text):
                    found.append((start, text[start:at]))
                    start, words = at + 1, 0
        return [piece for piece in found if piece[1]]
