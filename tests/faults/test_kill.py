"""The ingesting process is killed again and again: nothing may be lost, stale or there twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

import semsearch
from semsearch import Document, Settings, chunking, embedders
from semsearch.config import parse
from semsearch.records import Embedding
from tests.faults.forks import FORKS
from tests.provider import Provider, vector

OPENAI = "openai:text-embedding-3-small"
NAME = "killed"
LONGEST = 300.0  # seconds; what takes longer has come to a stop
CHUNK_SIZE = 32  # tokens: the longer half of the documents has several chunks

Texts = dict[str, str]  # by document id
Stored = dict[tuple[str, int], tuple[int, int, str, Embedding]]  # by document id and ordinal


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider.start() as started:
        yield started


@pytest.fixture
def values(database_url: str, tmp_path: Path, provider: Provider) -> dict[str, Any]:
    """The settings, as they are handed to other processes."""
    return {
        "database_url": database_url,
        "home": tmp_path / "home",
        "openai_api_key": "sk-test",
        "openai_base_url": provider.url,
    }


def ingest(values: dict[str, Any], file: Path, begins: Connection | None = None) -> None:
    """What a process does until it is killed."""
    with semsearch.connect(settings=Settings(**values)) as db:
        collection = db.collection(NAME)
        if begins:
            begins.send(True)
        collection.ingest(file)


def run(values: dict[str, Any], file: Path, limit: float | None = None) -> float | None:
    """Ingest the file in a new process; returns the seconds it took, or None when it was killed after `limit`."""
    ours, theirs = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=ingest, args=(values, file, theirs))
    process.start()
    theirs.close()
    assert ours.poll(60), "the process did not begin"
    begun = time.monotonic()
    process.join(limit or LONGEST)
    taken = time.monotonic() - begun
    process.kill()
    process.join()
    killed = process.exitcode == -signal.SIGKILL
    assert killed or process.exitcode == 0
    process.close()
    ours.close()
    return None if killed else taken


def text_of(number: int, version: int) -> str:
    """One to six sentences, of which only some change with the version: a stale chunk would look right otherwise."""
    sentences = [f"Sentence {at} of document {number} has stood here since the beginning." for at in range(number % 6)]
    sentences.insert(number % 3, f"This is version {version} of document {number}.")
    return " ".join(sentences)


def write(file: Path, texts: Texts) -> Path:
    file.write_text("".join(json.dumps({"id": id, "text": text}) + "\n" for id, text in texts.items()))
    return file


def stored(url: str) -> Stored:
    with psycopg.connect(parse(url)) as connection:
        space = connection.execute("SELECT id FROM semsearch.spaces").fetchone()
        assert space
        rows = connection.execute(
            f'SELECT document_id, ordinal, start, "end", text, embedding::text FROM semsearch.chunks_{space[0]}'
        )
        return {
            (id, ordinal): (start, end, text, np.array(json.loads(embedding), np.float32))
            for id, ordinal, start, end, text, embedding in rows
        }


def leftovers(url: str) -> dict[str, int]:
    with psycopg.connect(parse(url)) as connection:
        counted = connection.execute(
            "SELECT (SELECT count(*) FROM semsearch.tasks), (SELECT count(*) FROM semsearch.leases),"
            " (SELECT count(*) FROM semsearch.failures)"
        ).fetchone()
    assert counted
    return dict(zip(("tasks", "leases", "failures"), counted, strict=True))


def documents(url: str) -> Texts:
    with psycopg.connect(parse(url)) as connection:
        return dict(connection.execute("SELECT id, text FROM semsearch.documents").fetchall())


def check_everything(values: dict[str, Any], texts: Texts, model: str = OPENAI) -> None:
    """Every document is there once as it was last written, every chunk beside the embedding of its own text."""
    url = values["database_url"]
    assert leftovers(url) == {"tasks": 0, "leases": 0, "failures": 0}
    assert documents(url) == texts
    found = stored(url)
    embedder = embedders.load(model, Settings(**values))
    settings = chunking.Chunking(CHUNK_SIZE, 0)
    wanted = [Document(id=id, text=text) for id, text in texts.items()]
    expected = {
        (document.id, chunk.ordinal): chunk
        for document, chunks in zip(wanted, chunking.chunk_many(wanted, embedder, settings), strict=True)
        for chunk in chunks
    }
    assert found.keys() == expected.keys()
    assert len(expected) > len(texts)  # some have several chunks
    inputs = [expected[key].input for key in found]
    right = np.array([vector(input) for input in inputs]) if model == OPENAI else embedder.embed_documents(inputs)
    for key, (start, end, text, _) in found.items():
        assert (start, end, text) == (expected[key].start, expected[key].end, expected[key].text)
    # The provider's embeddings are a function of the text alone; a model's depend in the last bits on its batch.
    # (Nearest other text in this test: cosine 0.99, so bfloat16's 0.001 tells them apart.)
    made = np.array([embedding for *_, embedding in found.values()])
    np.testing.assert_allclose((made * right).sum(axis=1), 1.0, atol=1e-5 if model == OPENAI else 1e-3)


def kill_often(values: dict[str, Any], file: Path, number: int, kills: int, seconds: float, seed: int) -> Texts:
    """Ingest so many documents, killed so many times, a third of them changed before each new start; then to the end.

    `seconds` is about what an undisturbed ingest takes; kills come at any moment of it. Returns the last texts.
    """
    chance = random.Random(seed)
    texts = {f"d{at}": text_of(at, 0) for at in range(number)}
    killed = 0
    for version in range(1, 10 * kills):
        taken = run(values, write(file, texts), chance.uniform(0.03, 1) * seconds)
        # How long an ingest takes depends on the machine and on what the last one left: the next kill is aimed anew.
        seconds = seconds * 1.2 if taken is None else taken
        killed += taken is None
        texts |= {f"d{at}": text_of(at, version) for at in chance.sample(range(number), number // 3)}
        if killed == kills:
            break
    assert killed == kills, "too many ingests had finished before their kill: the test has not shown enough"
    run(values, write(file, texts))
    return texts


def create(values: dict[str, Any], model: str = OPENAI) -> None:
    with semsearch.connect(settings=Settings(**values)) as db:
        db.create_collection(NAME, model=model, chunk_size=CHUNK_SIZE, chunk_overlap=0)


def test_twenty_kills_lose_nothing(values: dict[str, Any], tmp_path: Path) -> None:
    create(values)
    texts = kill_often(values, tmp_path / "documents.jsonl", 2_000, 20, 1.5, seed=20)
    check_everything(values, texts)


@pytest.mark.model
def test_kills_with_a_local_model_lose_nothing(values: dict[str, Any], tmp_path: Path, model_name: str) -> None:
    create(values, model_name)
    texts = kill_often(values, tmp_path / "documents.jsonl", 300, 3, 6.0, seed=3)
    check_everything(values, texts, model_name)


def test_interrupted_ingest_leaves_no_lease_and_goes_on(
    values: dict[str, Any], tmp_path: Path, provider: Provider
) -> None:
    create(values)
    texts = {f"d{at}": text_of(at, 0) for at in range(1_000)}
    file = write(tmp_path / "documents.jsonl", texts)
    # The probe and one batch of documents are answered; the next batch is waited for when Ctrl-C comes.
    provider.script({"fault": "none"}, {"fault": "none"}, {"fault": "hang", "seconds": 120})
    with start_command(values, "ingest", NAME, str(file)) as process:
        try:
            # One more call for the probe when the collection was created.
            until(lambda: len(provider.calls) == 4 and len(stored(values["database_url"])) > 0)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # its threads tell where they are
            pytest.fail(process.communicate()[1])
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Traceback" not in errors
    left = leftovers(values["database_url"])
    assert left["leases"] == 0  # given back: the next run need not wait until they expire
    assert 0 < left["tasks"] < len(texts)
    assert run(values, file) is not None
    check_everything(values, texts)


def start_command(values: dict[str, Any], *arguments: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "SEMSEARCH_DATABASE_URL": values["database_url"],
        "OPENAI_API_KEY": values["openai_api_key"],
        "OPENAI_BASE_URL": values["openai_base_url"],
        "PYTHONFAULTHANDLER": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "semsearch", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets its background jobs ignore SIGINT, and they hand that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def until(happened: Callable[[], bool], seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.02)
