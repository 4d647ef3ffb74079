"""What went wrong, as the page says it: with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from semsearch.errors import SemsearchError

TITLES = {
    400: "That cannot be asked",
    401: "A key is needed",
    403: "The key may not do this",
    404: "Not there",
    409: "It has changed meanwhile",
    413: "Too much at once",
    429: "Too many requests",
    500: "Something failed",
    503: "Not available right now",
    504: "It took too long",
}
ADVICE = {
    "invalid_input": "Change what you ask for; the address of the page holds all of it.",
    "invalid_filter": "Filters look like this: year >= 2020 and lang in (en, de).",
    "not_found": "It may have been deleted or dropped. The collections that are there are one step away.",
    "unauthorized": "Enter a key that is valid: semsearch keys create makes one.",
    "forbidden": "Ask whoever runs this server for a key with more rights.",
    "conflict": "Load the page again and look at what is there now.",
    "collection_changed": "Load the page again: the collection has other settings now.",
    "database_unavailable": "The database is away. Nothing is lost; the page tries again by itself.",
    "schema_mismatch": "Whoever runs this server should run: semsearch migrate.",
    "model_unavailable": "The model cannot be used; semsearch doctor says why. Searching for words still works.",
    "provider_busy": "The provider of the model asks us to wait. The page tries again by itself.",
    "budget_exhausted": "The collection's tokens of today are used up. Searching for words still works.",
    "overloaded": "The server has too much to do. The page tries again by itself.",
    "too_many_requests": "You are asking faster than this server allows. The page tries again by itself.",
    "deadline_exceeded": "Narrow the search by a filter, or ask for fewer hits.",
    "too_large": "Send less at once.",
    "offline": "The server does not answer. Is it running? The page tries again by itself.",
    "internal_error": "The server's log has the reason. Try again, or go back to the collections.",
}


@dataclass(frozen=True)
class Trouble:
    """`code` is the error's; `again` the address to try once more."""

    code: str
    title: str
    detail: str
    again: str


BLANK = Trouble("", "", "", "/")


def of(error: SemsearchError, status: int, again: str) -> Trouble:
    """An error in words."""
    code = error.code if error.code in ADVICE else "invalid_input" if status == 400 else "internal_error"
    return Trouble(code, TITLES.get(status, TITLES[500]), str(error), again)
