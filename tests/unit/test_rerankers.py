"""Rerankers give the scores that the library gives, and load nothing that could run code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semsearch import rerankers
from semsearch.config import Settings
from semsearch.errors import InvalidInput, ModelUnavailable

pytestmark = pytest.mark.model

WORDS = [*"abcdefghijklmnopqrstuvwxyz", "cat", "dog", "sat", "on", "the", "mat", "##s"]
CPU = Settings(device="cpu")
QUERY = "the cat"
TEXTS = ["the cat sat on the mat", "dog", "", "the dog sat", "cat " * 50, "mat", "a b c d e f g"]

Make = Callable[[int], Path]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a folder with a cross-encoder of random weights that reads 20 tokens at most, for a number of labels."""
    made: dict[int, Path] = {}

    def cross_encoder(labels: int) -> Path:
        if labels not in made:
            made[labels] = _save(tmp_path_factory.mktemp("cross-encoder"), labels)
        return made[labels]

    return cross_encoder


def _save(folder: Path, labels: int) -> Path:
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

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
        max_position_embeddings=20,
        initializer_range=0.5,
        num_labels=labels,
    )
    BertForSequenceClassification(shape).save_pretrained(folder)
    BertTokenizerFast(tokenizer_object=tokenizer, do_lower_case=True).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def forget_rerankers() -> Iterator[None]:
    yield
    rerankers._loaded.clear()


def named(folder: Path) -> str:
    return f"sentence-transformers:{folder}"


def predicted(folder: Path, pairs: list[tuple[str, str]]) -> Any:
    """What the library says, one pair at a time."""
    import torch
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), device="cpu", activation_fn=torch.nn.Identity())
    return np.array([model.predict([pair], show_progress_bar=False)[0] for pair in pairs])


@pytest.mark.parametrize("budget", [1, 60, 2048])
def test_scores_are_the_raw_output_of_the_model_in_the_order_of_the_texts(make: Make, budget: int) -> None:
    reranker = rerankers.load(named(make(1)), CPU)
    reranker._budget = budget
    scores = reranker.scores(QUERY, TEXTS)
    assert scores.shape == (len(TEXTS),) and scores.dtype == np.float32
    assert len(set(np.round(scores, 3))) > 5
    assert np.allclose(scores, predicted(make(1), [(QUERY, text) for text in TEXTS]), atol=1e-5)


def test_a_text_longer_than_the_model_reads_is_cut(make: Make) -> None:
    reranker = rerankers.load(named(make(1)), CPU)
    assert reranker.max_tokens == 20
    short, long = reranker.scores(QUERY, ["cat " * 15, "cat " * 400])
    assert short == pytest.approx(long, abs=1e-5)


def test_a_model_saved_by_the_library_is_used_with_its_prompt(make: Make, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    folder = tmp_path / "saved"
    prompts = {"mats": "the mat "}
    CrossEncoder(str(make(1)), device="cpu", prompts=prompts, default_prompt_name="mats").save(str(folder))
    assert (folder / "modules.json").is_file()
    scores = rerankers.load(named(folder), CPU).scores(QUERY, ["dog"])
    assert np.allclose(scores, predicted(folder, [(QUERY, "dog")]), atol=1e-5)
    assert not np.allclose(scores, predicted(make(1), [(QUERY, "dog")]), atol=1e-3)


def test_no_texts_have_no_scores(make: Make) -> None:
    assert rerankers.load(named(make(1)), CPU).scores(QUERY, []).shape == (0,)


def test_a_reranker_is_loaded_once(make: Make) -> None:
    assert rerankers.load(named(make(1)), CPU) is rerankers.load(named(make(1)), CPU)


def test_a_query_that_is_not_unicode_is_refused(make: Make) -> None:
    with pytest.raises(InvalidInput, match="is not valid Unicode"):
        rerankers.load(named(make(1)), CPU).scores("\ud800", TEXTS)


def test_a_model_of_several_labels_is_refused(make: Make) -> None:
    with pytest.raises(InvalidInput, match="gives 3 scores for each text, and hits are ordered by one: choose"):
        rerankers.load(named(make(3)), CPU)


def test_an_embedding_model_is_refused(make: Make, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(make(1), tmp_path / "embeds"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    with pytest.raises(InvalidInput, match="is no cross-encoder, a model that scores a query and a text together"):
        rerankers.load(named(folder), CPU)


def test_a_model_with_code_of_its_own_is_refused(make: Make, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(make(1), tmp_path / "remote"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(ModelUnavailable, match="asks for remote code with 'auto_map': not loaded"):
        rerankers.load(named(folder), CPU)


def test_a_model_with_pickled_weights_only_is_refused(make: Make, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(make(1), tmp_path / "pickled"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match=r"is not the folder of a model: it must hold model\.safetensors"):
        rerankers.load(named(folder), CPU)


def test_broken_weights_are_one_sentence(make: Make, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(make(1), tmp_path / "broken"))
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelUnavailable, match="broken cannot be loaded: "):
        rerankers.load(named(folder), CPU)


def test_a_model_that_is_not_there_says_how_to_get_it() -> None:
    with pytest.raises(ModelUnavailable, match="hf download nobody/nothing"):
        rerankers.load("sentence-transformers:nobody/nothing", CPU)


@pytest.mark.parametrize("name", ["", "cross-encoder/ms-marco-MiniLM-L6-v2", "openai:gpt", "sentence-transformers: "])
def test_a_name_without_a_known_provider_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="name it as provider:name, such as sentence-transformers:cross-encoder/"):
        rerankers.load(name, CPU)


def test_what_the_model_cannot_compute_is_one_error(make: Make) -> None:
    reranker = rerankers.load(named(make(1)), CPU)
    reranker._cross_encoder.to("meta")  # weights without values: torch refuses to compute with them
    with pytest.raises(ModelUnavailable, match="failed: "):
        reranker.scores(QUERY, TEXTS)


def test_a_score_that_is_no_number_is_refused(make: Make) -> None:
    reranker = rerankers.load(named(make(1)), CPU)
    reranker._cross_encoder.model.classifier.bias.data.fill_(float("nan"))  # type: ignore[union-attr]
    with pytest.raises(ModelUnavailable, match="gave a score that is not a number"):
        reranker.scores(QUERY, TEXTS)
