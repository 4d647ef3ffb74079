"""Embeddings by a model that runs on this machine: any text model of sentence-transformers with safe weights."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from functools import cache

import numpy as np
from tokenizers import Tokenizer

from semsearch.config import Settings
from semsearch.embedders import Spent, Splitter, bert_loading, library, local_model, model_safety, unheeded
from semsearch.embedders.checks import check
from semsearch.embedders.layout import Layout, fingerprint, read_layout
from semsearch.embedders.packing import Batch, Loaded, halving, pack
from semsearch.embedders.workers import workers
from semsearch.errors import InvalidInput, ModelUnavailable
from semsearch.records import Embedding

PROVIDER = "sentence-transformers"
# Texts whose tokens are kept from counting to embedding: at most 8 MB at 200 tokens each, of 36 bytes a token.
REMEMBERED = 1024
_loading = threading.Lock()


class SentenceTransformersEmbedder:
    """A local model. `dimensions` shortens its embeddings, which makes sense for models trained for it (Matryoshka).

    The model is loaded once in a process, whatever the dimensions. Raises InvalidInput, ModelUnavailable.
    """

    def __init__(self, name: str, settings: Settings, dimensions: int | None = None) -> None:
        self.model = f"{PROVIDER}:{name}"
        with _loading:
            self._layout, self._loaded = _load(name, settings.device)
        self.max_tokens = self._loaded.max_tokens
        self.dimensions = self._dimensions(dimensions)
        self.fingerprint = fingerprint(self._layout, self.dimensions)
        self._cut = self._loaded.tokenizer
        self._whole = Tokenizer.from_str(self._cut.to_str())
        self._whole.no_truncation()
        self._special = self._whole.num_special_tokens_to_add(is_pair=False)
        self._counted: dict[str, list[int]] = {}
        self._splitters: dict[tuple[int, int, bool], Splitter] = {}
        self._turn = threading.Lock()

    def splitter(self, capacity: int, overlap: int, *, markdown: bool = False) -> Splitter:
        """As the face says; chunks are trimmed of white space. Raises InvalidInput."""
        from semantic_text_splitter import MarkdownSplitter, TextSplitter

        kind = MarkdownSplitter if markdown else TextSplitter
        key = (capacity, overlap, markdown)
        try:
            if key not in self._splitters:  # making one copies the tokenizer: 17 ms
                self._splitters[key] = kind.from_huggingface_tokenizer(self._whole, capacity, overlap)
            return self._splitters[key]
        except (ValueError, TypeError) as error:
            raise InvalidInput(
                f"chunks of {capacity} tokens cannot overlap by {overlap}: take fewer, and neither negative."
            ) from error

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        texts = sound_texts(texts)
        known = {text: len(tokens) for text in texts if (tokens := self._counted.get(text))}
        fresh = [text for text in texts if text not in known]
        ids = [encoding.ids for encoding in self._whole.encode_batch_fast(fresh)]
        self._remember(fresh, ids)
        known.update(zip(fresh, map(len, ids), strict=True))
        return [known[text] - self._special for text in texts]

    def _remember(self, texts: Sequence[str], ids: Sequence[list[int]]) -> None:
        if len(self._counted) + len(texts) > REMEMBERED:
            self._counted.clear()
        readable = ((text, tokens) for text, tokens in zip(texts, ids, strict=True) if len(tokens) <= self.max_tokens)
        self._counted.update(itertools.islice(readable, REMEMBERED))

    def estimate_tokens(self, texts: Sequence[str]) -> int:
        return sum(min(tokens, self.max_tokens) for tokens in self.count_tokens(texts))

    def embed_documents(self, texts: Sequence[str], *, spent: Spent = unheeded) -> Embedding:
        """As the face says; a text longer than the model reads is cut. Raises UnusableEmbedding, ModelUnavailable."""
        return self._embed(self._layout.document_prompt, texts, spent)

    def embed_query(self, text: str) -> Embedding:
        embedding: Embedding = self.embed_queries([text])[0]
        return embedding

    def embed_queries(self, texts: Sequence[str]) -> Embedding:
        return self._embed(self._layout.query_prompt, texts)

    def probe(self, *, fresh: bool = False) -> None:
        """Nothing: the weights are part of the fingerprint."""

    def _embed(self, prompt: str, texts: Sequence[str], spent: Spent = unheeded) -> Embedding:
        texts = sound_texts(texts)
        ids = self._tokens([prompt + text for text in texts])
        places = pack([len(text) for text in ids], self._budget(sum(map(len, ids))))
        batches = [Batch(prompt, [texts[at] for at in batch], [ids[at] for at in batch]) for batch in places]
        embeddings = np.empty((len(texts), self._loaded.dimensions), np.float32)
        for batch, made in zip(places, self._forward(batches), strict=True):
            embeddings[batch] = made
        spent(sum(map(len, ids)))
        return check(self._finished(embeddings), len(texts), self.dimensions)

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens as the model reads them; those of texts just counted are known."""
        known = {text: tokens for text in texts if (tokens := self._counted.get(text))}
        fresh = [text for text in texts if text not in known]
        known.update(zip(fresh, (encoding.ids for encoding in self._cut.encode_batch_fast(fresh)), strict=True))
        return [known[text] for text in texts]

    def _budget(self, tokens: int) -> int:
        """Small enough that every worker has something to do."""
        return min(self._loaded.budget, -(-tokens // workers().count)) if self._loaded.parallel else self._loaded.budget

    def _forward(self, batches: Sequence[Batch]) -> list[Embedding]:
        def forward(batch: Batch) -> Embedding:
            return halving(self._loaded.forward, batch)

        try:
            if self._loaded.parallel:
                return workers().map(forward, batches)
            with self._turn:
                return list(map(forward, batches))
        except RuntimeError as error:
            raise ModelUnavailable(f"{self.model} failed: {error}") from error

    def _finished(self, embeddings: Embedding) -> Embedding:
        embeddings = embeddings[:, : self.dimensions]
        if self._layout.normalizes:
            embeddings = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
        return embeddings

    def _dimensions(self, asked: int | None) -> int:
        own = self._loaded.dimensions
        if asked is not None and not 1 <= asked <= own:
            raise InvalidInput(f"{self.model} gives embeddings of {own} dimensions: {asked} cannot be had from it.")
        return asked or min(self._layout.truncate or own, own)


@cache
def _load(name: str, device: str) -> tuple[Layout, Loaded]:
    folder = local_model.find(name)
    model_safety.verify(folder)
    layout = read_layout(folder)
    device = chosen_device(device)
    try:
        loaded = bert_loading.load(layout) if device == "cpu" else None
        return layout, loaded or library.load(layout, device)
    except Exception as error:  # whatever the files of a model make four libraries raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ModelUnavailable(f"{PROVIDER}:{name} in {folder} cannot be loaded: {reason}") from error


def chosen_device(asked: str) -> str:
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == "auto":
        return next(device for device, available in there.items() if available)
    if not there.get(asked):
        usable = ", ".join(device for device, available in there.items() if available)
        raise ModelUnavailable(f"device {asked!r} is not there: this machine and its torch have {usable}.")
    return asked


def sound_texts(texts: Sequence[str]) -> list[str]:
    """The texts, if all of them are Unicode: half a surrogate pair is not, and no tokenizer takes it."""
    texts = list(texts)
    for place, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"text {place} is not valid Unicode at character {error.start}.") from error
    return texts
