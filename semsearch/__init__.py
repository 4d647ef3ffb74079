"""semsearch makes text in PostgreSQL searchable by meaning.

import semsearch
from semsearch import Document

with semsearch.connect() as db:
    handbook = db.create_collection("handbook", model="sentence-transformers:all-MiniLM-L6-v2")
    handbook.put([Document(id="a1", text="To reset your password, open Settings.", metadata={"lang": "en"})])
    for hit in handbook.search("I cannot log in", top_k=5, filter={"lang": "en"}):
        print(hit.distance, hit.document_id, hit.text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from semsearch.errors import (
    BudgetExhausted,
    CollectionChanged,
    Conflict,
    DatabaseUnavailable,
    DeadlineExceeded,
    FilterError,
    Forbidden,
    IngestError,
    InvalidInput,
    ModelUnavailable,
    NotFound,
    Overloaded,
    PreconditionFailed,
    ProviderBusy,
    SchemaMismatch,
    SemsearchError,
    TooLarge,
    TooManyRequests,
    TooSlow,
    Unauthorized,
    UnsupportedMedia,
    UnusableEmbedding,
)
from semsearch.version import __version__ as __version__

if TYPE_CHECKING:
    from semsearch.collection import Collection
    from semsearch.config import Settings
    from semsearch.database import Database, connect
    from semsearch.estimate import Estimate
    from semsearch.filters import F
    from semsearch.records import Chunk, Document, Hit, Hits
    from semsearch.road import Progress, Report
    from semsearch.store.failures import Failure
    from semsearch.store.status import Status
    from semsearch.verify import Verification

__all__ = [
    "BudgetExhausted",
    "Chunk",
    "Collection",
    "CollectionChanged",
    "Conflict",
    "Database",
    "DatabaseUnavailable",
    "DeadlineExceeded",
    "Document",
    "Estimate",
    "F",
    "Failure",
    "FilterError",
    "Forbidden",
    "Hit",
    "Hits",
    "IngestError",
    "InvalidInput",
    "ModelUnavailable",
    "NotFound",
    "Overloaded",
    "PreconditionFailed",
    "Progress",
    "ProviderBusy",
    "Report",
    "SchemaMismatch",
    "SemsearchError",
    "Settings",
    "Status",
    "TooLarge",
    "TooManyRequests",
    "TooSlow",
    "Unauthorized",
    "UnsupportedMedia",
    "UnusableEmbedding",
    "Verification",
    "connect",
]

# Imported when first used: `semsearch --help` must not pay for SQLAlchemy (0.25 s).
_LAZY = {
    "Chunk": "records",
    "Collection": "collection",
    "Database": "database",
    "Document": "records",
    "Estimate": "estimate",
    "F": "filters",
    "Failure": "store.failures",
    "Hit": "records",
    "Hits": "records",
    "Progress": "road",
    "Report": "road",
    "Settings": "config",
    "Status": "store.status",
    "Verification": "verify",
    "connect": "database",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'semsearch' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"semsearch.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
