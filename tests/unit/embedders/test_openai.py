"""The OpenAI embedder with the real client over real HTTP, against a server that fails as providers do."""

from __future__ import annotations

import base64
import gc
import json
import logging
import socket
import threading
import traceback
from typing import Any

import numpy as np
import pytest

from semsearch.embedders import openai_tokens as tokens
from semsearch.embedders.openai import OpenAIEmbedder
from semsearch.embedders.openai_faults import Caller, judge, retry_after
from semsearch.errors import InvalidInput, ModelUnavailable, ProviderBusy, SemsearchError, UnusableEmbedding
from tests.provider import DIMENSIONS, Provider, vector
from tests.unit.embedders.openai_calls import KEY, NAME, connect, limit, settings


@pytest.fixture
def waits() -> list[float]:
    return []


# What goes well


def test_texts_become_their_own_embeddings_in_order(provider: Provider) -> None:
    embedder = connect(provider)
    texts = ["a", "b", "a", "ü 漢字"]
    found = embedder.embed_documents(texts)
    assert found.dtype == np.float32
    assert np.array_equal(found, [vector(text) for text in texts])
    assert np.array_equal(embedder.embed_query("b"), vector("b"))
    assert embedder.embed_documents([]).shape == (0, DIMENSIONS)


def test_one_short_text_is_embedded_first_to_learn_the_dimensions(provider: Provider) -> None:
    embedder = OpenAIEmbedder(NAME, settings(provider.url))
    (probe,) = provider.calls
    assert (probe["model"], probe["inputs"], probe["encoding_format"]) == (NAME, ["semsearch"], "base64")
    assert "dimensions" not in probe
    assert embedder.dimensions == DIMENSIONS
    assert embedder.model == "openai:text-embedding-3-small"
    assert embedder.fingerprint == f"openai {NAME} {DIMENSIONS} {provider.address}"


def test_asked_dimensions_are_sent_and_part_of_the_fingerprint(provider: Provider) -> None:
    embedder = OpenAIEmbedder(NAME, settings(provider.url), dimensions=4)
    assert embedder.embed_documents(["a"]).shape == (1, 4)
    assert [call["dimensions"] for call in provider.calls] == [4, 4]
    assert " 4 " in embedder.fingerprint


def test_dimensions_are_not_sent_to_a_model_that_cannot_shorten(provider: Provider) -> None:
    embedder = OpenAIEmbedder("text-embedding-ada-002", settings(provider.url), dimensions=DIMENSIONS)
    assert embedder.dimensions == DIMENSIONS
    with pytest.raises(InvalidInput, match=r"ada-002 gives 8 dimensions, not 4"):
        OpenAIEmbedder("text-embedding-ada-002", settings(provider.url), dimensions=4)
    assert all("dimensions" not in call for call in provider.calls)


def test_a_server_that_ignores_base64_is_understood(provider: Provider) -> None:
    embedder = connect(provider)
    provider.rules(floats=True)
    assert np.array_equal(embedder.embed_documents(["a", "b"]), [vector("a"), vector("b")])


def test_answers_are_matched_by_index(provider: Provider) -> None:
    embedder = connect(provider)
    provider.script({"fault": "items", "change": "reorder"})
    assert np.array_equal(embedder.embed_documents(["a", "b", "c"]), [vector("a"), vector("b"), vector("c")])


def test_threads_may_share_an_embedder(provider: Provider) -> None:
    embedder = connect(provider)
    found: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: embedder.embed_query(str(i))}))  # type: ignore[misc]
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[i], vector(str(i))) for i in range(8))


def test_a_forgotten_embedder_closes_its_connection(provider: Provider, recwarn: pytest.WarningsRecorder) -> None:
    embedder = connect(provider)
    client = embedder._client
    del embedder
    gc.collect()
    assert client.is_closed()
    assert not recwarn.list


# Limits


def test_requests_keep_to_2048_inputs(provider: Provider) -> None:
    embedder = connect(provider)
    texts = [str(number) for number in range(4100)]
    found = embedder.embed_documents(texts)
    assert [len(call["inputs"]) for call in provider.calls] == [2048, 2048, 4]
    assert np.array_equal(found[4099], vector("4099"))


def test_requests_keep_to_the_tokens_of_a_request() -> None:
    # 10,000 bytes are counted as 5,000 tokens: 54 texts make 270,000.
    text = "word " * 2000
    assert tokens.count(text) == 5000
    assert [len(batch) for batch in tokens.batches(NAME, [text] * 110)] == [54, 54, 2]


