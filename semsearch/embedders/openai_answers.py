"""Reads the answer of an OpenAI-compatible server: embeddings, each at the place its index says."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, NamedTuple

import numpy as np

from semsearch.errors import ProviderBusy, UnusableEmbedding
from semsearch.records import Embedding


class Answer(NamedTuple):
    """Embeddings in the order of the texts, and the tokens to be paid for, where the server says so."""

    embeddings: Embedding
    tokens: int | None


def read(body: bytes, content_type: str, count: int) -> Answer:
    """`count` embeddings; whether their numbers can be used is not looked at.

    Raises ProviderBusy when it is no answer at all (HTML, half of the JSON, an error that came as a success), and
    UnusableEmbedding when it is not one embedding of equal length for each text.
    """
    vectors: dict[int, Embedding] = {}
    items, tokens = _items(body, content_type)
    for item in items:
        index = item.get("index") if isinstance(item, dict) else None
        if type(index) is not int or not 0 <= index < count or index in vectors:
            raise UnusableEmbedding(
                f"the provider answered {count} texts with an index that is missing, wrong or double."
            )
        vectors[index] = _vector(item.get("embedding"))
    if len(vectors) != count:
        raise UnusableEmbedding(f"the provider answered {count} texts with {len(vectors)} embeddings.")
    if len({len(vector) for vector in vectors.values()}) != 1:
        raise UnusableEmbedding("the provider answered with embeddings of different dimensions.")
    return Answer(np.stack([vectors[index] for index in range(count)]), tokens)


def _items(body: bytes, content_type: str) -> tuple[list[Any], int | None]:
    try:
        answer = json.loads(body) if "json" in content_type else None
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or not isinstance(items := answer.get("data"), list):
        raise ProviderBusy("the provider's answer cannot be read: it is not the JSON of embeddings.")
    usage = answer.get("usage")
    tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
    return items, tokens if type(tokens) is int and tokens >= 0 else None


def _vector(value: object) -> Embedding:
    if isinstance(value, str):
        return _unpack(value)
    # bool is an int to Python, and numpy would read "1.5" as a number: neither is one.
    if not isinstance(value, list) or not value or any(type(number) not in (int, float) for number in value):
        raise UnusableEmbedding("the provider answered with something that is not a list of numbers.")
    try:
        with np.errstate(over="ignore"):  # becomes infinity, which is refused with all that is not finite
            return np.array(value, dtype=np.float64).astype(np.float32)
    except OverflowError:
        raise UnusableEmbedding("the provider answered with a number that is too large.") from None


def _unpack(text: str) -> Embedding:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UnusableEmbedding("the provider answered with broken base64.") from None
    if not content or len(content) % 4:
        raise UnusableEmbedding(f"the provider answered with {len(content)} bytes, which are not 32-bit numbers.")
    return np.frombuffer(content, dtype="<f4").astype(np.float32)
