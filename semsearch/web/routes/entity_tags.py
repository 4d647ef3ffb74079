"""Which state of a document somebody has: entity tags (RFC 9110, sections 8.8 and 13)."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from fastapi import Header

from semsearch.contents import ANY, Expected, version
from semsearch.errors import InvalidInput
from semsearch.records import Document
from semsearch.web.compression import COMPRESSED

TAG = re.compile(rf'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*?)(?:{COMPRESSED})?"\s*')
MOST = 100

# A list, since a header may come in several lines, which are one list together (RFC 9110, section 5.3).
IfMatch: TypeAlias = Annotated[
    list[str] | None,
    Header(description="Do it only if the document still has one of these ETags; `*`: if it is there."),
]
IfNoneMatch: TypeAlias = Annotated[
    list[str] | None, Header(description="Do it only if the document has none of these ETags; `*`: if it is not there.")
]


def tag(document: Document) -> str:
    """A strong one: equal for equal content."""
    return f'"{version(document)}"'


def expected(match: list[str] | None, none_match: list[str] | None) -> Expected | None:
    """What the headers of a change ask for; None: whatever. Raises InvalidInput."""
    if match is None and none_match is None:
        return None
    return Expected(_tags(match, "If-Match", strong=True), _tags(none_match, "If-None-Match", strong=False))


def is_known(none_match: list[str] | None, version: str) -> bool:
    """Whether who asks has this state already. Raises InvalidInput."""
    known = _tags(none_match, "If-None-Match", strong=False)
    return known is not None and bool({ANY, version} & {*known})


def _tags(lines: list[str] | None, name: str, *, strong: bool) -> tuple[str, ...] | None:
    """A weak tag is equal to none where a strong one is needed."""
    if lines is None:
        return None
    header = ", ".join(lines)
    if header.strip() == ANY:
        return (ANY,)
    found = [TAG.fullmatch(part) for part in header.split(",")]
    if not all(found) or len(found) > MOST:
        raise InvalidInput(f'{name} is a list of ETags in quotation marks, such as "1f3c", or *.')
    return tuple(each[2] for each in found if each and not (strong and each[1]) and each[2] != ANY)
