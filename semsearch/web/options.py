"""What `semsearch serve` is told, and every limit it keeps."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from semsearch.errors import InvalidInput
from semsearch.mcp import Bounds

MB = 2**20
DEFAULT_MODEL = "sentence-transformers:all-MiniLM-L6-v2"


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Options:
    """Times are in seconds, sizes in bytes; a rate of 0 is no limit.

    `workers_inline` embeds what waits in this process, too. `behind_proxy`: a proxy stands before it that ends TLS and
    says for whom it asks. `allow_origins`: web sites whose pages may ask. So many `searches` at once, others wait for
    `search_wait`; by default 16 for each processor, of which most wait for the model together: 64 clients got 1.5 times
    as many answers as with 4. `rate` is requests a second by one key, `burst` so many at once; `failures` are wrong
    keys a minute from one address. A body may take `body_seconds`, and one more for each 100 kB.
    `models` may be named for new collections, beside those that collections use already, and `rerank` in searches.
    `assistants` are served alone then, at /mcp, within these bounds.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers_inline: bool = False
    behind_proxy: bool = False
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    allow_origins: tuple[str, ...] = ()
    grace: float = 30.0

    search_bytes: int = MB
    ingest_bytes: int = 16 * MB
    upload_bytes: int = 16 * MB
    stream_bytes: int = 1024 * MB
    header_bytes: int = 16 * 2**10
    header_seconds: float = 10.0
    body_seconds: float = 10.0
    send_seconds: float = 30.0
    idle_seconds: float = 30.0
    connections: int = 500

    searches: int = field(default_factory=lambda: 16 * cores())
    search_wait: float = 2.0
    pool_wait: float = 2.0
    rate: float = 50.0
    burst: int = 100
    failures: int = 30

    search_deadline: float = 5.0
    admin_deadline: float = 30.0
    max_batch_queries: int = 32
    max_batch_documents: int = 1000
    max_document_bytes: int = 20 * MB
    max_collections: int = 1000

    models: tuple[str, ...] = (DEFAULT_MODEL,)
    rerank: str | None = None
    assistants: Bounds | None = None
    streams: int = 200

    @property
    def is_local(self) -> bool:
        """Whether it listens where only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


NO_LIMITS = (
    *("host", "port", "workers_inline", "behind_proxy", "tls_certificate", "tls_key", "allow_origins", "grace"),
    *("models", "rerank", "assistants"),
)


def limited(limits: Mapping[str, float], **others: Any) -> Options:
    """Options with other limits than the usual ones. Raises InvalidInput for what is none."""
    known = {each.name: str(each.type) for each in fields(Options) if each.name not in NO_LIMITS}
    for name, value in limits.items():
        if name not in known:
            raise InvalidInput(f"there is no limit {name!r:.80}; there are {', '.join(known)}.")
        least = 0 if name in ("rate", "failures") else 1 if known[name] == "int" else 0.001
        if not least <= value <= 10**12 or (known[name] == "int" and value != int(value)):
            kind = "a whole number" if known[name] == "int" else "a number"
            raise InvalidInput(f"the limit {name} is {kind} from {least} on; got {value:g}.")
    chosen: dict[str, Any] = {name: int(value) if known[name] == "int" else value for name, value in limits.items()}
    return Options(**others, **chosen)
