"""What goes wrong is told in one form, with the codes of the command line, and without what is nobody's business."""

from __future__ import annotations

import logging
from typing import Any

import httpx2
import pytest

from semsearch.errors import SemsearchError
from semsearch.web.problems import STATUSES
from tests.integration.web.conftest import Client, NewKey

pytestmark = pytest.mark.usefixtures("probed")

FAILURES = {
    "filter": (400, "invalid_filter", {"path": "$.year"}),
    "ingest": (400, "ingest_failed", {"reasons": {"a": "too long"}}),
    "busy": (503, "provider_busy", {"retry_after": 2.2}),
    "database": (503, "database_unavailable", {}),
    "model": (503, "model_unavailable", {}),
    "deadline": (504, "deadline_exceeded", {}),
    "precondition": (412, "precondition_failed", {}),
    "surrogate": (404, "not_found", {}),
    "unforeseen": (500, "internal_error", {}),
    "recursion": (400, "invalid_input", {}),
}


def problem(answer: httpx2.Response) -> dict[str, Any]:
    """The problem in an answer, which has all that every problem has."""
    told: dict[str, Any] = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (told["status"], told["request_id"]) == (answer.status_code, answer.headers["x-request-id"])
    assert {"type", "title", "detail", "code"} <= told.keys()
    return told


@pytest.mark.parametrize("how", FAILURES)
def test_errors_have_their_status_code_and_members(how: str, connect: Client, caplog: pytest.LogCaptureFixture) -> None:
    status, code, members = FAILURES[how]
    with caplog.at_level(logging.INFO, "semsearch.web"):
        answer = connect().get(f"/probe/fails/{how}")
    told = problem(answer)
    assert (answer.status_code, told["code"]) == (status, code)
    assert members.items() <= told.items()
    assert ("retry-after" in answer.headers) == (status == 503)
    if how == "unforeseen":
        assert "canary" not in answer.text
        logged = next(record for record in caplog.records if record.message == "unforeseen")
        assert logged.exc_info
        assert logged.fields == {"request_id": told["request_id"]}  # type: ignore[attr-defined]


def test_every_error_of_ours_has_a_status() -> None:
    def below(kind: type[SemsearchError]) -> set[type[SemsearchError]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    statuses = {
        kind.__name__: next(STATUSES[one] for one in kind.__mro__ if one in STATUSES) for kind in below(SemsearchError)
    }
    assert [name for name, status in statuses.items() if status == 500] == ["SemsearchError"]


def test_only_administrators_are_told_of_servers_and_accounts(connect: Client, new_key: NewKey) -> None:
    reader, admin = connect(new_key("read")), connect(new_key("admin"))
    for how in ("database", "model"):
        assert "canary" not in problem(reader.get(f"/probe/fails/{how}"))["detail"]
        assert "canary" in problem(admin.get(f"/probe/fails/{how}"))["detail"]


def test_a_body_that_is_not_valid_is_explained_and_not_repeated(connect: Client) -> None:
    client = connect()
    answer = client.post("/probe/search", json={"top_k": 2000, "texts": ["a", {"key": "canary"}], "canary_key" * 30: 1})
    told = problem(answer)
    assert (answer.status_code, told["code"]) == (400, "invalid_input")
    paths = [error["path"] for error in told["errors"]]
    assert paths[:2] == ["$.top_k", "$.texts[1]"]
    assert len(paths[2]) < 110
    assert "'canary'" not in answer.text and '"canary"' not in answer.text
    many = problem(client.post("/probe/search", json={"texts": [1] * 500}))
    assert len(many["errors"]) == 20
    missing = problem(client.get("/probe/text"))
    assert missing["errors"] == [{"path": "query.length", "problem": "Field required"}]
    for content, kind in ((b"", "application/json"), (b'{"top_k": ', "application/json")):
        answer = client.post("/probe/search", content=content, headers={"content-type": kind})
        assert problem(answer)["code"] == "invalid_input"


def test_addresses_and_methods_that_are_not_there(connect: Client) -> None:
    client = connect()
    assert problem(client.get("/nowhere"))["code"] == "not_found"
    assert problem(client.get("/healthz/"))["code"] == "not_found"
    refused = client.delete("/probe/search")
    assert problem(refused)["code"] == "method_not_allowed"
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    asked = client.request("OPTIONS", "/probe/search")
    assert (asked.status_code, asked.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert problem(client.request("NONSENSE", "/probe/search"))["code"] == "method_not_allowed"
    head = client.head("/probe/text?length=5")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "16")


@pytest.mark.parametrize("path", ["documents/caf%E9", "files/%ED%A0%80.md", "search?q=%FF%FE", "documents?%E9=1"])
def test_an_address_that_is_not_utf_8_is_refused(path: str, served: httpx2.Client) -> None:
    for method in ("GET", "PUT", "DELETE"):
        told = problem(served.request(method, f"/v1/collections/things/{path}"))
        assert (told["status"], told["code"]) == (400, "invalid_input"), method
    written = served.get("/v1/collections/things/documents/%EF%BF%BD?tenant=%EF%BF%BD")  # the character itself
    assert problem(written)["code"] == "not_found"


def test_head_is_no_failure(served: httpx2.Client, connect: Client, caplog: pytest.LogCaptureFixture) -> None:
    for client in (served, connect()):
        for path in ("/", "/healthz", "/metrics", "/probe/text?length=5000", "/probe/events", "/v1/collections"):
            assert client.head(path).status_code == 200, path
        assert client.head("/v1/collections/none").status_code == 404
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_half_an_answer_is_broken_off(served: httpx2.Client) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        served.get("/probe/breaks")
    assert served.get("/healthz").status_code == 200


def test_the_description_tells_the_problems_of_every_operation(connect: Client) -> None:
    described = connect().get("/openapi.json").json()
    operations = [op for path in described["paths"].values() for op in path.values()]
    assert all("default" in op["responses"] and "422" not in op["responses"] for op in operations)
    search = described["paths"]["/probe/search"]["post"]
    assert {"400", "401", "403", "404", "408", "413", "415", "429", "503", "504"} <= search["responses"].keys()
    assert search["security"] == [{"HTTPBearer": []}]
    for response in described["components"]["responses"].values():
        assert response["content"]["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
