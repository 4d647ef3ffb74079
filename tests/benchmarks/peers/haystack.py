"""pgvector-haystack: PgvectorDocumentStore and its retriever; the index is built before anything is added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from haystack import Document
from haystack.document_stores.types import DuplicatePolicy
from haystack.utils import Secret
from haystack_integrations.components.retrievers.pgvector import PgvectorEmbeddingRetriever
from haystack_integrations.document_stores.pgvector import PgvectorDocumentStore

from tests.benchmarks.peers import Equal, Row


class Store:
    def __init__(self, url: str, dimensions: int, fields: Mapping[str, str]) -> None:
        self.store = PgvectorDocumentStore(
            connection_string=Secret.from_token(url),
            table_name="haystack",
            embedding_dimension=dimensions,
            search_strategy="hnsw",
        )
        self.retriever = PgvectorEmbeddingRetriever(document_store=self.store)

    def add(self, rows: Sequence[Row]) -> None:
        documents = [Document(id=row.id, content=row.text, embedding=row.embedding, meta=row.metadata) for row in rows]
        self.store.write_documents(documents, policy=DuplicatePolicy.OVERWRITE)

    def create_index(self) -> None:
        pass

    def search(self, query: list[float], top_k: int, filter: Equal | None) -> list[str]:
        filters = [
            {"field": f"meta.{name}", "operator": "==", "value": value} for name, value in (filter or {}).items()
        ]
        found = self.retriever.run(query_embedding=query, top_k=top_k, filters=filters[0] if filters else None)
        return [document.id for document in found["documents"]]
