"""What a model's folder says about itself: modules, prompts, length, and whether it is a plain BERT."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semsearch.embedders import local_model
from semsearch.embedders.model_safety import modules, read

# Keys that say how a file came to be, not what the model computes.
HISTORY = {"_name_or_path", "__version__", "transformers_version", "torch_dtype", "dtype", "truncation", "padding"}
# What the library takes a text model for when sentence_bert_config.json says nothing (its Transformer.load_config).
TEXT_MODEL = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}
NORMALIZE = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
POOLING_FLAG = "pooling_mode_"
POOLINGS = {"mean_tokens": "mean", "cls_token": "cls", "mean": "mean", "cls": "cls"}


@dataclass(frozen=True, slots=True)
class PlainBert:
    """A BERT encoder with mean or cls pooling: all that is needed to compute it."""

    layers: int
    heads: int
    epsilon: float
    pooling: str
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Layout:
    """`bert` is None where only the library itself should compute the model."""

    folder: Path
    query_prompt: str
    document_prompt: str
    normalizes: bool
    truncate: int | None
    bert: PlainBert | None


def read_layout(folder: Path) -> Layout:
    """The layout of a verified folder. Raises ModelUnavailable for files that are not json."""
    settings = _read(folder / "config_sentence_transformers.json")
    kinds = [str(module["type"]).rpartition(".")[2] for module in modules(folder)]
    return Layout(
        folder=folder,
        query_prompt=_prompt(settings, "query"),
        document_prompt=_prompt(settings, "document", "passage", "corpus"),
        normalizes=kinds[-1:] == ["Normalize"],
        truncate=settings.get("truncate_dim"),
        bert=_plain_bert(folder, kinds),
    )


def fingerprint(layout: Layout, dimensions: int) -> str:
    """A sha256 in hex over all that decides an embedding, wherever the folder lies and whatever computes it."""
    folder = layout.folder
    files = {
        file.relative_to(folder).as_posix(): _significant(_read(file))
        for pattern in ("*config*.json", "modules.json", "tokenizer.json", "*/config.json")
        for file in folder.glob(pattern)
        if file.name not in ("data_config.json", "generation_config.json")
    }
    hashes = {file.relative_to(folder).as_posix(): local_model.sha256(file) for file in local_model.weights(folder)}
    content = json.dumps([files, hashes, dimensions], sort_keys=True)
    return hashlib.sha256(f"sentence-transformers {content}".encode()).hexdigest()


def _significant(value: Any) -> Any:
    return {key: inner for key, inner in value.items() if key not in HISTORY} if isinstance(value, dict) else value


def _read(file: Path) -> Any:
    return read(file) if file.is_file() else {}


def _prompt(settings: Mapping[str, Any], *names: str) -> str:
    """The first that the model has, else its default, as SentenceTransformer.encode_query and encode_document do."""
    prompts = settings.get("prompts") or {}
    found = (prompts[name] for name in (*names, settings.get("default_prompt_name")) if name in prompts)
    return next(found, None) or ""


def _plain_bert(folder: Path, kinds: list[str]) -> PlainBert | None:
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return None
    paths = [folder / str(module["path"]) for module in modules(folder)]
    config, sentence = _read(folder / "config.json"), _read(folder / "sentence_bert_config.json")
    pooling = _pooling(_read(paths[1] / "config.json"))
    plain = (
        paths[0] == folder
        and config.get("model_type") == "bert"
        and config.get("hidden_act", "gelu") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not (config.get("is_decoder") or config.get("add_cross_attention"))
        and all(_read(path / "config.json") in ({}, NORMALIZE) for path in paths[2:])
    )
    if not (plain and pooling and _plain_text(sentence) and _lower_case_agrees(folder, sentence)):
        return None
    limits = (sentence.get("max_seq_length"), _read(folder / "tokenizer_config.json").get("model_max_length"))
    return PlainBert(
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        epsilon=config.get("layer_norm_eps", 1e-12),
        pooling=pooling,
        max_tokens=min(config["max_position_embeddings"], *(limit for limit in limits if limit)),
    )


def _pooling(config: Mapping[str, Any]) -> str | None:
    """`mean` or `cls`, in the library's new spelling or the old one with a flag for each; None for all else."""
    flags = [key.removeprefix(POOLING_FLAG) for key, value in config.items() if key.startswith(POOLING_FLAG) and value]
    mode = config.get("pooling_mode") or (flags[0] if len(flags) == 1 else None)
    return POOLINGS.get(mode) if isinstance(mode, str) and config.get("include_prompt", True) else None


def _plain_text(sentence: Mapping[str, Any]) -> bool:
    known = {"max_seq_length", "do_lower_case", *TEXT_MODEL}
    return set(sentence) <= known and all(sentence.get(key, value) == value for key, value in TEXT_MODEL.items())


def _lower_case_agrees(folder: Path, sentence: Mapping[str, Any]) -> bool:
    """Whether tokenizer.json alone does what the two configurations ask of a WordPiece tokenizer."""
    tokenizer, config = _read(folder / "tokenizer.json"), _read(folder / "tokenizer_config.json")
    normalizer = tokenizer.get("normalizer") or {}
    lowers = normalizer.get("lowercase")
    return (
        tokenizer.get("model", {}).get("type") == "WordPiece"
        and normalizer.get("type") == "BertNormalizer"
        and lowers == config.get("do_lower_case", lowers)
        and (lowers or not sentence.get("do_lower_case"))
    )
