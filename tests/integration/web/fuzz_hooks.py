"""What schemathesis is told of our API by SCHEMATHESIS_HOOKS: how lines of JSON are sent."""

from __future__ import annotations

import json
from typing import Any

import schemathesis

LINES = "application/x-ndjson"


@schemathesis.serializer(LINES)
def lines(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Texts as they are, for the description says no more of them; anything else as a line of JSON."""
    return value.encode("utf-8", "replace") if isinstance(value, str) else json.dumps(value).encode()


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """A stream of lines is a text of any kind: there is no wrong one that would be refused as a whole."""
    return case.media_type != LINES or isinstance(case.body, str)
