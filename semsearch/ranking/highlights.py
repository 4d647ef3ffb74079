"""The sentence of a chunk that answers the query best, as offsets into the chunk's text."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from semsearch.ranking.directions import directions
from semsearch.ranking.sentences import Span, sentences
from semsearch.records import Embedding

MOST = 32  # sentences of one text that are compared
# And of all texts. MiniLM took 8 s for 900 sentences of 12 words on 2 cores that ten other processes wanted too.
MOST_TOGETHER = 512
STEM = 4  # letters that two words share at least, if one is the beginning of the other: "reset", "resetting"

# Scripts without spaces between words: each letter is a word.
_WORD = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|[^\W\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]+")


def best(query: Embedding, texts: Sequence[str], embed: Callable[[Sequence[str]], Embedding]) -> list[Span]:
    """For each text the sentence whose cosine to the query's embedding is largest, among its first 32.

    `embed` is called once, as for documents; a text of a single sentence needs no call. Beyond 512 sentences in all,
    the texts that come last keep their first sentence.
    """
    spans = _limited([_sentences(text) for text in texts])
    asked = [text[start:end] for text, some in zip(texts, spans, strict=True) for start, end in some if len(some) > 1]
    unique = list(dict.fromkeys(asked))
    if not unique:
        return [some[0] for some in spans]
    cosines = directions(embed(unique)) @ np.asarray(query, dtype=np.float32)
    near = dict(zip(unique, cosines.tolist(), strict=True))
    return [
        max(some, key=lambda span, text=text: near[text[slice(*span)]]) if len(some) > 1 else some[0]  # type: ignore[misc]
        for text, some in zip(texts, spans, strict=True)
    ]


def best_by_words(query: str, texts: Sequence[str]) -> list[Span]:
    """The same without a model: the sentence that shares most words with the query, rare ones counting more.

    The rarity is that among the sentences of these texts; without a shared word it is the first sentence.
    """
    spans = [_sentences(text)[:MOST] for text in texts]
    wanted = _words(query)
    shared = [
        [_shared(wanted, text[start:end]) for start, end in some] for text, some in zip(texts, spans, strict=True)
    ]
    found = Counter(word for text in shared for words in text for word in words)
    count = sum(map(len, spans))
    worth = {word: math.log(1 + count / times) for word, times in found.items()}
    return [
        max(zip(some, words, strict=True), key=lambda pair: sum(worth[word] for word in pair[1]))[0]
        for some, words in zip(spans, shared, strict=True)
    ]


def _sentences(text: str) -> list[Span]:
    return sentences(text) or [(0, len(text))]


def _limited(spans: Sequence[list[Span]]) -> list[list[Span]]:
    left, limited = MOST_TOGETHER, []
    for some in spans:
        some = some[:MOST] if min(len(some), MOST) <= left else some[:1]
        left -= len(some) if len(some) > 1 else 0
        limited.append(some)
    return limited


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(_WORD.findall(text.casefold())))


def _shared(wanted: Sequence[str], sentence: str) -> list[str]:
    words = _words(sentence)
    known = set(words)
    return [word for word in wanted if word in known or any(_alike(word, other) for other in words)]


def _alike(one: str, other: str) -> bool:
    return min(len(one), len(other)) >= STEM and (one.startswith(other) or other.startswith(one))