def test_an_input_that_is_too_long_is_cut_and_the_others_are_not(provider: Provider) -> None:
    embedder = connect(provider)
    long = "word " * 20_000
    found = embedder.embed_documents(["before", long, "after"])
    before, cut, after = provider.calls[0]["inputs"]
    assert (before, after) == ("before", "after")
    assert long.startswith(cut)
    assert tokens.fits(NAME, cut, 8191)
    assert not tokens.fits(NAME, cut, 8191 * 7 // 8 - 1)
    assert np.array_equal(found[1], vector(cut))


def test_an_input_that_just_fits_is_not_cut() -> None:
    text = "word " * 8000  # a token a word, and one for the last space
    assert tokens.cut(NAME, text) == text


def test_a_request_that_is_still_too_large_is_halved_until_it_fits(provider: Provider) -> None:
    embedder = connect(provider)
    texts = ["x" * 10 + str(number) for number in range(8)]
    provider.rules(max_characters=25)
    assert np.array_equal(embedder.embed_documents(texts), [vector(text) for text in texts])
    assert max(len(call["inputs"]) for call in provider.calls[3:]) <= 4
    assert [len(call["inputs"]) for call in provider.calls].count(2) == 4


def test_one_text_that_is_too_long_for_the_server_is_refused(provider: Provider) -> None:
    embedder = connect(provider)
    provider.rules(max_characters=25)
    with pytest.raises(
        InvalidInput, match="too long for openai:text-embedding-3-small: use a smaller chunk size"
    ) as caught:
        embedder.embed_documents(["x" * 26])
    assert type(caught.value) is InvalidInput


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "👩",
        "hello world",
        "漢字仮名交文" * 30,
        "👩‍👩‍👧‍👦" * 20,
        "1234567890" * 20,
        "\u1200\u1201" * 50,
        " " * 300,
        "\n" * 300,
    ],
)
def test_token_counts_are_never_too_small(text: str) -> None:
    counted = OpenAIEmbedder.count_tokens(_unconnected(), [text])[0]
    assert tokens.fits(NAME, text, counted)
    assert counted <= len(text.encode())


@pytest.mark.parametrize(("text", "count"), [("hello world", 2), ("tiktoken is great!", 6), ("", 0)])
def test_tokens_are_those_of_cl100k_base(text: str, count: int) -> None:
    # The counts are those of https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken.
    assert tokens.fits(NAME, text, count)
    assert not text or not tokens.fits(NAME, text, count - 1)


def test_the_splitter_counts_tokens_and_knows_markdown() -> None:
    embedder = _unconnected()
    text = "# One\n\n" + "word " * 30 + "\n\n# Two\n\n" + "word " * 30
    for markdown in (False, True):
        pieces = embedder.splitter(40, 0, markdown=markdown).chunk_indices(text)
        assert all(tokens.fits(NAME, piece, 40) for _, piece in pieces)
    assert pieces[1][1].startswith("# Two")


def test_the_tokens_of_an_unknown_model_are_approximated() -> None:
    assert tokens.fits("nomic-embed-text", "hello world", 2)


def test_half_a_character_is_refused_before_anything_is_sent(provider: Provider) -> None:
    embedder = connect(provider)
    with pytest.raises(InvalidInput, match="lone surrogate"):
        embedder.embed_documents(["fine", "half \ud83d"])
    assert provider.calls == []


def _unconnected() -> OpenAIEmbedder:
    embedder = OpenAIEmbedder.__new__(OpenAIEmbedder)
    embedder._name = NAME
    return embedder


# A provider that is busy or failing

PASSING = {
    "429": {"fault": "status", "status": 429},
    "408": {"fault": "status", "status": 408},
    "500": {"fault": "status", "status": 500},
    "502 in HTML": {
        "fault": "status",
        "status": 502,
        "body": "<html>Bad Gateway",
        "headers": {"Content-Type": "text/html"},
    },
    "503": {"fault": "status", "status": 503, "body": ""},
    "504": {"fault": "status", "status": 504},
    "hang": {"fault": "hang"},
    "drip": {"fault": "drip"},
    "reset": {"fault": "reset"},
    "truncated JSON": {"fault": "raw", "cut": True},
    "HTML": {"fault": "raw", "body": "<html>", "content_type": "text/html"},
    "wrong type": {"fault": "raw", "content_type": "text/plain"},
    "deep JSON": {"fault": "raw", "body": "[" * 100_000},
    "error as success": {"fault": "raw", "body": '{"error": {"message": "overloaded"}}'},
    "gzip bomb": {"fault": "bomb"},
    "gzip bomb as an error": {"fault": "bomb", "status": 503},
    "flood": {"fault": "flood"},
}


