"""What a filter may ask of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement

from semsearch.filters.tree import DOCUMENT_ID


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns that filters compare. What is None cannot be asked for.

    `metadata` holds jsonb objects; `fields` maps declared fields to their columns, as `semsearch.fields` makes them;
    `terms` holds the tsvector of heading and text, made by the text search configuration `language`.
    """

    metadata: ColumnElement[Any]
    fields: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)
    document_id: ColumnElement[Any] | None = None
    text: ColumnElement[Any] | None = None
    terms: ColumnElement[Any] | None = None
    language: str | None = None

    def typed(self, key: str) -> ColumnElement[Any] | None:
        """The column of its own that a key has: a declared field's, or the document id's."""
        return self.document_id if key == DOCUMENT_ID else self.fields.get(key)
