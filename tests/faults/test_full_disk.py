"""A disk that is full, under the database or under SEMSEARCH_HOME: one clear error, nothing lost, on when it is freed.

Fault P9. The disk is a small tmpfs, which takes root to mount; without it these tests are skipped.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.errors import DatabaseUnavailable
from semsearch.store import server
from semsearch.store.server import cluster
from tests.faults import stored
from tests.faults.full_disk import Disk


def test_documents_that_no_longer_fit_are_refused_whole(disk_notes: Collection, disk: Disk) -> None:
    texts = stored.large(50)
    disk_notes.put(stored.documents(texts))
    disk.fill()
    more = stored.large(200, "more")
    with pytest.raises(DatabaseUnavailable, match=r"the database's disk is full: .*pg_tblspc.*Nothing is lost"):
        disk_notes.put(Document(f"more {id}", text) for id, text in more.items())
    stored.check(disk_notes, texts)
    stored.check_waiting(disk_notes, ())
    assert disk_notes.status().documents == 50
    disk.free()
    disk_notes.put(Document(f"more {id}", text) for id, text in more.items())
    stored.check(disk_notes, texts | {f"more {id}": text for id, text in more.items()})


def test_embeddings_that_no_longer_fit_wait_until_they_do(disk_notes: Collection, disk: Disk) -> None:
    disk_notes.put(stored.documents(stored.texts(300)))  # tables and indexes have some pages to spare after this
    disk_notes.delete_all()
    texts = stored.large(200)
    disk_notes.put(stored.documents(texts), wait=False)
    disk.fill()
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable, match=r"the database's disk is full: .*No space left on device"):
            disk_notes.work()
        stored.check_waiting(disk_notes, texts)
        assert stored.searchable(disk_notes) == {}
    disk.free()
    disk_notes.work()
    stored.check(disk_notes, texts)
    stored.check_waiting(disk_notes, ())


def test_searches_go_on_while_the_disk_is_full(disk_notes: Collection, disk: Disk) -> None:
    texts = stored.texts(20)
    disk_notes.put(stored.documents(texts))
    disk.fill()
    hits = disk_notes.search("text 7", top_k=1)  # its embedding cannot be remembered in the database either
    assert hits[0].document_id == "d007"


def test_an_index_that_does_not_fit_is_built_when_there_is_space(disk_notes: Collection, disk: Disk) -> None:
    disk_notes.put(stored.documents(stored.texts(500)))
    disk.fill()
    with psycopg.connect(disk_notes._pools.address.conninfo or ""):  # so that it is built concurrently
        with pytest.raises(DatabaseUnavailable, match="the database's disk is full"):
            disk_notes.create_index()
        assert disk_notes.status().index is None
        assert disk_notes.search("text 7", top_k=1)[0].document_id == "d007"
        disk.free()
        disk_notes.create_index()
    assert [(index.kind, index.valid) for index in disk_notes.indexes()] == [("hnsw", True)]


# The home of the embedded server


def test_a_home_without_space_is_named_and_serves_once_it_has_some(disk: Disk, server_home: Path) -> None:
    home = disk.folder / "home"
    disk.fill(leave=8 * 2**20)
    embedded = server.Embedded(home, durable=False)
    with pytest.raises(DatabaseUnavailable, match="No space left on device"):
        embedded.start()
    assert not (home / cluster.FOLDER).exists()  # nothing that looks like a database
    assert list(home.glob("*.new")) == []
    disk.free()
    disk.grow(400)
    with server.Embedded(home, durable=False) as conninfo, psycopg.connect(conninfo) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
