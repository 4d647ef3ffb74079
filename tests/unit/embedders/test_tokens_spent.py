"""Tokens: how many a call has cost, and how many one would."""

from __future__ import annotations

import pytest

from semsearch.embedders import openai_tokens as tokens
from semsearch.embedders import prices
from semsearch.embedders.openai_tokens import OpenAITokenizer
from tests.provider import Provider
from tests.unit.embedders.openai_calls import NAME, connect

PROSE = "To reset your password, open Settings and choose Security, then follow the link in the mail we send you."


def test_what_the_provider_reports_is_told(provider: Provider) -> None:
    embedder = connect(provider)
    provider.rules(tokens=3)
    spent: list[int] = []
    embedder.embed_documents(["a", "b"], spent=spent.append)
    assert spent == [6]


@pytest.mark.parametrize(
    "said", [{}, {"usage": None}, {"usage": {"total_tokens": "6"}}, {"usage": {"total_tokens": -1}}]
)
def test_what_is_not_reported_is_counted(said: dict[str, object], provider: Provider) -> None:
    embedder = connect(provider)
    answer = {"object": "list", "data": [{"index": 0, "embedding": [1.0] * 8}], **said}
    provider.script({"fault": "status", "status": 200, "body": answer, "headers": {"Content-Type": "application/json"}})
    spent: list[int] = []
    embedder.embed_documents(["letters1"], spent=spent.append)
    assert spent == [4]


def test_a_request_that_fails_costs_nothing(provider: Provider) -> None:
    embedder = connect(provider)
    provider.script({"fault": "status", "status": 400, "body": {"error": {"message": "no"}}})
    spent: list[int] = []
    with pytest.raises(Exception, match="no"):
        embedder.embed_documents(["a"], spent=spent.append)
    assert spent == []


@pytest.mark.parametrize("count", [1, 10, 300])
def test_an_estimate_is_nearer_than_the_upper_count(count: int) -> None:
    texts = [f"{number}: {PROSE}" for number in range(count)]
    tokenizer = OpenAITokenizer(NAME)
    exact = sum(tokens.exact(NAME, text) for text in texts)
    assert abs(tokenizer.estimate_tokens(texts) - exact) <= 0.05 * exact
    assert sum(tokenizer.count_tokens(texts)) >= 1.5 * exact


def test_nothing_has_no_tokens() -> None:
    assert OpenAITokenizer(NAME).estimate_tokens([]) == 0
    assert tokens.exact(NAME, "") == 0


def test_the_price_is_that_of_the_list() -> None:
    assert prices.price("openai:text-embedding-3-small", 3_000_000) == pytest.approx(0.06)
    assert prices.price("openai:text-embedding-3-large", 1_000_000) == pytest.approx(0.13)
    assert prices.price("openai:text-embedding-ada-002", 1_000_000) == pytest.approx(0.10)
    assert prices.price("openai:somebody-elses", 1) is None
    assert prices.price("sentence-transformers:all-MiniLM-L6-v2", 10**9) == 0
    assert prices.table()["source"].startswith("https://developers.openai.com/")
