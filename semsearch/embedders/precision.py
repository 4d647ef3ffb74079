"""Decides whether a cheaper way to compute a model may stand in for plain float32."""

from __future__ import annotations

import platform

import numpy as np

from semsearch.records import Embedding

# Short and long, prose, code and other scripts: a model that loses precision loses it on one of these.
PROBES = [
    "reset password",
    "The quick brown fox jumps over the lazy dog.",
    "def read(path):\n    with open(path, newline='') as file:\n        return list(csv.DictReader(file))",
    "Zażółć gęślą jaźń. Съешь ещё этих мягких французских булок. いろはにほへと",
    "Embeddings place texts with a similar meaning near one another, so that a question finds its answer although "
    "the two share no word.",
]
BFLOAT16, FLOAT32 = 0.999, 0.99999


def native_bf16() -> bool:
    """Whether the CPU multiplies bf16 matrices itself; elsewhere torch emulates it, slower than float32."""
    import torch

    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def packs_linear() -> bool:
    """Whether torch has oneDNN's linear layer for packed weights, and the CPU is of the kind it was measured on."""
    import torch

    return hasattr(torch.ops.mkldnn, "_linear_pointwise") and platform.machine() in ("x86_64", "AMD64")


def agree(embeddings: Embedding, reference: Embedding, least: float) -> bool:
    """Whether the cosine of each pair is at least so much; never for what is not finite."""
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(reference, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return bool((np.einsum("ij,ij->i", embeddings, reference) / lengths >= least).all())
