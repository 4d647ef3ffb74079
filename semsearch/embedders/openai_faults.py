"""What a refusal by an OpenAI-compatible server means, and what can be done about it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from typing import Any

from semsearch.errors import InvalidInput, ModelUnavailable, ProviderBusy, SemsearchError

QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
TOO_LARGE = {"max_tokens_per_request", "context_length_exceeded", "array_above_max_length", "string_above_max_length"}
SETTINGS = {"model_not_found", "invalid_model", "unknown_parameter", "unsupported_parameter", "unsupported_value"}
PARAMETERS = {"model", "dimensions", "encoding_format"}

# OpenAI sends no code with these: "This model's maximum context length is 8192 tokens, however you requested ...",
# "Requested 309209 tokens, max 300000 tokens per request", "This model does not support specifying dimensions."
# Taking a bad text for a long one costs a few more requests, and no more: the halves end at that text.
_TOO_LARGE = re.compile(
    r"(context|input) length|max \d+ tokens|less than \d+ tokens|too (many|large|long)|batch size", re.IGNORECASE
)
_SETTINGS = re.compile(r"unknown parameter|unrecognized request argument|support specifying dimensions", re.IGNORECASE)


class TooLarge(InvalidInput):
    """The request has more texts or tokens than the server takes at once."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asked: names for the messages, and the key that must not get into them."""

    model: str
    origin: str
    key: str

    def quote(self, said: object) -> str:
        """What the server said, on one line, shortened and without the key."""
        text = " ".join(str(said or "nothing more").replace(self.key, "[key]").split())
        return text if len(text) <= 300 else text[:300] + "..."


def judge(status: int, body: object, headers: Mapping[str, str], caller: Caller) -> SemsearchError:
    """The error to raise for an answer that is none; ProviderBusy where the same request may succeed later."""
    error: dict[str, Any] = body if isinstance(body, dict) else {"message": body}
    said = caller.quote(error.get("message"))
    codes = {str(error.get("code")), str(error.get("type"))}
    if status == 429 and codes & QUOTA:
        return ModelUnavailable(
            f"the account of OPENAI_API_KEY has no quota left at {caller.origin}: add credit. ({said})"
        )
    # "Request too large for ... on tokens per min (TPM): Limit 40000, Requested 120000": to wait would not help.
    if status == 429 and said.startswith("Request too large"):
        return TooLarge(f"the text has more tokens than {caller.origin} takes in a minute. ({said})")
    if status in (408, 409, 425, 429) or status >= 500:
        return ProviderBusy(f"{caller.origin} is busy or failing ({status}: {said}).", retry_after(headers), status)
    if status == 413 or (status in (400, 422) and (codes & TOO_LARGE or _TOO_LARGE.search(said))):
        return TooLarge(f"the text is too long for {caller.model}: use a smaller chunk size. ({said})")
    if status in (400, 422) and not (codes & SETTINGS or error.get("param") in PARAMETERS or _SETTINGS.search(said)):
        return InvalidInput(f"{caller.origin} does not take the text ({said}).")
    return ModelUnavailable(f"{_explain(status, caller)} ({said})")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait from Retry-After, which is a number or a date (RFC 9110, section 10.2.3).

    A date is compared with the provider's own: our clock may be a day off.
    """
    value = headers.get("retry-after", "")
    if re.fullmatch(r"\d{1,9}(\.\d*)?", value):
        return float(value)
    then = _moment(value)
    now = _moment(headers.get("date", ""))
    return None if then is None else max(then - (time.time() if now is None else now), 0.0)


def _moment(value: str) -> float | None:
    date = parsedate_tz(value)
    try:
        return float(mktime_tz(date)) if date else None
    except (ValueError, OverflowError):
        return None


def _explain(status: int, caller: Caller) -> str:
    if status == 401:
        return f"{caller.origin} rejects the key: set OPENAI_API_KEY to a valid one."
    if status == 403:
        return f"{caller.origin} does not allow this key to use {caller.model}: check the rights of OPENAI_API_KEY."
    if status == 404:
        return f"{caller.origin} does not have the model {caller.model}: check its name and OPENAI_BASE_URL."
    if 300 <= status < 400:
        return f"{caller.origin} redirects, which is not followed with a key: set OPENAI_BASE_URL to the final address."
    return f"{caller.origin} does not take the settings of {caller.model} ({status}): check model name and dimensions."
