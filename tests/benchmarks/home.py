"""A database of the benchmark's own: an embedded server in a temporary home, gone afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import semsearch
from semsearch import Database, Settings

MODEL = "sentence-transformers:all-MiniLM-L6-v2"


@contextmanager
def temporary() -> Iterator[Path]:
    """A home for the server, and room beside it; nobody's own database is in reach meanwhile."""
    for variable in [name for name in os.environ if name.startswith(("PG", "SEMSEARCH_"))]:
        del os.environ[variable]
    folder = Path(tempfile.mkdtemp(prefix="semsearch-bench-"))
    folder.chmod(0o711)  # for root the server runs as another user, who must pass through
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database() -> Iterator[Database]:
    with temporary() as folder, semsearch.connect(settings=Settings(home=folder / "home")) as db:
        yield db
