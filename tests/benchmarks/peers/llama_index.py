"""llama-index-vector-stores-postgres: PGVectorStore with JSONB; the index is built before anything is added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters, VectorStoreQuery
from llama_index.vector_stores.postgres import PGVectorStore

from tests.benchmarks.peers import Equal, Row


class Store:
    def __init__(self, url: str, dimensions: int, fields: Mapping[str, str]) -> None:
        self.store = PGVectorStore.from_params(
            connection_string=url.replace("postgresql:", "postgresql+psycopg2:"),
            async_connection_string=url.replace("postgresql:", "postgresql+asyncpg:"),
            table_name="llama_index",
            embed_dim=dimensions,
            use_jsonb=True,
            hnsw_kwargs={"hnsw_m": 16, "hnsw_ef_construction": 64, "hnsw_ef_search": 40},
        )

    def add(self, rows: Sequence[Row]) -> None:
        self.store.add(
            [TextNode(id_=row.id, text=row.text, embedding=row.embedding, metadata=row.metadata) for row in rows]
        )

    def create_index(self) -> None:
        pass

    def search(self, query: list[float], top_k: int, filter: Equal | None) -> list[str]:
        filters = [
            MetadataFilter(key=name, value=value, operator=FilterOperator.EQ) for name, value in (filter or {}).items()
        ]
        asked = VectorStoreQuery(
            query_embedding=query,
            similarity_top_k=top_k,
            filters=MetadataFilters(filters=filters) if filters else None,
        )
        return self.store.query(asked).ids or []
