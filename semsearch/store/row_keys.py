"""The key of a row of an attached table, which a document's id stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from sqlalchemy.dialects.postgresql import BIGINT, TEXT, UUID
from sqlalchemy.types import TypeEngine

from semsearch.store.spaces import Attachment


def parse(attachment: Attachment, id: str) -> tuple[Any, ...] | None:
    """The values of the key that an id stands for; None when no row can have it."""
    kinds = attachment.id_types
    values = [id] if len(kinds) == 1 else _array(id)
    if len(values) != len(kinds):
        return None
    parsed = [PARSERS[kind](value) for kind, value in zip(kinds, values, strict=True)]
    return None if None in parsed else tuple(parsed)


def _array(id: str) -> list[str]:
    """The texts in a JSON array, written as PostgreSQL writes it; nothing for anything else."""
    try:
        found = json.loads(id)
    except ValueError:
        return []
    if not isinstance(found, list) or not all(isinstance(value, str) for value in found):
        return []
    return found if json.dumps(found, ensure_ascii=False) == id else []


def _whole_number(value: str) -> int | None:
    return int(value) if re.fullmatch("0|-?[1-9][0-9]{0,18}", value) and -(2**63) <= int(value) < 2**63 else None


def _uuid(value: str) -> str | None:
    return value if re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) else None


# What a key is looked up by: a comparison of bigint with an integer or smallint column uses its index, too.
TYPES: dict[str, TypeEngine[Any]] = {"bigint": BIGINT(), "uuid": UUID(as_uuid=False), "text": TEXT()}
PARSERS: dict[str, Callable[[str], Any]] = {"bigint": _whole_number, "uuid": _uuid, "text": str}
