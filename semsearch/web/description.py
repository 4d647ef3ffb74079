"""The OpenAPI description: what the framework reads off the routes, and the problems that each may answer with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from semsearch.web.problems import MEDIA_TYPE

METHODS = ("get", "put", "post", "delete", "patch")
PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457). `code` is for programs: the same as the error's in Python.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence for people, with the way out."},
        "code": {"type": "string"},
        "request_id": {"type": "string", "description": "By which the server's log knows the request."},
        "errors": {
            "type": "array",
            "description": "Where the request is not valid, and why.",
            "items": {
                "type": "object",
                "required": ["path", "problem"],
                "properties": {"path": {"type": "string"}, "problem": {"type": "string"}},
            },
        },
        "path": {"type": "string", "description": "Where in a filter."},
        "reasons": {"type": "object", "additionalProperties": {"type": "string"}, "description": "By document."},
        "retry_after": {"type": "number", "description": "Seconds."},
    },
}
EXAMPLES: dict[int, tuple[str, str]] = {
    400: ("invalid_input", "$.top_k: Input should be less than or equal to 1000."),
    401: ("unauthorized", "this key is expired."),
    403: ("forbidden", "this needs a key with scope 'write'; the one that was given has 'read'."),
    404: ("not_found", "collection 'handbok' does not exist. Did you mean 'handbook'?"),
    408: ("too_slow", "the body did not arrive in time (10 s)."),
    409: ("conflict", "collection 'handbook' exists already."),
    412: ("precondition_failed", "document 'a1' has changed: read it again."),
    413: ("too_large", "the body is larger than 1 MB, which is the most that is read here."),
    415: ("unsupported_media", "bodies are read as they are: send this one without Content-Encoding."),
    429: ("too_many_requests", "this key may make 50 requests a second, 100 at once."),
    503: ("overloaded", "8 searches are running already; try again in a moment."),
    504: ("deadline_exceeded", "the search took longer than 5 s."),
}


def complete(schema: dict[str, Any]) -> dict[str, Any]:
    """The same description, with the problems of every operation; the framework's own form of them is left out."""
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM
    components["responses"] = {_name(status): _response(status) for status in EXAMPLES}
    components["responses"]["Problem"] = {
        "description": "Any other problem.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path in schema.get("paths", {}).values():
        for method, operation in path.items():
            if method in METHODS:
                _add_problems(operation)
    return schema


def _add_problems(operation: dict[str, Any]) -> None:
    answers = operation.setdefault("responses", {})
    answers.pop("422", None)
    for status in _statuses(operation):
        answers.setdefault(str(status), {"$ref": f"#/components/responses/{_name(status)}"})
    answers.setdefault("default", {"$ref": "#/components/responses/Problem"})


def _statuses(operation: Mapping[str, Any]) -> Iterator[int]:
    if "parameters" in operation or "requestBody" in operation:
        yield from (400, 404)
    if "security" in operation:
        yield from (401, 403, 429, 503, 504)
    if "requestBody" in operation:
        yield from (408, 409, 413, 415)


def _name(status: int) -> str:
    return HTTPStatus(status).phrase.title().replace(" ", "").replace("-", "")


def _response(status: int) -> dict[str, Any]:
    code, detail = EXAMPLES[status]
    phrase = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": phrase, "status": status, "detail": detail, "code": code}
    content = {
        "schema": {"$ref": "#/components/schemas/Problem"},
        "example": {**body, "request_id": "4f1c0a9be2d37c58"},
    }
    described: dict[str, Any] = {"description": phrase, "content": {MEDIA_TYPE: content}}
    if status in (429, 503):
        told = {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}
        described["headers"] = {"Retry-After": told}
    return described