@pytest.mark.parametrize("kind", PASSING)
def test_what_passes_is_tried_again(kind: str, provider: Provider, waits: list[float]) -> None:
    embedder = connect(provider)
    patient = embedder._client

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:  # the try that is answered well may take its time
            embedder._client = patient

    embedder._wait = wait
    if kind in ("hang", "drip"):
        limit(embedder, provider, 1.0)
    provider.script(PASSING[kind], PASSING[kind])
    assert np.array_equal(embedder.embed_documents(["a"]), [vector("a")])
    assert len(provider.calls) == 3
    # Full jitter: the first wait is up to a second, the second up to two.
    assert len(waits) == 2
    assert 0 <= waits[0] <= 1
    assert 0 <= waits[1] <= 2


@pytest.mark.parametrize("kind", PASSING)
def test_what_does_not_pass_is_given_up_after_three_tries(kind: str, provider: Provider, waits: list[float]) -> None:
    embedder = connect(provider, waits)
    if kind in ("hang", "drip"):
        limit(embedder, provider, 1.0)
    provider.script(*[PASSING[kind]] * 3)
    with pytest.raises(ProviderBusy) as caught:
        embedder.embed_documents(["a"])
    assert len(provider.calls) == 3
    assert len(waits) == 2
    assert caught.value.retry_after is None


def test_retry_after_in_seconds_is_heeded(provider: Provider, waits: list[float]) -> None:
    embedder = connect(provider, waits)
    provider.script({"fault": "status", "status": 429, "headers": {"Retry-After": "7"}})
    embedder.embed_documents(["a"])
    assert 7 <= waits[0] <= 8


