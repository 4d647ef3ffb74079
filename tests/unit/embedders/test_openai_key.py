"""The key goes to one address, and nowhere else: not into a log, an error, a redirect or a proxy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from semsearch.embedders.openai import OpenAIEmbedder
from semsearch.embedders.openai_http import base_url, origin
from semsearch.errors import InvalidInput, ModelUnavailable
from tests.provider import Provider
from tests.unit.embedders.openai_calls import KEY, NAME, settings


@pytest.mark.parametrize("key", [None, "", "   "])
def test_no_key_says_which_variable_to_set(key: str | None) -> None:
    with pytest.raises(ModelUnavailable, match="set the environment variable OPENAI_API_KEY"):
        OpenAIEmbedder(NAME, settings(None, key))


@pytest.mark.parametrize("key", ["sk-ä", "sk-a\nb", "sk a"])
def test_a_key_that_cannot_be_one_is_refused(key: str) -> None:
    with pytest.raises(ModelUnavailable, match="OPENAI_API_KEY has characters") as caught:
        OpenAIEmbedder(NAME, settings(None, key))
    assert key not in str(caught.value)


def test_the_key_does_not_follow_a_redirect(provider: Provider) -> None:
    with Provider.start() as thief:
        provider.script({"fault": "status", "status": 307, "headers": {"Location": f"{thief.url}/embeddings"}})
        with pytest.raises(ModelUnavailable, match="redirects"):
            OpenAIEmbedder(NAME, settings(provider.url))
        assert thief.calls == []
    assert [call["authorization"] for call in provider.calls] == [f"Bearer {KEY}"]


def test_the_proxy_of_the_environment_gets_nothing(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    with Provider.start() as proxy:
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(variable, proxy.address)
        OpenAIEmbedder(NAME, settings(provider.url))
        assert proxy.calls == []


@pytest.mark.parametrize(
    "url",
    [
        "http://api.openai.com/v1",
        "http://127.0.0.1.example.com/v1",
        "http://localhost.example.com/v1",
        "http://2130706433/v1",
        "http://0x7f.1/v1",
        "http://[::ffff:169.254.169.254]/v1",
        "http://169.254.169.254/v1",
        "https://user:password@api.openai.com/v1",
        "https://api.openai.com\\@example.com/v1",
        "https://@example.com/v1",
        "https://api.openai.com/v1?key=1",
        "https://api.openai.com/v1#x",
        "https://api.openai.com:port/v1",
        "https://[::1/v1",
        "https:///v1",
        "ftp://api.openai.com/v1",
        "file:///etc/passwd",
        "api.openai.com/v1",
    ],
)
def test_an_address_that_would_show_the_key_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="OPENAI_BASE_URL"):
        OpenAIEmbedder(NAME, settings(url))


@pytest.mark.parametrize(
    ("url", "called", "named"),
    [
        (None, "https://api.openai.com/v1", "https://api.openai.com"),
        ("https://Example.com:443/api/", "https://Example.com:443/api/", "https://example.com"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1", "http://localhost:8000"),
        ("http://[::1]:8000", "http://[::1]:8000", "http://[::1]:8000"),
        ("https://exa\r\nmple.com/v1", "https://example.com/v1", "https://example.com"),
    ],
)
def test_addresses_that_are_called(url: str | None, called: str, named: str) -> None:
    assert base_url(url) == called
    assert origin(called) == named


CANARY = """
import logging, sys, traceback
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
from pathlib import Path
from semsearch.config import Settings
from semsearch.embedders.openai import OpenAIEmbedder
settings = Settings()
embedder = OpenAIEmbedder("text-embedding-3-small", settings, wait=print)
print(embedder, repr(embedder), embedder.fingerprint, settings)
for _ in range(3):
    try:
        embedder.embed_documents(["a"])
    except Exception:
        traceback.print_exc()
print("done")
"""


def test_the_key_is_in_no_log_error_or_repr_even_when_all_is_logged(provider: Provider) -> None:
    echo = {"error": {"message": "wrong key {key}", "type": "{key}", "param": "{key}"}}
    provider.script(
        {"fault": "none"},
        {"fault": "status", "status": 429, "body": echo},
        {"fault": "none"},
        {"fault": "status", "status": 401, "body": echo},
        {"fault": "status", "status": 400, "body": echo},
    )
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": provider.url, "OPENAI_LOG": "debug", "HOME": "/nowhere"}
    ran = subprocess.run(
        [sys.executable, "-c", CANARY],
        env={**os.environ, **environment, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "\ndone\n" in ran.stdout, ran.stderr
    assert "DEBUG:openai" in ran.stdout
    assert "DEBUG:httpcore" in ran.stdout
    assert "[key]" in ran.stderr
    assert len(provider.calls) == 5
    assert KEY not in ran.stdout + ran.stderr
