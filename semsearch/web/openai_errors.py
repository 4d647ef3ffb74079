"""The problem once more, in the form in which OpenAI's clients look for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ADDRESSES = ("/v1/embeddings", "/v1/models")
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def member(path: str, status: int, code: str, detail: str, members: Mapping[str, Any] | None) -> dict[str, Any]:
    """`error`, of the addresses that speak that protocol; nothing of others.

    >>> member("/v1/models/gpt", 404, "not_found", "no collection uses it.", None)["error"]["type"]
    'invalid_request_error'
    """
    if not path.startswith(ADDRESSES):
        return {}
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    wrong = (members or {}).get("errors") or [{"path": "$"}]
    parameter = wrong[0]["path"].removeprefix("$").removeprefix(".")
    return {"error": {"message": detail, "type": kind, "code": code, "param": parameter or None}}
