"""What is known of one request while it is answered, for the layers that it passes."""

from __future__ import annotations

import re
import secrets
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semsearch.web.access import Caller
    from semsearch.web.rules import Rule

SANE = re.compile(r"[A-Za-z0-9._:-]{1,128}")  # of a request id that somebody else has made
KEY = "semsearch.exchange"


@dataclass
class Exchange:
    """`rule` None: no route answers it. `caller` None: not known yet, or nobody needs to be. `error`: what failed."""

    request_id: str
    rule: Rule | None = None
    caller: Caller | None = None
    error: str | None = None


def begin(scope: MutableMapping[str, Any], given: str | None) -> Exchange:
    """Of a request that comes in; an id that was given is kept, if it may be written into a log."""
    request_id = given if given and SANE.fullmatch(given) else new_id()
    scope[KEY] = Exchange(request_id)
    return of(scope)


def new_id() -> str:
    return secrets.token_hex(8)


def of(scope: MutableMapping[str, Any]) -> Exchange:
    found = scope[KEY]
    assert isinstance(found, Exchange)
    return found
