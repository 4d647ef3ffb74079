"""Every error as `application/problem+json` (RFC 9457), with the codes that the command line and Python have.

{"type": "about:blank", "title": "Not Found", "status": 404, "detail": "collection 'handbok' does not exist. ...",
 "code": "not_found", "request_id": "4f1c..."}
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from semsearch.errors import (
    Conflict,
    DatabaseUnavailable,
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    ModelUnavailable,
    NotFound,
    Overloaded,
    PreconditionFailed,
    SemsearchError,
    TooLarge,
    TooManyRequests,
    TooSlow,
    Unauthorized,
    UnsupportedMedia,
)
from semsearch.store import complaints
from semsearch.web import exchange, openai_errors

MEDIA_TYPE = "application/problem+json"
STATUSES: dict[type[SemsearchError], int] = {
    InvalidInput: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    TooSlow: 408,
    Conflict: 409,
    PreconditionFailed: 412,
    TooLarge: 413,
    UnsupportedMedia: 415,
    TooManyRequests: 429,
    SemsearchError: 500,
    DatabaseUnavailable: 503,
    ModelUnavailable: 503,
    Overloaded: 503,
    DeadlineExceeded: 504,
}
# Of what the framework refuses by itself.
CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media", 431: "too_large"}
SHOWN_ERRORS = 20
LONGEST_DETAIL = 2000
RETRY_AFTER = 5.0  # seconds, where nobody said when it will be better

log = logging.getLogger("semsearch.web")


class Problems:
    """Middleware that answers with the problem when what it surrounds raises."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            exchange.of(scope).error = "disconnected"
        except Exception as error:
            response = answer(scope, error)
            if started:
                raise  # half an answer can only be broken off
            await response(scope, receive, send)


def answer(scope: MutableMapping[str, Any], error: Exception) -> Response:
    """The response to a failure; what nobody foresaw is logged with its traceback, and shown without any detail."""
    meant = meaning(error)
    if meant is None:
        _log("unforeseen", scope, error)
        return problem(scope, 500, "internal_error", "this was not foreseen; the log of the server has it.")
    return problem(scope, status(meant), meant.code, _detail(scope, meant), _members(meant), _headers(meant))


def meaning(error: Exception) -> SemsearchError | None:
    """The error as one of ours; None: nobody foresaw it."""
    if isinstance(error, SemsearchError):
        return error
    if isinstance(error, NoConnection):
        return Overloaded("all connections to the database are in use; try again in a moment.")
    if isinstance(error, RecursionError):
        return InvalidInput("what was sent is nested too deeply.")
    return complaints.translate(error) if complaints.is_from_database(error) else None


def status(error: SemsearchError) -> int:
    """The HTTP status of an error of ours."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def problem(
    scope: MutableMapping[str, Any],
    status: int,
    code: str,
    detail: str,
    members: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response; half surrogates from a request are escaped, as all that is not ASCII."""
    found = exchange.of(scope)
    found.error = code
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail[:LONGEST_DETAIL],
        "code": code,
        "request_id": found.request_id,
        **(members or {}),
        **openai_errors.member(scope["path"], status, code, detail[:LONGEST_DETAIL], members),
    }
    return Response(json.dumps(body, default=str), status, dict(headers or {}), MEDIA_TYPE)


def head_too_large(limit: int) -> str:
    return f"the address and the headers are larger than {limit / 1024:g} kB."


def register(app: FastAPI) -> None:
    """What the framework itself refuses is said in the same form."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, SemsearchError):  # of a layer, met while the body was read
            return answer(request.scope, error.__cause__)
        code, detail = CODES.get(error.status_code, "invalid_input"), str(error.detail)
        if error.status_code == 404 and detail == HTTPStatus.NOT_FOUND.phrase:
            detail = "there is nothing at this address; /openapi.json lists what there is."
        if error.status_code == 405:
            detail = f"{request.method:.20} is not possible at this address."
        return problem(request.scope, error.status_code, code, detail, headers=error.headers)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = list(_described(error.errors()))
        first = f"{found[0]['path']}: {found[0]['problem']}" if found else "the request is not valid"
        return problem(request.scope, 400, InvalidInput.code, f"{first}.", {"errors": found})

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, invalid)


def _described(errors: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, str]]:
    """Where and why, without what was sent: it may be huge, or a secret."""
    for each in list(errors)[:SHOWN_ERRORS]:
        said = str(each["msg"]).removeprefix("Value error, ").rstrip(".")
        yield {"path": _path(each["loc"]), "problem": said[:300]}


def _path(location: Iterable[object]) -> str:
    """`$.documents[0].text` inside a body, `query.top_k` and the like elsewhere."""
    place, *steps = location
    told = "".join(f"[{step}]" if isinstance(step, int) else f".{step!s:.100}" for step in steps[:20])
    return ("$" if place == "body" else str(place)) + told


def _detail(scope: MutableMapping[str, Any], error: SemsearchError) -> str:
    """What went wrong. Only an administrator is told what names servers, accounts and settings."""
    if not isinstance(error, DatabaseUnavailable | ModelUnavailable):
        return str(error)
    _log("unavailable", scope, error)
    caller = exchange.of(scope).caller
    if caller is not None and caller.scope == "admin":
        return str(error)
    which = "database" if isinstance(error, DatabaseUnavailable) else "model"
    return f"the {which} cannot be used at the moment; the log of the server says why."


def _members(error: SemsearchError) -> dict[str, Any]:
    """What else the error tells programs."""
    told = {name: getattr(error, name, None) for name in ("path", "reasons", "retry_after")}
    return {name: value for name, value in told.items() if value is not None}


def _headers(error: SemsearchError) -> dict[str, str]:
    if isinstance(error, Unauthorized):
        return {"www-authenticate": 'Bearer realm="semsearch"'}
    if isinstance(error, TooLarge | TooSlow):
        return {"connection": "close"}  # what is still to come is not read
    if status(error) in (429, 503):
        return {"retry-after": str(max(1, math.ceil(getattr(error, "retry_after", None) or RETRY_AFTER)))}
    return {}


def _log(event: str, scope: MutableMapping[str, Any], error: Exception) -> None:
    fields = {"request_id": exchange.of(scope).request_id}
    if event == "unforeseen":
        log.error(event, extra={"fields": fields}, exc_info=error)
    else:
        log.warning(event, extra={"fields": {**fields, "reason": str(error)}})
