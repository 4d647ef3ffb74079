"""Refuses a model folder that could run code of its own: pickled weights, foreign classes, remote code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from semsearch.errors import ModelUnavailable

# Modules of sentence-transformers that read safetensors and json only. Router, WordEmbeddings and their like name
# further classes or load other formats.
MODULES = ("Transformer", "Pooling", "Normalize", "Dense", "LayerNorm", "Dropout", "StaticEmbedding")
_MODULE = re.compile(
    rf"sentence_transformers\.(models|(base|sentence_transformer)\.modules)(\.[a-z_]+)?\.({'|'.join(MODULES)})"
)
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def verify(folder: Path) -> None:
    """Raise ModelUnavailable, saying what is wrong, unless everything in the folder is plain data.

    The library refuses most of it too; it did not always (CVE-2025-32434, CVE-2026-4372), so nothing here relies on
    its version.
    """
    for module in [{"path": ""}, *modules(folder)]:
        where = folder / str(module.get("path", ""))
        if not where.resolve().is_relative_to(folder.resolve()):
            raise ModelUnavailable(f"{folder}: modules.json leaves the folder with {module['path']!r}: not loaded.")
        _refuse_pickles(where)
        for file in where.glob("*config*.json"):
            _refuse_code(file)


def modules(folder: Path) -> list[dict[str, Any]]:
    """The entries of modules.json, in order, empty if there is none; every type is one of MODULES."""
    file = folder / "modules.json"
    entries = read(file) if file.is_file() else []
    if not (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)):
        raise ModelUnavailable(f"{file} is not a list of modules: not loaded.")
    for entry in entries:
        if not _MODULE.fullmatch(str(entry.get("type"))):
            raise ModelUnavailable(
                f"{file} names {entry.get('type')!r}, which is not a known module of sentence-transformers "
                f"({', '.join(MODULES)}): not loaded, because it could run code."
            )
    return entries


def read(file: Path) -> Any:
    """The json in the file. Raises ModelUnavailable."""
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{file} cannot be read: {error}.") from error


def _refuse_pickles(folder: Path) -> None:
    pickles = sorted(file.name for file in folder.glob("*") if file.suffix in PICKLES)
    if pickles and not any(folder.glob("*.safetensors")):
        raise ModelUnavailable(
            f"{folder} has its weights in {pickles[0]} only, and loading that could run code: convert the model to "
            "safetensors, or choose another."
        )


def _refuse_code(file: Path) -> None:
    for key, value in _entries(read(file)):
        remote = key == "auto_map" and value
        kernel = "attn_implementation" in key and "/" in str(value)  # a kernel fetched from the hub
        if remote or kernel or key in ("use_kernels", "kernel_config", "trust_remote_code"):
            raise ModelUnavailable(f"{file} asks for remote code with {key!r}: not loaded.")


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _entries(inner)
