"""Embeddings by OpenAI, or by any server that speaks its protocol."""

from __future__ import annotations

import logging
import random
import time
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from semsearch.config import Settings
from semsearch.embedders import Spent, Splitter, unheeded
from semsearch.embedders.checks import check
from semsearch.errors import InvalidInput, ModelUnavailable, ProviderBusy, SemsearchError
from semsearch.records import Embedding

if TYPE_CHECKING:
    from semsearch.embedders.openai_faults import Caller

TRIES = 3
PROBE = "semsearch"
PROBE_AGE = 3600.0  # seconds for which the answer to it is believed; it costs two tokens
LONGEST_WAIT = 60.0  # seconds; who asks for more is left alone, and the caller is told how long

log = logging.getLogger(__name__)


class OpenAIEmbedder:
    """A model behind an OpenAI-compatible server; `dimensions` shortens text-embedding-3 and later.

    One short text is embedded at once, so that a wrong key, model or length is found before anything is paid for:
    raises ModelUnavailable, ProviderBusy, or InvalidInput for dimensions that the model does not give. `timeout` is
    the seconds of one request; `wait` waits between tries.
    """

    max_tokens = 8191

    def __init__(
        self,
        name: str,
        settings: Settings,
        dimensions: int | None = None,
        *,
        timeout: float = 60.0,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        from semsearch.embedders import openai_http as http
        from semsearch.embedders.openai_faults import Caller

        url, key = http.base_url(settings.openai_base_url), _key(settings)
        self.model = f"openai:{name}"
        self._name, self._wait = name, wait
        self._caller: Caller = Caller(self.model, http.origin(url), key)
        self._client = http.connect(url, key, timeout)
        weakref.finalize(self, self._client.close)
        self._options: dict[str, Any] = {"model": name, "encoding_format": "base64"}
        if dimensions is not None and name.startswith("text-embedding-3"):
            self._options["dimensions"] = dimensions
        self._known = self._first(dimensions)
        self._known_at = time.monotonic()
        self.dimensions = len(self._known)
        self.fingerprint = f"openai {name} {self.dimensions} {self._caller.origin}"

    def splitter(self, capacity: int, overlap: int, *, markdown: bool = False) -> Splitter:
        from semsearch.embedders import openai_tokens as tokens

        return tokens.splitter(self._name, capacity, overlap, markdown=markdown)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        from semsearch.embedders import openai_tokens as tokens

        return [tokens.count(text) for text in texts]

    def estimate_tokens(self, texts: Sequence[str]) -> int:
        from semsearch.embedders import openai_tokens as tokens

        return tokens.OpenAITokenizer(self._name).estimate_tokens(texts)

    def embed_documents(self, texts: Sequence[str], *, spent: Spent = unheeded) -> Embedding:
        """As the face says; a text longer than the model reads is cut.

        Raises InvalidInput when the server does not take one of the texts (it does not say which), ProviderBusy when
        it still fails after three tries, UnusableEmbedding, ModelUnavailable. Nothing is returned then.
        """
        from semsearch.embedders import openai_tokens as tokens

        found = [self._embed(batch, spent) for batch in tokens.batches(self._name, texts)]
        return np.concatenate([np.empty((0, self.dimensions), np.float32), *found])

    def embed_query(self, text: str) -> Embedding:
        embedding: Embedding = self.embed_queries([text])[0]
        return embedding

    def embed_queries(self, texts: Sequence[str]) -> Embedding:
        return self.embed_documents(texts)

    def probe(self, *, fresh: bool = False) -> Embedding:
        if fresh or time.monotonic() - self._known_at >= PROBE_AGE:
            self._known, self._known_at = self._embed([PROBE])[0], time.monotonic()
        return self._known

    def _first(self, dimensions: int | None) -> Embedding:
        found = self._ask([PROBE])
        length = int(found.shape[1])
        if dimensions not in (None, length):
            raise InvalidInput(f"{self.model} gives {length} dimensions, not {dimensions}: leave dimensions out.")
        known: Embedding = check(found, 1, length)[0]
        return known

    def _embed(self, texts: list[str], spent: Spent = unheeded) -> Embedding:
        """One request, or two halves of it where the server finds it too large."""
        from semsearch.embedders.openai_faults import TooLarge

        try:
            return check(self._ask(texts, spent), len(texts), self.dimensions)
        except TooLarge as error:
            if len(texts) == 1:
                raise InvalidInput(str(error)) from None
        half = len(texts) // 2
        return np.concatenate([self._embed(texts[:half], spent), self._embed(texts[half:], spent)])

    def _ask(self, texts: list[str], spent: Spent = unheeded) -> Embedding:
        """One request, tried again while the server is only busy."""
        attempt = 1
        while True:
            try:
                return self._request(texts, spent)
            except ProviderBusy as busy:
                if attempt == TRIES or (busy.retry_after or 0) > LONGEST_WAIT:
                    raise
                # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
                seconds = (busy.retry_after or 0) + random.uniform(0, 2 ** (attempt - 1))  # noqa: S311
                log.info("%s Try %d of %d; the next one in %.1f s.", busy, attempt, TRIES, seconds)
            self._wait(min(seconds, LONGEST_WAIT))
            attempt += 1

    def _request(self, texts: list[str], spent: Spent) -> Embedding:
        import openai

        from semsearch.embedders.openai_answers import read
        from semsearch.embedders.openai_faults import judge

        failure: SemsearchError
        try:
            answer = self._client.embeddings.with_raw_response.create(input=texts, **self._options)
            found = read(answer.http_response.content, answer.headers.get("content-type", ""), len(texts))
            spent(sum(self.count_tokens(texts)) if found.tokens is None else found.tokens)
            return found.embeddings
        except openai.APIStatusError as error:
            failure = judge(error.status_code, error.body, error.response.headers, self._caller)
        except openai.APITimeoutError:
            failure = ProviderBusy(f"{self._caller.origin} does not answer in time.")
        except openai.APIConnectionError as error:
            why = type(error.__cause__).__name__
            failure = ProviderBusy(f"{self._caller.origin} cannot be reached, or breaks off its answer ({why}).")
        # Raised here, where the client's own error is gone: it holds the request, and that the key.
        raise failure


def _key(settings: Settings) -> str:
    key = settings.openai_api_key.get_secret_value().strip() if settings.openai_api_key else ""
    if not key:
        raise ModelUnavailable("no key for openai: models: set the environment variable OPENAI_API_KEY.")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ModelUnavailable("OPENAI_API_KEY has characters that no key has: copy it again.")
    return key
