"""A model folder that could run code is refused before anything in it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semsearch.embedders.model_safety import MODULES, modules, verify
from semsearch.errors import ModelUnavailable


def write(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def module(kind: str, path: str = "") -> dict[str, str]:
    return {"idx": "0", "name": "0", "path": path, "type": kind}


GOOD: dict[str, Any] = {
    "model.safetensors": "weights",
    "config.json": {"model_type": "bert", "_attn_implementation_autoset": True},
    "modules.json": [
        module("sentence_transformers.models.Transformer"),
        module("sentence_transformers.sentence_transformer.modules.pooling.Pooling", "1_Pooling"),
        module("sentence_transformers.base.modules.dense.Dense", "2_Dense"),
    ],
    "1_Pooling/config.json": {"pooling_mode": "mean"},
    "2_Dense/model.safetensors": "weights",
}


def test_a_folder_of_plain_data_is_accepted(tmp_path: Path) -> None:
    verify(write(tmp_path, GOOD))


def test_pickled_weights_beside_safe_ones_are_left_alone(tmp_path: Path) -> None:
    verify(write(tmp_path, {**GOOD, "pytorch_model.bin": "pickle"}))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"1_Pooling/pytorch_model.bin": "pickle"}, "1_Pooling has its weights in pytorch_model.bin only"),
        ({"modules.json": [module("os.system")]}, "names 'os.system'"),
        ({"modules.json": [module("sentence_transformers.models.os.Transformer.x")]}, "not a known module"),
        ({"modules.json": [module("sentence_transformers.models.WordEmbeddings")]}, "could run code"),
        ({"modules.json": [{"path": ""}]}, "names None"),
        ({"modules.json": {"type": "os.system"}}, "is not a list of modules"),
        ({"modules.json": ["os.system"]}, "is not a list of modules"),
        ({"modules.json": "{"}, "cannot be read"),
        ({"modules.json": [module("sentence_transformers.models.Dense", "../other")]}, "leaves the folder with"),
        ({"config.json": {"auto_map": {"AutoModel": "evil.Model"}}}, "remote code with 'auto_map'"),
        ({"tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["evil.T", None]}}}, "remote code with 'auto_map'"),
        ({"sentence_bert_config.json": {"model_args": {"trust_remote_code": True}}}, "'trust_remote_code'"),
        ({"config.json": {"text": [{"_attn_implementation_internal": "evil/kernel"}]}}, "'_attn_implementation_int"),
        ({"config.json": {"use_kernels": True}}, "'use_kernels'"),
        ({"1_Pooling/config.json": {"auto_map": {"x": "y"}}}, "'auto_map'"),
    ],
)
def test_what_could_run_code_is_named_and_refused(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    folder = write(tmp_path, {**GOOD, **files})
    with pytest.raises(ModelUnavailable, match=message):
        verify(folder)


@given(st.text() | st.from_regex(r"sentence_transformers\.[a-z_.]+\.[A-Za-z]+", fullmatch=True))
def test_a_class_passes_only_if_it_is_one_of_the_librarys_own(tmp_path_factory: Any, kind: str) -> None:
    folder = write(tmp_path_factory.mktemp("model"), {"modules.json": [module(kind)]})
    try:
        modules(folder)
    except ModelUnavailable:
        return
    assert kind.startswith("sentence_transformers.") and kind.rpartition(".")[2] in MODULES
