"""Computes any other model through the sentence-transformers library itself."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from semsearch.embedders import precision
from semsearch.embedders.layout import Layout
from semsearch.embedders.packing import Batch, Loaded
from semsearch.records import Embedding

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

UNLIMITED = 1_000_000  # max_tokens of a model that reads texts of any length, such as static embeddings
# Tokens of a batch: on a CPU what stays near the caches, on a GPU about what fills it (128 texts of 512 tokens).
BUDGETS = {"cpu": 2048, "cuda": 65_536, "mps": 16_384}


def load(layout: Layout, device: str) -> Loaded:
    """The model on the device, in half precision where that is native and agrees with float32."""
    with quiet():
        from sentence_transformers import SentenceTransformer

        def fresh() -> SentenceTransformer:
            model = SentenceTransformer(
                str(layout.folder),
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True, "dtype": "float32"},
            )
            return model.eval()

        model = fresh()
        half = _half(device) if model.transformers_model is not None else None
        if half is not None and not _survives(model, half):
            model = fresh()
    max_tokens = _max_tokens(model)
    return Loaded(
        forward=Forward(model),
        tokenizer=_tokenizer(model, max_tokens),
        dimensions=int(model.get_embedding_dimension() or 0),
        max_tokens=max_tokens,
        budget=BUDGETS[device],
        parallel=device == "cpu",
    )


class Forward:
    """One pass through the library's model. Its tokenizer is changed by every call, so calls to that take turns."""

    def __init__(self, model: SentenceTransformer) -> None:
        self._model, self._lock = model, threading.Lock()

    def __call__(self, batch: Batch) -> Embedding:
        import torch

        with self._lock:
            features = self._model.preprocess(batch.texts, prompt=batch.prompt)
        features = {key: self._placed(value) for key, value in features.items()}
        with torch.inference_mode(), _attention(self._model.device):
            embeddings: Embedding = self._model(features)["sentence_embedding"].float().cpu().numpy()
        return embeddings

    def _placed(self, value: Any) -> Any:
        return value.to(self._model.device) if hasattr(value, "to") else value


def _attention(device: torch.device) -> AbstractContextManager[object]:
    """On a GPU all ways but cuDNN's, which is planned anew for each shape of a batch.

    One MiniLM query of a length not seen before: 40 to 70 ms with cuDNN's, 5 ms without, 2.5 to 4 ms when it is seen
    again; 65,536 tokens: 6.7 ms with, 7.0 ms without (H200, torch 2.11).
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    if device.type != "cuda":
        return nullcontext()
    return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])


def _half(device: str) -> torch.dtype | None:
    import torch

    if device == "cpu":
        return torch.bfloat16 if precision.native_bf16() else None
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return None


def _survives(model: SentenceTransformer, half: torch.dtype) -> bool:
    """Convert the model in place; False if its embeddings are then no longer what they were."""
    probes = Batch("", precision.PROBES, [])
    reference = Forward(model)(probes)
    return precision.agree(Forward(model.to(half))(probes), reference, precision.BFLOAT16)


def _max_tokens(model: SentenceTransformer) -> int:
    positions = getattr(model.config, "max_position_embeddings", None)
    return int(min(model.max_seq_length or UNLIMITED, positions or UNLIMITED, UNLIMITED))


def _tokenizer(model: SentenceTransformer, max_tokens: int) -> Tokenizer:
    """A copy, because the library's own is set up anew for every batch."""
    from tokenizers import Tokenizer

    own = getattr(model.tokenizer, "backend_tokenizer", model.tokenizer)
    copy = Tokenizer.from_str(own.to_str())
    copy.no_padding()
    copy.enable_truncation(max_tokens)
    return copy


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, warnings or log lines while the library loads a model; all as it was afterwards."""
    from transformers.utils import logging as transformers_logging

    bars, level = transformers_logging.is_progress_bar_enabled(), logging.root.manager.disable
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(level)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
