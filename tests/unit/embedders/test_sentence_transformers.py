"""Local models give the embeddings that the library gives, whichever way they are computed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semsearch import embedders
from semsearch.config import Settings
from semsearch.embedders import bert, library, precision
from semsearch.embedders import sentence_transformers as module
from semsearch.embedders.sentence_transformers import SentenceTransformersEmbedder
from semsearch.errors import InvalidInput, ModelUnavailable, UnusableEmbedding

TinyModel = Callable[..., Path]

pytestmark = pytest.mark.model

MINILM = "all-MiniLM-L6-v2"
TEXTS = [
    "How do I reset my password?",
    "",
    " \n\t ",
    "To reset your password, open Settings and choose Security.",
    "import csv\nwith open('a.csv') as file: rows = list(csv.DictReader(file))",
    "Zażółć gęślą jaźń 日本語 🙂",
    "a word " * 400,  # longer than the model reads
    "The capital of France is Paris.",
]
CPU = Settings(device="cpu")


def cosines(a: Any, b: Any) -> Any:
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def own_way(embedder: SentenceTransformersEmbedder) -> bool:
    """Whether the model is computed without the library."""
    return not isinstance(embedder._loaded.forward, library.Forward)


@pytest.fixture(autouse=True)
def forget_models() -> Iterator[None]:
    yield
    module._load.cache_clear()


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "native_bf16", lambda: False)


def test_minilm_agrees_with_the_library(minilm: Any) -> None:
    embedder = SentenceTransformersEmbedder(MINILM, CPU)
    embeddings = embedder.embed_documents(TEXTS)
    assert own_way(embedder)
    assert embeddings.shape == (8, 384) and embeddings.dtype == np.float32
    assert cosines(embeddings, minilm.encode_document(TEXTS)).min() >= 0.999
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("packed", [True, False])
def test_in_float32_minilm_is_the_same_with_packed_and_with_plain_layers(
    minilm: Any, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(precision, "packs_linear", lambda: packed and hasattr_packed())
    embedder = SentenceTransformersEmbedder(MINILM, CPU)
    assert cosines(embedder.embed_documents(TEXTS), minilm.encode(TEXTS)).min() >= 0.9999


def hasattr_packed() -> bool:
    import torch

    return hasattr(torch.ops.mkldnn, "_linear_pointwise")


def test_both_ways_agree_for_the_real_model(minilm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "native_bf16", lambda: False)
    own = SentenceTransformersEmbedder(MINILM, CPU)
    module._load.cache_clear()
    monkeypatch.setattr(bert, "fits", lambda *_: False)
    through = SentenceTransformersEmbedder(MINILM, CPU)
    assert own_way(own) and not own_way(through)
    assert cosines(own.embed_documents(TEXTS), through.embed_documents(TEXTS)).min() >= 0.9999
    assert (own.fingerprint, own.max_tokens) == (through.fingerprint, through.max_tokens)
    assert own.count_tokens(TEXTS) == through.count_tokens(TEXTS)


def test_precision_that_does_not_agree_is_not_used(minilm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "agree", lambda *_: False)
    embedder = SentenceTransformersEmbedder(MINILM, CPU)
    assert cosines(embedder.embed_documents(TEXTS), minilm.encode(TEXTS)).min() >= 0.9999


@pytest.mark.parametrize(("pooling", "normalize"), [("mean", True), ("cls", True), ("mean", False)])
@pytest.mark.usefixtures("float32")
def test_a_plain_bert_is_computed_as_by_the_library(tiny_model: TinyModel, pooling: str, normalize: bool) -> None:
    folder = tiny_model(pooling=pooling, normalize=normalize)
    embedder = SentenceTransformersEmbedder(str(folder), CPU)
    texts = ["the cat sat on the mat", "dog", "", "The Dog SAT", "cat " * 50]
    expected = reference(folder).encode(texts)
    assert own_way(embedder) and embedder.max_tokens == 20
    assert np.allclose(embedder.embed_documents(texts), expected, atol=1e-5)


@pytest.mark.usefixtures("float32")
def test_other_modules_go_through_the_library(tiny_model: TinyModel) -> None:
    folder = tiny_model(dense=6)
    embedder = SentenceTransformersEmbedder(str(folder), CPU)
    texts = ["the cat sat on the mat", "dog", "", "cat " * 50]
    assert not own_way(embedder) and embedder.dimensions == 6 and embedder.max_tokens == 20
    assert np.allclose(embedder.embed_documents(texts), reference(folder).encode(texts), atol=1e-5)


def test_through_the_library_half_precision_agrees(tiny_model: TinyModel) -> None:
    folder = tiny_model(dense=6)
    embedder = SentenceTransformersEmbedder(str(folder), CPU)
    texts = ["the cat sat on the mat", "dog", "a b c"]
    assert cosines(embedder.embed_documents(texts), reference(folder).encode(texts)).min() >= 0.99


def test_through_the_library_precision_that_does_not_agree_is_not_used(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "native_bf16", lambda: True)
    monkeypatch.setattr(precision, "agree", lambda *_: False)
    folder = tiny_model(dense=6)
    embedder = SentenceTransformersEmbedder(str(folder), CPU)
    assert np.allclose(embedder.embed_documents(["cat"]), reference(folder).encode(["cat"]), atol=1e-5)


def test_static_embeddings_read_texts_of_any_length(tmp_path: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "cat": 1, "dog": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    static = StaticEmbedding(tokenizer, torch.tensor([[0.0, 0.1], [1.0, 0.0], [0.0, 1.0]]).numpy())
    SentenceTransformer(modules=[static], device="cpu").save(str(tmp_path))
    embedder = SentenceTransformersEmbedder(str(tmp_path), CPU)
    # The mean of the words' vectors: 2,000 cats and 2,000 dogs.
    assert np.allclose(embedder.embed_query("cat dog " * 2000), [0.5, 0.5])
    assert embedder.max_tokens == library.UNLIMITED


def reference(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


@pytest.mark.parametrize("dense", [0, 6])
@pytest.mark.usefixtures("float32")
def test_queries_and_documents_are_read_with_their_own_prompts(tiny_model: TinyModel, dense: int) -> None:
    folder = tiny_model(dense=dense, prompts={"query": "query: ", "document": "the "})
    embedder, library = SentenceTransformersEmbedder(str(folder), CPU), reference(folder)
    assert np.allclose(embedder.embed_query("cat"), library.encode_query("cat"), atol=1e-5)
    assert np.allclose(embedder.embed_documents(["cat"])[0], library.encode_document("cat"), atol=1e-5)
    assert not np.allclose(embedder.embed_query("cat"), embedder.embed_documents(["cat"])[0], atol=1e-2)


def test_shorter_dimensions_are_the_first_ones_normalized_again() -> None:
    whole, short = (SentenceTransformersEmbedder(MINILM, CPU, dimensions) for dimensions in (None, 100))
    first = whole.embed_query("cat")[:100]
    assert np.allclose(short.embed_query("cat"), first / np.linalg.norm(first), atol=1e-6)
    assert short.dimensions == 100 and short.fingerprint != whole.fingerprint
    assert short._loaded is whole._loaded


def test_without_normalization_shorter_dimensions_keep_their_length(tiny_model: TinyModel) -> None:
    folder = str(tiny_model(normalize=False, truncate_dim=10))
    whole, own = SentenceTransformersEmbedder(folder, CPU, 32), SentenceTransformersEmbedder(folder, CPU)
    assert own.dimensions == 10  # as the model's own configuration says
    assert np.allclose(own.embed_query("cat"), whole.embed_query("cat")[:10])


@pytest.mark.parametrize("dimensions", [0, -1, 385])
def test_dimensions_a_model_does_not_have_are_invalid(dimensions: int) -> None:
    with pytest.raises(InvalidInput, match=f"embeddings of 384 dimensions: {dimensions} cannot be had from it"):
        SentenceTransformersEmbedder(MINILM, CPU, dimensions)


def test_embeddings_do_not_depend_on_the_batch_a_text_is_in() -> None:
    embedder = SentenceTransformersEmbedder(MINILM, CPU)
    together = embedder.embed_documents(TEXTS * 30)
    alone = np.stack([embedder.embed_query(text) for text in TEXTS])
    assert cosines(together, np.tile(alone, (30, 1))).min() > 0.9999


def test_no_texts_give_no_embeddings() -> None:
    embedder = SentenceTransformersEmbedder(MINILM, CPU)
    assert embedder.embed_documents([]).shape == (0, 384) and embedder.count_tokens([]) == []


def test_several_threads_get_each_their_own_embeddings() -> None:
    embedder = SentenceTransformersEmbedder(MINILM, CPU)
    expected = embedder.embed_documents(TEXTS)
    found: dict[int, Any] = {}

    def embed(place: int) -> None:
        found[place] = embedder.embed_query(TEXTS[place])

    threads = [threading.Thread(target=embed, args=(place,)) for place in range(len(TEXTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cosines(np.stack([found[place] for place in range(len(TEXTS))]), expected).min() > 0.9999


def test_tokens_are_counted_whole_and_without_special_ones(minilm: Any) -> None:
    embedder = SentenceTransformersEmbedder(MINILM, CPU)
    # [CLS] and [SEP] around each; 400 times "a word" is 800 tokens, of which the model reads 254.
    assert embedder.count_tokens(["", "a word " * 400]) == [0, 800]
    tokens = minilm.tokenizer(TEXTS[:6], add_special_tokens=False)["input_ids"]
    assert embedder.count_tokens(TEXTS[:6]) == [len(ids) for ids in tokens]


def test_a_text_that_is_not_unicode_is_invalid() -> None:
    embedder = SentenceTransformersEmbedder(MINILM, CPU)
    with pytest.raises(InvalidInput, match="text 1 is not valid Unicode at character 2"):
        embedder.embed_documents(["fine", "ab\ud800c"])


@pytest.mark.parametrize("markdown", [False, True])
def test_a_splitter_counts_in_the_models_tokens_and_keeps_offsets(markdown: bool) -> None:
    embedder = SentenceTransformersEmbedder(MINILM, CPU)
    text = "# Żółw\n\n" + "Embeddings place texts near one another. 🙂 " * 100
    chunks = embedder.splitter(50, 10, markdown=markdown).chunk_indices(text)
    assert len(chunks) > 10 and max(embedder.count_tokens([chunk for _, chunk in chunks])) <= 50
    assert all(text[start : start + len(chunk)] == chunk for start, chunk in chunks)


def test_a_splitter_with_more_overlap_than_capacity_is_invalid() -> None:
    embedder = SentenceTransformersEmbedder(MINILM, CPU)
    for capacity, overlap in ((10, 10), (-1, 0)):
        with pytest.raises(InvalidInput, match=f"chunks of {capacity} tokens cannot overlap by {overlap}"):
            embedder.splitter(capacity, overlap)


def test_a_device_that_is_not_there_is_named() -> None:
    import torch

    if torch.backends.mps.is_available():
        pytest.skip("this machine has mps")
    with pytest.raises(ModelUnavailable, match=r"device .mps. is not there: this machine and its torch have .*cpu"):
        SentenceTransformersEmbedder(MINILM, Settings(device="mps"))


def test_auto_takes_a_device_that_is_there() -> None:
    assert module.chosen_device("auto") in ("cuda", "mps", "cpu")


def broken(
    embedder: SentenceTransformersEmbedder, forward: Any, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> None:
    import dataclasses

    monkeypatch.setattr(embedder, "_loaded", dataclasses.replace(embedder._loaded, forward=forward, **changes))


def test_a_batch_too_large_for_memory_is_embedded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    embedder = SentenceTransformersEmbedder(MINILM, CPU)
    expected, real = embedder.embed_documents(TEXTS), embedder._loaded.forward

    def small(batch: Any) -> Any:
        if len(batch.texts) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(batch)

    broken(embedder, small, monkeypatch)
    assert cosines(embedder.embed_documents(TEXTS), expected).min() > 0.9999


def test_a_model_on_a_gpu_takes_one_batch_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = SentenceTransformersEmbedder(MINILM, CPU)
    expected, threads = embedder.embed_documents(TEXTS), set()
    real = embedder._loaded.forward

    def forward(batch: Any) -> Any:
        threads.add(threading.get_ident())
        return real(batch)

    broken(embedder, forward, monkeypatch, parallel=False, budget=100)
    assert cosines(embedder.embed_documents(TEXTS), expected).min() > 0.9999
    assert threads == {threading.get_ident()}


def test_a_model_that_answers_nan_is_an_unusable_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = SentenceTransformersEmbedder(MINILM, CPU)
    broken(embedder, lambda batch: np.full((len(batch.texts), 384), np.nan, np.float32), monkeypatch)
    with pytest.raises(UnusableEmbedding, match="each of the embeddings 0, 1 contains NaN"):
        embedder.embed_documents(["a", "b"])


def test_a_model_that_fails_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> Any:
        raise RuntimeError("CUDA error: device-side assert triggered")

    embedder = SentenceTransformersEmbedder(MINILM, CPU)
    broken(embedder, fail, monkeypatch)
    with pytest.raises(ModelUnavailable, match="sentence-transformers:all-MiniLM-L6-v2 failed: CUDA error"):
        embedder.embed_query("a")


def test_weights_that_are_not_safetensors_are_one_sentence(tiny_model: TinyModel) -> None:
    folder = tiny_model()
    (folder / "model.safetensors").write_bytes(b"\x80\x04pickled")
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        SentenceTransformersEmbedder(str(folder), CPU)


def test_a_model_is_loaded_once_in_a_process() -> None:
    first = embedders.load(f"sentence-transformers:{MINILM}", CPU)
    assert embedders.load(f"sentence-transformers:{MINILM}", Settings(device="cpu")) is first
    assert embedders.load(f"sentence-transformers:{MINILM}", CPU, dimensions=100) is not first
