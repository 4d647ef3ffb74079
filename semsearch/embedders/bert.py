"""Computes a plain BERT encoder on a CPU, without padding.

The library's own model costs 2 to 3 s to import and pads every batch; this needs torch alone. Attention is computed
for texts of equal length together, everything else for all tokens of a batch at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from semsearch.embedders.layout import PlainBert
from semsearch.records import Embedding

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Weights = Mapping[str, Tensor]
    Norm = tuple[Tensor, Tensor]

# Tokens of a batch, which oneDNN packs weights for. MiniLM on an EPYC: no difference beyond noise from 512 to 4,096.
BUDGET = 2048
# Rows are filled up to multiples of this. oneDNN keeps what it has compiled for every number of rows it has met: over
# 6,400 passages a process grew by 500 MB, with these steps by 60 MB.
STEP, SMALL_STEP, SMALL = 64, 16, 256
UNUSED = {"pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids"}


class Linear:
    """x @ weight.T + bias; `packed` by oneDNN, in float32 on an EPYC twice as fast as torch's MKL, GELU included."""

    def __init__(self, weight: Tensor, bias: Tensor, *, packed: bool) -> None:
        import torch

        # The operators that torch.compile emits for a linear layer: torch/_inductor/fx_passes/mkldnn_fusion.py.
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, BUDGET) if packed else weight
        self.bias, self.packed = bias, packed

    def __call__(self, x: Tensor, *, gelu: bool = False) -> Tensor:
        import torch
        from torch.nn import functional

        if not self.packed:
            y = functional.linear(x, self.weight, self.bias)
            return functional.gelu(y) if gelu else y
        activation, algorithm = ("gelu", "none") if gelu else ("none", "")
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, activation, [], algorithm)
        return out


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer; `projections` are query, key and value side by side."""

    projections: Linear
    attended: Linear
    attended_norm: Norm
    wide: Linear
    narrow: Linear
    norm: Norm


class Bert:
    """The encoder with its pooling, before normalization. `fits` first."""

    def __init__(self, weights: Weights, plain: PlainBert, dtype: torch.dtype, *, packed: bool) -> None:
        import torch

        def linear(*names: str) -> Linear:
            weight, bias = (torch.cat([weights[f"{name}.{kind}"] for name in names]) for kind in ("weight", "bias"))
            return Linear(weight.to(dtype), bias.to(dtype), packed=packed)

        def norm(name: str, dtype: torch.dtype = dtype) -> Norm:
            return weights[f"{name}.weight"].to(dtype), weights[f"{name}.bias"].to(dtype)

        def layer(name: str) -> Layer:
            attention = f"{name}.attention"
            return Layer(
                linear(*(f"{attention}.self.{part}" for part in ("query", "key", "value"))),
                linear(f"{attention}.output.dense"),
                norm(f"{attention}.output.LayerNorm"),
                linear(f"{name}.intermediate.dense"),
                linear(f"{name}.output.dense"),
                norm(f"{name}.output.LayerNorm"),
            )

        self.plain, self.dtype = plain, dtype
        self.words = weights["embeddings.word_embeddings.weight"]
        self.places = (
            weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
        )
        self.first_norm = norm("embeddings.LayerNorm", torch.float32)
        self.layers = [layer(f"encoder.layer.{number}") for number in range(plain.layers)]

    def __call__(self, ids: list[list[int]]) -> Embedding:
        """The pooled last hidden states, one row for each list of token ids; equal lengths should be neighbours."""
        import torch

        with torch.inference_mode():
            groups = [(length, len(list(group))) for length, group in groupby(map(len, ids))]
            x = self._embed(ids, groups)
            for layer in self.layers:
                attended = layer.attended(self._attend(layer.projections(x), groups))
                x = self._norm(x + attended, layer.attended_norm)
                x = self._norm(x + layer.narrow(layer.wide(x, gelu=True)), layer.norm)
            pooled: Embedding = torch.cat([self._pool(part) for part in _parts(x, groups)]).numpy()
            return pooled

    def _embed(self, ids: list[list[int]], groups: list[tuple[int, int]]) -> Tensor:
        import torch

        words = torch.from_numpy(np.fromiter((token for text in ids for token in text), np.int64))
        places = torch.cat([torch.arange(length).repeat(count) for length, count in groups])
        x = self._norm(self.words[words] + self.places[places], self.first_norm).to(self.dtype)
        return torch.nn.functional.pad(x, (0, 0, 0, filled(len(x)) - len(x)))

    def _attend(self, projected: Tensor, groups: list[tuple[int, int]]) -> Tensor:
        """Attention of each text to itself; in float32, which a CPU without AMX does faster than bf16."""
        import torch
        from torch.nn.functional import scaled_dot_product_attention

        attended = []
        for part in _parts(projected, groups):
            count, length, width = part.shape
            split = part.view(count, length, 3, self.plain.heads, -1).permute(2, 0, 3, 1, 4).float()
            out = scaled_dot_product_attention(*split)
            attended.append(out.transpose(1, 2).to(self.dtype).reshape(count * length, width // 3))
        attended.append(attended[0].new_zeros(len(projected) - sum(map(len, attended)), attended[0].shape[1]))
        return torch.cat(attended)

    def _norm(self, x: Tensor, norm: Norm) -> Tensor:
        from torch.nn.functional import layer_norm

        return layer_norm(x, x.shape[-1:], *norm, self.plain.epsilon)

    def _pool(self, part: Tensor) -> Tensor:
        return part[:, 0].float() if self.plain.pooling == "cls" else part.float().mean(1)


def filled(rows: int) -> int:
    """
    >>> filled(10), filled(1000)
    (16, 1024)
    """
    step = SMALL_STEP if rows <= SMALL else STEP
    return -(-rows // step) * step


def fits(weights: Weights, plain: PlainBert) -> bool:
    """Whether the weights are those of such a model, with nothing missing and nothing that would be left out."""
    parts = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
    parts += ["attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"]
    names = [f"encoder.layer.{number}.{part}" for number in range(plain.layers) for part in parts]
    expected = {f"{name}.{kind}" for name in (*names, "embeddings.LayerNorm") for kind in ("weight", "bias")}
    expected |= {f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")}
    return set(weights) - UNUSED == expected


def _parts(x: Tensor, groups: list[tuple[int, int]]) -> list[Tensor]:
    """Views of the tokens' rows, shape (texts, length, width) for each group of texts of equal length; no fillers."""
    import torch

    sizes = [length * count for length, count in groups]
    parts = torch.split(x[: sum(sizes)], sizes)
    return [part.view(count, length, -1) for part, (length, count) in zip(parts, groups, strict=True)]
