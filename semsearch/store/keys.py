"""The keys that statements are given: those of hits, and those of the metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, FromClause, Integer, Text, column, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB

Key = tuple[str, int]  # document id and ordinal


def given(keys: Sequence[Key]) -> FromClause:
    """The keys as a table: document_id, ordinal, and place, from 1."""
    ids = literal([document_id for document_id, _ in keys], ARRAY(Text))
    ordinals = literal([ordinal for _, ordinal in keys], ARRAY(Integer))
    rows = func.unnest(ids, ordinals).table_valued("document_id", "ordinal", with_ordinality="place").render_derived()
    columns = (column("document_id", Text), column("ordinal", Integer), column("place", Integer))
    return select(*columns).select_from(rows).subquery("given")


def metadata_value(metadata: ColumnElement[Any], key: str) -> ColumnElement[Any]:
    """The JSON at a key, whose dots reach into nested objects; NULL where there is none."""
    # -> by text reaches into objects only; #> would take the part "0" for the place in a list as well.
    for part in key.split("."):
        metadata = metadata.op("->", return_type=JSONB())(literal(part, Text()))
    return metadata
