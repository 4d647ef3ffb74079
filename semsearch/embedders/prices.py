"""What providers charge for embeddings: their list prices, kept as data in prices.json."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from semsearch.embedders import is_local


def price(model: str, tokens: int) -> float | None:
    """US dollars for so many tokens by the provider's list price; None where that is not known, 0 on this machine."""
    if is_local(model):
        return 0.0
    each = table()["dollars_per_million_tokens"].get(model)
    return None if each is None else each * tokens / 1_000_000


@cache
def table() -> dict[str, Any]:
    """prices.json: the prices by the model's full name, where they were published, and when they were looked up."""
    found: dict[str, Any] = json.loads((Path(__file__).parent / "prices.json").read_text(encoding="utf-8"))
    return found
