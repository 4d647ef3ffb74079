"""vecs: the text is kept in the metadata, for want of another place; a query returns ids alone, its default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import vecs

from tests.benchmarks.peers import Equal, Row


class Store:
    def __init__(self, url: str, dimensions: int, fields: Mapping[str, str]) -> None:
        self.collection = vecs.create_client(url).get_or_create_collection(name="vecs", dimension=dimensions)

    def add(self, rows: Sequence[Row]) -> None:
        self.collection.upsert([(row.id, row.embedding, {**row.metadata, "text": row.text}) for row in rows])

    def create_index(self) -> None:
        self.collection.create_index(method=vecs.IndexMethod.hnsw, measure=vecs.IndexMeasure.cosine_distance)

    def search(self, query: list[float], top_k: int, filter: Equal | None) -> list[str]:
        filters = {name: {"$eq": value} for name, value in filter.items()} if filter else None
        return self.collection.query(data=query, limit=top_k, filters=filters)
