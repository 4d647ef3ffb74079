"""Memory that runs out while a model embeds, and texts that could take all of it.

Fault W5, and the bounds on memory while large documents are brought in.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.embedders import Embedder
from semsearch.embedders.packing import Batch
from semsearch.errors import IngestError
from semsearch.records import Embedding
from tests.conftest import ROOT
from tests.faults import stored
from tests.provider import Provider

Sql = psycopg.Connection[Any]


# A model that runs out of memory


@pytest.mark.model
def test_a_local_model_without_memory_for_a_batch_embeds_it_in_parts(
    model_db: Database, model_name: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    collection = model_db.create_collection("local", model=model_name, chunk_size=64)
    embedder: Any = collection._embedder()
    forward = embedder._loaded.forward

    def limited(batch: Batch) -> Embedding:
        if len(batch.texts) > 2 or any("enormous" in text for text in batch.texts):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        made: Embedding = forward(batch)
        return made

    monkeypatch.setattr(embedder, "_loaded", replace(embedder._loaded, forward=limited))
    texts = stored.texts(15)
    with pytest.raises(IngestError) as raised:
        collection.put(stored.documents(texts | {"enormous": "an enormous text"}))
    assert raised.value.reasons.keys() == {"enormous"}
    assert "not enough memory" in raised.value.reasons["enormous"]
    assert stored.searchable(collection) == texts


class Limited:
    """An embedder that runs out of memory beyond so many texts at once."""

    def __init__(self, embedder: Embedder, most: int) -> None:
        self._embedder, self._most = embedder, most

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed_documents(self, texts: Sequence[str], **options: Any) -> Embedding:
        if len(texts) > self._most or any("enormous" in text for text in texts):
            raise MemoryError
        return self._embedder.embed_documents(texts, **options)


def test_memory_that_runs_out_beside_the_model_costs_no_other_document(
    notes: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = Limited(notes._embedder(), 4)
    monkeypatch.setattr(notes, "_embedder", lambda: limited)
    texts = stored.texts(15)
    with pytest.raises(IngestError) as raised:
        notes.put(stored.documents(texts | {"enormous": "an enormous text"}))
    assert raised.value.reasons.keys() == {"enormous"}
    assert "memory" in raised.value.reasons["enormous"]
    stored.check(notes, texts)


# Large documents

PROGRAM = """
import re, sys
from pathlib import Path
import semsearch
from semsearch import Settings

def peak():
    # Not ru_maxrss, which a new process has from the one that started it.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024

with semsearch.connect(settings=Settings(database_url=sys.argv[1])) as db:
    collection = db.collection("notes")
    collection.put([semsearch.Document("first", "one")])
    before = peak()
    report = collection.ingest(sys.argv[2])
    print(peak() - before, len(report.broken), sorted(report.failed), report.added)
"""


def ingest(file: Path, database_url: str, provider: Provider) -> tuple[int, str]:
    """In a process of its own: how many megabytes its memory grew by at most, and what became of the file."""
    environment = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": provider.url, "PATH": "", "HOME": str(file.parent)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, database_url, file],
        env=environment | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    grown, _, became = done.stdout.strip().partition(" ")
    return int(grown), became


def test_documents_of_50_megabytes_are_refused_within_bounds(
    notes: Collection, provider: Provider, module_database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "large.jsonl"
    with file.open("w") as lines:
        for number in range(3):
            lines.write(json.dumps({"id": f"small {number}", "text": f"text {number}"}) + "\n")
            lines.write(json.dumps({"id": f"large {number}", "text": "ten letters " * 4_500_000}) + "\n")
    grown, became = ingest(file, module_database_url, provider)
    assert became == "3 [] 3"
    assert grown < 200  # measured: 92


def test_documents_of_the_largest_size_are_embedded_within_bounds(
    model_db: Database, provider: Provider, module_database_url: str, tmp_path: Path
) -> None:
    notes = model_db.create_collection("notes", model="openai:test-model", chunk_size=0)
    file = tmp_path / "largest.jsonl"
    with file.open("w") as lines:
        for number in range(3):
            lines.write(json.dumps({"id": f"large {number}", "text": f"{number} ten letters " * 1_100_000}) + "\n")
    grown, became = ingest(file, module_database_url, provider)
    assert became == "0 [] 3"
    assert notes.status().chunks == 4
    assert grown < 500  # measured: 260 with three of them, 278 with nine
