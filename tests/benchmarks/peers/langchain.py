"""langchain-postgres: PGVectorStore, the fields as its metadata columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_core.embeddings import FakeEmbeddings
from langchain_postgres import Column, PGEngine, PGVectorStore
from langchain_postgres.v2.indexes import HNSWIndex

from tests.benchmarks.peers import Equal, Row

TABLE = "langchain"


class Store:
    def __init__(self, url: str, dimensions: int, fields: Mapping[str, str]) -> None:
        engine = PGEngine.from_connection_string(url.replace("postgresql:", "postgresql+psycopg:"))
        engine.init_vectorstore_table(
            table_name=TABLE,
            vector_size=dimensions,
            id_column=Column("langchain_id", "TEXT", nullable=False),
            metadata_columns=[Column(name, type.upper()) for name, type in fields.items()],
        )
        self.store = PGVectorStore.create_sync(
            engine=engine,
            table_name=TABLE,
            embedding_service=FakeEmbeddings(size=dimensions),  # never called: all embeddings are given
            metadata_columns=list(fields),
        )

    def add(self, rows: Sequence[Row]) -> None:
        ids, texts, embeddings, metadata = map(list, zip(*rows, strict=True))
        self.store.add_embeddings(texts, embeddings, metadata, ids)

    def create_index(self) -> None:
        self.store.apply_vector_index(HNSWIndex())

    def search(self, query: list[float], top_k: int, filter: Equal | None) -> list[str]:
        found = self.store.similarity_search_by_vector(query, k=top_k, filter=dict(filter) if filter else None)
        return [document.id for document in found]
