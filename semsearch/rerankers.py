"""Cross-encoders: models that read a query and a text together and say how well the text answers the query.

reranker = rerankers.load("sentence-transformers:cross-encoder/ms-marco-MiniLM-L6-v2", settings)
reranker.scores("what is asked", ["a text", "another"])     # float32, shape (2,), larger is better

They judge better than a distance and take a pass through the model for each text: for a pool of hits, not a collection.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from semsearch.config import Settings
from semsearch.embedders import library, local_model, model_safety
from semsearch.embedders.packing import pack
from semsearch.embedders.workers import workers
from semsearch.errors import InvalidInput, ModelUnavailable

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

PROVIDER = "sentence-transformers"
EXAMPLE = f"{PROVIDER}:cross-encoder/ms-marco-MiniLM-L6-v2"
CHARACTERS = 4  # of a token, about; only for packing texts of equal length together

Scores = npt.NDArray[np.float32]
Pairs = list[tuple[str, str]]

_loaded: dict[tuple[str, str], Reranker] = {}
_loading = threading.Lock()


class Reranker:
    """One cross-encoder, loaded. Safe to call from several threads."""

    def __init__(self, model: str, cross_encoder: CrossEncoder, device: str) -> None:
        self.model = model
        self.max_tokens: int = cross_encoder.max_seq_length or library.UNLIMITED
        self._cross_encoder = cross_encoder
        self._prompt = cross_encoder.prompts.get(cross_encoder.default_prompt_name or "")
        self._device = device
        self._budget = library.BUDGETS[device]  # tokens of a batch
        self._turn = threading.Lock()

    def scores(self, query: str, texts: Sequence[str]) -> Scores:
        """How well each text answers the query, shape (len(texts),), in the order of the texts; larger is better.

        It is the model's own raw output, without an activation: any number, comparable only for one query and model.
        Query and text that together are longer than the model reads are cut. Raises InvalidInput, ModelUnavailable.
        """
        from semsearch.embedders.sentence_transformers import sound_texts

        query, *texts = sound_texts([query, *texts])
        lengths = [min((len(query) + len(text)) // CHARACTERS + 1, self.max_tokens) for text in texts]
        places = pack(lengths, self._share(sum(lengths)))
        scores = np.empty(len(texts), np.float32)
        for batch, made in zip(
            places, self._forward([[(query, texts[at]) for at in batch] for batch in places]), strict=True
        ):
            scores[batch] = made
        if not np.isfinite(scores).all():
            raise ModelUnavailable(f"reranker {self.model} gave a score that is not a number.")
        return scores

    def _share(self, tokens: int) -> int:
        """Small enough that every worker has something to do."""
        return min(self._budget, -(-tokens // workers().count)) if self._device == "cpu" else self._budget

    def _forward(self, batches: Sequence[Pairs]) -> list[Scores]:
        try:
            # On all cores at once the library waits for whatever else runs there: 100 pairs took 60 s instead of 16 s
            # on 2 cores that nine other processes wanted too.
            return workers().map(self._scores, batches) if self._device == "cpu" else list(map(self._scores, batches))
        except (RuntimeError, MemoryError) as error:
            raise ModelUnavailable(f"reranker {self.model} failed: {error}") from error

    def _scores(self, pairs: Pairs) -> Scores:
        import torch

        with self._turn:  # the tokenizer is changed by every call
            features = self._cross_encoder.preprocess(pairs, prompt=self._prompt)
        features = {key: value.to(self._device) if hasattr(value, "to") else value for key, value in features.items()}
        with torch.inference_mode():
            scores: Scores = self._cross_encoder(features)["scores"].float().reshape(len(pairs)).cpu().numpy()
        return scores


def load(model: str, settings: Settings) -> Reranker:
    """The reranker of that full name, `provider:name`, where the name may be a folder; the same one when asked again.

    Raises InvalidInput, ModelUnavailable.
    """
    provider, _, name = model.partition(":") if isinstance(model, str) else ("", "", "")
    if provider != PROVIDER or not name.strip():
        raise InvalidInput(f"reranker {model!r} is not known: name it as provider:name, such as {EXAMPLE}.")
    key = (model, settings.device)
    with _loading:
        if key not in _loaded:
            _loaded[key] = _load(model, name, settings.device)
        return _loaded[key]


def _load(model: str, name: str, device: str) -> Reranker:
    from semsearch.embedders.sentence_transformers import chosen_device

    folder = local_model.find(name)
    model_safety.verify(folder)
    _check_kind(model, folder)
    device = chosen_device(device)
    try:
        with library.quiet():
            from sentence_transformers import CrossEncoder

            # Always float32: in bf16 near scores change places, and what that costs depends on the model.
            cross_encoder = CrossEncoder(
                str(folder),
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True, "dtype": "float32"},
            ).eval()
    except Exception as error:  # whatever the files of a model make four libraries raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ModelUnavailable(f"{model} in {folder} cannot be loaded: {reason}") from error
    if cross_encoder.num_labels != 1:
        raise InvalidInput(
            f"{model} gives {cross_encoder.num_labels} scores for each text, and hits are ordered by one: "
            f"choose a reranker with a single label, such as {EXAMPLE}."
        )
    return Reranker(model, cross_encoder, device)


def _check_kind(model: str, folder: Path) -> None:
    # The library gives any other model a new layer of random weights to score with.
    config = model_safety.read(folder / "config.json") if (folder / "config.json").is_file() else {}
    kinds = config.get("architectures") if isinstance(config, dict) else None
    if not (isinstance(kinds, list) and kinds and str(kinds[0]).endswith("ForSequenceClassification")):
        raise InvalidInput(
            f"{model} is no cross-encoder, a model that scores a query and a text together: choose one, such as "
            f"{EXAMPLE}."
        )