def test_a_retry_after_that_is_too_far_away_is_told_at_once(provider: Provider, waits: list[float]) -> None:
    embedder = connect(provider, waits)
    # The year 3000, as a date: longer than anyone should wait inside a call.
    header = "Wed, 01 Jan 3000 00:00:00 GMT"
    provider.script({"fault": "status", "status": 429, "headers": {"Retry-After": header}})
    with pytest.raises(ProviderBusy) as caught:
        embedder.embed_documents(["a"])
    assert (caught.value.retry_after or 0) > 24 * 3600
    assert waits == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("1.5", 1.5),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("nan", None),
        ("Wed, 21 Oct 99999999999 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}) == seconds
    assert retry_after({}) is None


def test_nobody_listening_is_a_busy_provider(waits: list[float]) -> None:
    with socket.socket() as taken:  # bound, so that nobody else gets the port, but not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ProviderBusy, match=f"127.0.0.1:{port} cannot be reached"):
            OpenAIEmbedder(NAME, settings(f"http://127.0.0.1:{port}/v1"), wait=waits.append)
    assert len(waits) == 2


def test_each_wait_is_one_line_in_the_log(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    embedder = connect(provider)
    provider.script({"fault": "status", "status": 503}, {"fault": "status", "status": 503})
    with caplog.at_level(logging.INFO, "semsearch"):
        embedder.embed_documents(["a"])
    assert len([record for record in caplog.records if record.name.startswith("semsearch")]) == 2


# What will not pass by itself

FINAL: dict[str, tuple[dict[str, Any], type[SemsearchError], str]] = {
    "401": (
        {"status": 401, "body": {"error": {"message": "Incorrect API key provided: {key}."}}},
        ModelUnavailable,
        "OPENAI_API_KEY",
    ),
    "403": ({"status": 403}, ModelUnavailable, "does not allow this key"),
    "404": (
        {"status": 404, "body": {"error": {"code": "model_not_found"}}},
        ModelUnavailable,
        "does not have the model",
    ),
    "404 in HTML": ({"status": 404, "body": "<html>"}, ModelUnavailable, "OPENAI_BASE_URL"),
    "400 model": ({"status": 400, "body": {"error": {"param": "model"}}}, ModelUnavailable, "check model name"),
    "400 dimensions": (
        {"status": 400, "body": {"error": {"message": "This model does not support specifying dimensions."}}},
        ModelUnavailable,
        "dimensions",
    ),
    "400 unknown parameter": (
        {"status": 400, "body": {"error": {"code": "unknown_parameter"}}},
        ModelUnavailable,
        "settings",
    ),
    "400 other": ({"status": 400, "body": "[1]"}, InvalidInput, "does not take the text"),
    "402": ({"status": 402}, ModelUnavailable, "402"),
    "quota": (
        {"status": 429, "headers": {"Retry-After": "1"}, "body": {"error": {"code": "insufficient_quota"}}},
        ModelUnavailable,
        "no quota left",
    ),
}


@pytest.mark.parametrize("kind", FINAL)
def test_what_needs_a_person_is_said_at_once(kind: str, provider: Provider, waits: list[float]) -> None:
    fault, error, message = FINAL[kind]
    provider.script({"fault": "status", **fault})
    with pytest.raises(error, match=message) as caught:
        OpenAIEmbedder(NAME, settings(provider.url), wait=waits.append)
    assert type(caught.value) is error
    assert len(provider.calls) == 1
    assert waits == []
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None, "the client's error holds the key in its request"


def test_a_text_the_server_does_not_take_fails_the_call_without_a_second_try(provider: Provider) -> None:
    embedder = connect(provider)
    provider.rules(poison="BAD")
    with pytest.raises(InvalidInput, match="does not take the text"):
        embedder.embed_documents(["fine", "BAD", "fine"])
    assert len(provider.calls) == 1
    assert len(embedder.embed_documents(["fine"])) == 1


def test_a_long_refusal_is_shortened() -> None:
    error = judge(400, {"message": "x" * 5000}, {}, Caller("openai:m", "https://here", KEY))
    assert len(str(error)) < 400


def test_a_request_beyond_the_tokens_of_a_minute_is_halved(provider: Provider) -> None:
    message = "Request too large for test-model on tokens per min (TPM): Limit 40, Requested 90."
    body = {"error": {"message": message, "type": "tokens", "code": "rate_limit_exceeded"}}
    embedder = connect(provider)
    provider.script({"fault": "status", "status": 429, "body": body})
    assert len(embedder.embed_documents(["one", "two"])) == 2
    assert [call["inputs"] for call in provider.calls[-3:]] == [["one", "two"], ["one"], ["two"]]


def test_a_request_that_is_too_large_in_bytes_is_halved(provider: Provider) -> None:
    embedder = connect(provider)
    provider.script({"fault": "status", "status": 413, "body": "<html>"})
    assert np.array_equal(embedder.embed_documents(["a", "b"]), [vector("a"), vector("b")])
    assert [len(call["inputs"]) for call in provider.calls] == [2, 1, 1]


# Answers that are no embeddings


@pytest.mark.parametrize("change", ["fewer", "more", "duplicate", "missing", "negative"])
def test_a_wrong_index_or_count_fails_the_whole_call(change: str, provider: Provider) -> None:
    embedder = connect(provider)
    provider.script({"fault": "items", "change": change})
    with pytest.raises(UnusableEmbedding):
        embedder.embed_documents(["a", "b", "c"])
    assert len(provider.calls) == 1


UNUSABLE = {
    "NaN": "[NaN, 1, 1, 1, 1, 1, 1, 1]",
    "infinity": "[Infinity, 1, 1, 1, 1, 1, 1, 1]",
    "1e39": "[1e39, 1, 1, 1, 1, 1, 1, 1]",
    "more than a float": "[1" + "0" * 400 + ", 1, 1, 1, 1, 1, 1, 1]",
    "zero": "[0, 0, 0, 0, 0, 0, 0, 0]",
    "too few": "[1, 1]",
    "none": "[]",
    "null": "null",
    "strings": '["1", "1", "1", "1", "1", "1", "1", "1"]',
    "booleans": "[true, 1, 1, 1, 1, 1, 1, 1]",
    "nested": "[[1, 1, 1, 1, 1, 1, 1, 1]]",
    "base64 of 33 bytes": json.dumps(base64.b64encode(bytes(33)).decode()),
    "base64 of nothing": '""',
    "not base64": '"?!"',
    "NaN in base64": json.dumps(base64.b64encode(np.full(8, np.nan, np.float32).tobytes()).decode()),
    "zero in base64": json.dumps(base64.b64encode(bytes(32)).decode()),
    "double precision in base64": json.dumps(base64.b64encode(np.ones(8).tobytes()).decode()),
}


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.parametrize("texts", [["a"], ["a", "b"]], ids=["alone", "beside another"])
def test_a_vector_that_cannot_be_used_fails_the_whole_call(kind: str, texts: list[str], provider: Provider) -> None:
    embedder = connect(provider)
    provider.script({"fault": "embedding", "embedding": UNUSABLE[kind]})
    with pytest.raises(UnusableEmbedding):
        embedder.embed_documents(texts)


def test_an_unusable_vector_is_found_when_the_model_is_probed(provider: Provider) -> None:
    provider.script({"fault": "embedding", "embedding": UNUSABLE["zero"]})
    with pytest.raises(UnusableEmbedding, match="zero"):
        OpenAIEmbedder(NAME, settings(provider.url))
