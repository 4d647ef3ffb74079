"""Loads a plain BERT for the CPU, in the fastest way that agrees with plain float32."""

from __future__ import annotations

from collections.abc import Callable

from semsearch.embedders import bert, precision
from semsearch.embedders.layout import Layout, PlainBert
from semsearch.embedders.packing import Batch, Loaded
from semsearch.embedders.workers import workers
from semsearch.records import Embedding


def load(layout: Layout) -> Loaded | None:
    """The model, or None where it is not exactly such a BERT and the library should load it."""
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    plain, file = layout.bert, layout.folder / "model.safetensors"
    if plain is None or not file.is_file():
        return None
    weights = {name: tensor.float() for name, tensor in load_file(file).items() if name not in bert.UNUSED}
    if not bert.fits(weights, plain):
        return None
    tokenizer = Tokenizer.from_file(str(layout.folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(plain.max_tokens)
    probes = [encoding.ids for encoding in tokenizer.encode_batch(precision.PROBES)]
    # On one of the threads that will use it: packing weights on all cores takes three times as long.
    [model] = workers().map(lambda probes: _fastest(weights, plain, probes), [probes])
    return Loaded(
        forward=_forward(model),
        tokenizer=tokenizer,
        dimensions=model.words.shape[1],
        max_tokens=plain.max_tokens,
        budget=bert.BUDGET,
        parallel=True,
    )


def _forward(model: bert.Bert) -> Callable[[Batch], Embedding]:
    return lambda batch: model(batch.ids)


def _fastest(weights: bert.Weights, plain: PlainBert, probes: list[list[int]]) -> bert.Bert:
    import torch

    simple = bert.Bert(weights, plain, torch.float32, packed=False)
    reference, packs = simple(probes), precision.packs_linear()
    for dtype, least in ((torch.bfloat16, precision.BFLOAT16), (torch.float32, precision.FLOAT32)):
        if dtype == torch.bfloat16 and not precision.native_bf16():
            continue
        candidate = bert.Bert(weights, plain, dtype, packed=packs)
        if precision.agree(candidate(probes), reference, least):
            return candidate
    return simple
