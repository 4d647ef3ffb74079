"""The description of the API: complete, and kept by what answers. schemathesis looks for what breaks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from semsearch.database import Database
from semsearch.web import server
from tests.conftest import ROOT
from tests.integration.hands import MODEL
from tests.integration.web.conftest import NewKey
from tests.provider import Provider

EXAMPLES = "2"  # of each operation and kind, beside those that cover every limit
MISMATCHES = (
    # Rules that JSON Schema has no words for: one of four kinds of question, options that need one another, filters.
    "positive_data_acceptance",
    # A document may be called `delete` or `bulk`: its address answers to more methods than the one that is described.
    "allow_header_conformance",
)
# What is too long is refused before it is read; the shortest deadline may be over before anything is counted.
SETTINGS = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 504]
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 415, 429, 431, 503]
"""
LEFT_OUT = (
    "follow_status",  # has no end
    "drop_collection",  # would leave nothing to try the others on
)


def operations(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            if path.startswith("/v1"):
                yield method, path, operation


def examples(description: dict[str, Any], content: dict[str, Any]) -> Any:
    """Whether a body has an example: of its own, or of what it refers to."""
    schema = content.get("schema", {})
    if "example" in content or "examples" in content or "examples" in schema:
        return True
    names = [each["$ref"].rpartition("/")[2] for each in (schema, *schema.get("anyOf", [])) if "$ref" in each]
    return any("examples" in description["components"]["schemas"][name] for name in names)


def test_every_operation_is_described(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    every = list(operations(description))
    assert len(every) >= 28
    ids = [operation["operationId"] for _, _, operation in every]
    assert len(set(ids)) == len(ids)
    assert all(id.replace("_", "").isalpha() and id == id.lower() for id in ids)
    for method, path, operation in every:
        where = f"{method} {path}"
        assert operation["summary"] and operation["tags"], where
        assert "Needs scope `" in operation["description"], where
        assert operation["security"], where
        assert {"401", "403", "429", "503", "default"} <= set(operation["responses"]), where
        body = operation.get("requestBody")
        if body is not None:
            assert all(examples(description, content) for content in body["content"].values()), where
        for status in ("200", "201", "202"):
            if status in operation["responses"]:
                content = operation["responses"][status]["content"]
                assert all(examples(description, each) for each in content.values()), (where, status)


def test_every_body_has_an_example_that_is_valid(client: TestClient) -> None:
    from semsearch.web.bodies import collections, documents, embeddings, searching
    from semsearch.web.bodies.base import Answer, Body

    for module in (collections, documents, embeddings, searching):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, Body | Answer) and kind not in (Body, Answer):
                shown = kind.model_config.get("json_schema_extra")
                if isinstance(shown, dict):
                    for each in shown["examples"]:
                        kind.model_validate(each, strict=False)


@pytest.fixture
def handbook(model_db: Database) -> None:
    """What the examples of the description speak of."""
    made = model_db.create_collection("handbook", model=MODEL, fields={"year": "integer", "lang": "text"})
    made.put(
        [
            {"id": "guide/install.md", "text": "Install it.", "metadata": {"year": 2024, "lang": "en"}},
            {"id": "passwords.md", "text": "To reset your password, open the settings.", "metadata": {"year": 2020}},
            {"id": "a1", "text": "The sky is blue.", "metadata": {}},
        ]
    )


@pytest.mark.usefixtures("handbook")
def test_no_request_breaks_the_description(
    serve: Callable[..., server.Running], new_key: NewKey, provider: Provider, tmp_path: Path
) -> None:
    provider.rules(odd={"word": "a word that nobody sends", "embedding": []})
    key = new_key("admin")
    url = serve(rate=0, body_seconds=5.0).url
    told, settings = tmp_path / "report.json", tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run", f"{url}/openapi.json"),
        *("--checks", "all", "--exclude-checks", ",".join(MISMATCHES), "--continue-on-failure"),
        *("--max-examples", EXAMPLES, "--phases", "examples,coverage,fuzzing", "--seed", "1", "--no-color"),
        *("--generation-database", "none", "--request-timeout", "30", "-H", f"Authorization: Bearer {key}"),
        *("--report", "json", "--report-json-path", str(told)),
        *(part for id in LEFT_OUT for part in ("--exclude-operation-id", id)),
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.integration.web.fuzz_hooks", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert json.loads(told.read_text())
