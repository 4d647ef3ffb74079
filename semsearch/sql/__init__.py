"""The SQL functions, triggers and views: one object a file, replaced whole at the end of every upgrade."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

FILES = (
    "to_date.sql",
    "to_timestamp.sql",
    "enqueue_document.sql",
    "documents_enqueue.sql",
)


def statements() -> Iterator[str]:
    """The text of every file, in an order in which each finds what it refers to."""
    for name in FILES:
        yield resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
