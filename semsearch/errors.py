"""Everything that can go wrong, as one tree.

SemsearchError
├── InvalidInput            what was asked for makes no sense as it stands
│   ├── FilterError         a filter; names the path inside it
│   ├── IngestError         some documents could not be ingested; the others are searchable
│   ├── TooLarge            more was sent at once than is taken
│   ├── TooSlow             what was announced did not arrive in time
│   └── UnsupportedMedia    it was sent in a form that is not read here
├── Unauthorized            a key is needed, or the one that was given is not valid (any more)
├── Forbidden               the key is valid, and not enough for this
├── NotFound                a collection, document, model or file that is not there
├── Conflict                it exists already, or differs from what is there
│   ├── CollectionChanged   a table was attached to the collection, or detached from it, since it was opened
│   └── PreconditionFailed  it is not in the state in which it was to be changed
├── DeadlineExceeded        a search took longer than it was given
├── Overloaded              too much is asked at once; the same may be asked again a little later
│   └── TooManyRequests     one caller asks more than its share
├── DatabaseUnavailable     no connection, or the server cannot do what is needed
│   └── SchemaMismatch      the database is behind or ahead of this program
└── ModelUnavailable        the embedding model cannot be loaded or called
    ├── BudgetExhausted     the collection's tokens of today are used up
    ├── ProviderBusy        a provider asked us to wait (429, 5xx); nothing is wrong with the texts
    └── UnusableEmbedding   the model answered with something that is not an embedding

>>> import semsearch
>>> try:
...     raise semsearch.NotFound("collection 'handbok' does not exist. Did you mean 'handbook'?")
... except semsearch.SemsearchError as error:
...     print(error.code, error)
not_found collection 'handbok' does not exist. Did you mean 'handbook'?
"""

from __future__ import annotations


class SemsearchError(Exception):
    """The base of every error this package raises. `code` is stable and meant for programs."""

    code = "error"


class InvalidInput(SemsearchError):
    """What was asked for makes no sense as it stands."""

    code = "invalid_input"


class FilterError(InvalidInput):
    """A filter that cannot be understood; `path` says where inside it, as in `$.year.$gte`."""

    code = "invalid_filter"

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"filter {path}: {problem}")
        self.path = path


class IngestError(InvalidInput):
    """Some documents could not be ingested; `reasons` maps their ids to why. The others are searchable."""

    code = "ingest_failed"

    def __init__(self, message: str, reasons: dict[str, str]) -> None:
        super().__init__(message)
        self.reasons = reasons


class TooLarge(InvalidInput):
    """More was sent at once than is taken."""

    code = "too_large"


class TooSlow(InvalidInput):
    """What was announced did not arrive in time."""

    code = "too_slow"


class UnsupportedMedia(InvalidInput):
    """It was sent in a form that is not read here."""

    code = "unsupported_media"


class Unauthorized(SemsearchError):
    """A key is needed, or the one that was given is not valid: unknown, expired or revoked."""

    code = "unauthorized"


class Forbidden(SemsearchError):
    """The key is valid, and not enough for what was asked."""

    code = "forbidden"


class NotFound(SemsearchError):
    """A collection, document, model or file that is not there."""

    code = "not_found"


class Conflict(SemsearchError):
    """It exists already, or differs from what is there."""

    code = "conflict"


class CollectionChanged(Conflict):
    """A table was attached to the collection, or detached from it, since it was opened; open it again."""

    code = "collection_changed"


class PreconditionFailed(Conflict):
    """It is not in the state in which it was to be changed."""

    code = "precondition_failed"


class DeadlineExceeded(SemsearchError):
    """A search took longer than its deadline."""

    code = "deadline_exceeded"


class Overloaded(SemsearchError):
    """Too much is asked at once: ask again in `retry_after` seconds."""

    code = "overloaded"

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooManyRequests(Overloaded):
    """One caller asks more than its share."""

    code = "too_many_requests"


class DatabaseUnavailable(SemsearchError):
    """No connection to the database, or the server cannot do what is needed."""

    code = "database_unavailable"


class SchemaMismatch(DatabaseUnavailable):
    """The database's schema is behind or ahead of this program."""

    code = "schema_mismatch"


class ModelUnavailable(SemsearchError):
    """The embedding model cannot be loaded or called."""

    code = "model_unavailable"


class ProviderBusy(ModelUnavailable):
    """A provider asked us to wait or is failing; `retry_after` in seconds where it said so.

    `status` is the one it answered with, None where it did not.
    """

    code = "provider_busy"

    def __init__(self, message: str, retry_after: float | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status

    @property
    def is_limit(self) -> bool:
        """Whether it asked us to wait: then it is not what was sent that made it fail."""
        return self.status == 429 or self.retry_after is not None


class BudgetExhausted(ModelUnavailable):
    """The collection's token budget of today is used up; `retry_after` in seconds, when the next day begins."""

    code = "budget_exhausted"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnusableEmbedding(ModelUnavailable):
    """The model answered with something that is not an embedding: wrong count or dimensions, NaN, zero."""

    code = "unusable_embedding"
