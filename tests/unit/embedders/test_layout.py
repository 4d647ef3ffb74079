"""What a model's folder says about itself decides its prompts, its fingerprint and how it is computed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from semsearch.embedders.layout import PlainBert, fingerprint, read_layout

KIND = "sentence_transformers.models."
FILES: dict[str, Any] = {
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": f"{KIND}Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{KIND}Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{KIND}Normalize"},
    ],
    "config.json": {
        "model_type": "bert",
        "hidden_act": "gelu",
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
    },
    "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": False},
    "tokenizer_config.json": {"do_lower_case": True, "model_max_length": 1e30},
    "tokenizer.json": {"model": {"type": "WordPiece"}, "normalizer": {"type": "BertNormalizer", "lowercase": True}},
    "1_Pooling/config.json": {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False},
    "config_sentence_transformers.json": {},
}
PLAIN = PlainBert(layers=2, heads=4, epsilon=1e-12, pooling="mean", max_tokens=256)


def write(folder: Path, **changes: dict[str, Any]) -> Path:
    """The folder of a plain BERT; `changes` by the first word of a file's name."""
    for name, content in FILES.items():
        change = changes.get(name.partition(".")[0].replace("/config", ""), {})
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**content, **change} if isinstance(content, dict) else content))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_a_plain_bert_is_recognized(tmp_path: Path) -> None:
    layout = read_layout(write(tmp_path))
    assert layout.bert == PLAIN and layout.normalizes and layout.truncate is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sentence_bert_config": {"max_seq_length": None}}, 512),
        ({"sentence_bert_config": {"max_seq_length": 600}}, 512),
        ({"sentence_bert_config": {"max_seq_length": None}, "tokenizer_config": {"model_max_length": 128}}, 128),
    ],
)
def test_the_length_is_the_least_that_any_file_states(tmp_path: Path, changes: Any, expected: int) -> None:
    bert = read_layout(write(tmp_path, **changes)).bert
    assert bert is not None and bert.max_tokens == expected


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode": "cls", "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode": "mean"}, "mean"),
    ],
)
def test_both_spellings_of_the_pooling_are_read(tmp_path: Path, pooling: Any, expected: str) -> None:
    bert = read_layout(write(tmp_path, **{"1_Pooling": pooling})).bert
    assert bert is not None and bert.pooling == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"model_type": "modernbert"}},
        {"config": {"hidden_act": "relu"}},
        {"config": {"position_embedding_type": "relative_key"}},
        {"config": {"is_decoder": True}},
        {"sentence_bert_config": {"query_length": 32}},
        {"sentence_bert_config": {"transformer_task": "fill-mask"}},
        {"tokenizer": {"model": {"type": "Unigram"}}},
        {"tokenizer": {"normalizer": None}},
        {"tokenizer_config": {"do_lower_case": False}},
        {
            "tokenizer": {"normalizer": {"type": "BertNormalizer", "lowercase": False}},
            "tokenizer_config": {"do_lower_case": False},
            "sentence_bert_config": {"do_lower_case": True},
        },
        {"1_Pooling": {"pooling_mode_cls_token": True}},  # both, one after the other
        {"1_Pooling": {"pooling_mode": ["cls", "mean"]}},
        {"1_Pooling": {"pooling_mode": "lasttoken"}},
        {"1_Pooling": {"include_prompt": False}},
    ],
    ids=str,
)
def test_whatever_is_not_a_plain_bert_is_left_to_the_library(tmp_path: Path, changes: Any) -> None:
    assert read_layout(write(tmp_path, **changes)).bert is None


def test_a_folder_without_modules_is_left_to_the_library(tmp_path: Path) -> None:
    (write(tmp_path) / "modules.json").unlink()
    layout = read_layout(tmp_path)
    assert layout.bert is None and not layout.normalizes


@pytest.mark.parametrize(
    ("settings", "query", "document"),
    [
        ({"prompts": {"query": "q: ", "document": "d: "}}, "q: ", "d: "),
        ({"prompts": {"query": "q: ", "passage": "p: "}}, "q: ", "p: "),
        ({"prompts": {"corpus": "c: "}}, "", "c: "),
        ({"prompts": {"other": "o: "}, "default_prompt_name": "other"}, "o: ", "o: "),
        ({"prompts": {"query": "q: ", "document": ""}, "default_prompt_name": "query"}, "q: ", ""),
        ({"prompts": {"query": None}}, "", ""),
        ({"prompts": None}, "", ""),
        ({}, "", ""),
    ],
)
def test_prompts_are_those_of_encode_query_and_encode_document(
    tmp_path: Path, settings: Any, query: str, document: str
) -> None:
    layout = read_layout(write(tmp_path, config_sentence_transformers=settings))
    assert (layout.query_prompt, layout.document_prompt) == (query, document)


def fingerprints(folder: Path, dimensions: int = 32) -> str:
    return fingerprint(read_layout(folder), dimensions)


def test_the_fingerprint_does_not_depend_on_the_folder_or_on_history(tmp_path: Path) -> None:
    original = write(tmp_path / "a")
    copy = Path(shutil.copytree(original, tmp_path / "b"))
    (copy / "README.md").write_text("It moved.")
    change = {"_name_or_path": "elsewhere", "transformers_version": "9"}
    (copy / "config.json").write_text(json.dumps({**FILES["config.json"], **change}, indent=4))
    assert fingerprints(original) == fingerprints(copy)


@pytest.mark.parametrize(
    "changes",
    [
        {"config_sentence_transformers": {"prompts": {"query": "q: "}}},
        {"sentence_bert_config": {"max_seq_length": 128}},
        {"1_Pooling": {"pooling_mode": "cls"}},
        {"tokenizer": {"added_tokens": [{"id": 1, "content": "x"}]}},
    ],
    ids=str,
)
def test_what_changes_embeddings_changes_the_fingerprint(tmp_path: Path, changes: Any) -> None:
    assert fingerprints(write(tmp_path / "a")) != fingerprints(write(tmp_path / "b", **changes))


def test_weights_and_dimensions_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    before = fingerprints(write(tmp_path))
    assert before != fingerprints(tmp_path, 16)
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    assert before != fingerprints(tmp_path)
