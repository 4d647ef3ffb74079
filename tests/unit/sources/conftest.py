"""What the tests of sources share: a folder to fill, and the two halves of what a source yields."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from semsearch import sources
from semsearch.records import Document
from semsearch.sources import Broken, Options

Read = Callable[..., tuple[list[Document], list[Broken]]]


@pytest.fixture
def read() -> Read:
    """Read a path to its end: (documents, broken)."""

    def read(path: Path | str, **options: object) -> tuple[list[Document], list[Broken]]:
        items = list(sources.open(path, Options(**options)))  # type: ignore[arg-type]
        documents = [item for item in items if isinstance(item, Document)]
        return documents, [item for item in items if isinstance(item, Broken)]

    return read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder called docs."""
    path = tmp_path / "docs"
    path.mkdir()
    return path
