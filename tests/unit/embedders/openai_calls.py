"""An OpenAI embedder connected to the scripted provider, as the tests of it need it."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from semsearch.config import Settings
from semsearch.embedders import openai_http
from semsearch.embedders.openai import OpenAIEmbedder
from tests.provider import Provider

KEY = "sk-canary-7f3a9b"
NAME = "text-embedding-3-small"


def settings(url: str | None, key: str | None = KEY) -> Settings:
    return Settings(openai_api_key=SecretStr(key) if key else None, openai_base_url=url, home=Path("/nowhere"))


def connect(provider: Provider, waits: list[float] | None = None, name: str = NAME, **options: Any) -> OpenAIEmbedder:
    """An embedder whose probe is over and forgotten."""
    wait = [] if waits is None else waits
    embedder = OpenAIEmbedder(name, settings(provider.url), wait=wait.append, **options)
    provider.reset()
    return embedder


def limit(embedder: OpenAIEmbedder, provider: Provider, seconds: float) -> None:
    """From now on its requests take so long at most; the probe had its time."""
    embedder._client = openai_http.connect(provider.url, KEY, seconds)
    weakref.finalize(embedder, embedder._client.close)
