"""98,279 passages: rate of ingest against the embedder alone, the memory it takes, and what a change of 1 % costs."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from semsearch import Collection, Database, Document, Progress, Settings, chunking, embedders
from tests.benchmarks import home, shared_data
from tests.benchmarks.home import MODEL
from tests.benchmarks.report import Report
from tests.benchmarks.rounds import interleave, ratio

NAME = "bulk"
NUMBER = 98_279
EVERY = 100  # one in so many passages is changed
WHOLE_CHUNKS = 1.05  # a changed passage of several chunks may have more than one of them to embed
SECOND_HALF = 50  # MB: what does not grow with the number of documents has come to rest by then

Row = dict[str, Any]


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("--sample", type=int, help="ingest only about so many passages (default: all, 10 minutes)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of ingest against the embedder alone")
    parser.add_argument("--round", type=int, default=8000, help="passages in a round")
    parser.add_argument("--only-rate", action="store_true", help="nothing but ingest against the embedder alone")
    options = parser.parse_args(arguments)
    step = max(1, NUMBER // options.sample) if options.sample else 1
    report = Report(NAME, f"{len(range(0, NUMBER, step)):,} passages with {MODEL}")
    with home.database() as db:  # one of its own: VACUUM of a large one would go on meanwhile
        report.ask(db)
        measure_rate(report, db, options.rounds, options.round)
    if not options.only_rate:
        with home.database() as db:
            file = db.settings.home.parent / "passages.jsonl"
            shared_data.write(file, passages(step))
            collection = db.create_collection(NAME, model=MODEL)
            measure_whole(report, collection, file)
            measure_change(report, collection, file, step)
    return report.finish()


def passages(step: int) -> Iterator[Row]:
    """One passage in so many, one at a time: a list of them would hide what ingest itself needs of memory."""
    return itertools.islice(shared_data.rows(shared_data.folder("bulk") / "passages.jsonl.gz"), 0, None, step)


def changed(step: int) -> Iterator[Row]:
    """The same, with another last sentence in one of a hundred."""
    for at, row in enumerate(passages(step)):
        yield {**row, "text": f"{row['text']} Changed."} if at % EVERY == 0 else row


def measure_rate(report: Report, db: Database, rounds: int, number: int) -> None:
    """A round: the same documents, ingested, and their chunks handed to the embedder with nothing else to do."""
    embedder = embedders.load(MODEL, Settings())
    collection = db.create_collection("rate", model=MODEL, index="none")
    settings = chunking.Chunking(collection.chunk_size, collection.chunk_overlap)
    documents = [_document(row) for row in passages(max(1, NUMBER // (rounds * number)))]
    number = len(documents) // rounds
    portions = [documents[start : start + number] for start in range(0, rounds * number, number)]
    inputs = [_inputs(chunking.chunk_many(portion, embedder, settings)) for portion in portions]
    embedder.embed_documents(inputs[0][:100])
    alone, whole = interleave(
        rounds,
        lambda at: embedder.embed_documents(inputs[at]),
        lambda at: collection.put(portions[at]),
    )
    chunks = sum(map(len, inputs))
    report.add(f"embedder alone, {rounds} rounds of {number:,} passages", chunks / float(alone.sum()), "chunks/s")
    report.add("ingest of the same", chunks / float(whole.sum()), "chunks/s")
    report.add("ingest / embedder alone, rate", ratio(alone, whole), at_least=0.95)


def _document(row: Row) -> Document:
    return Document(id=row["_id"], text=row["text"], title=row["title"], metadata=row["metadata"])


def _inputs(chunked: list[list[Any]]) -> list[str]:
    """Each once, as ingest embeds them."""
    return list(dict.fromkeys(chunk.input for chunks in chunked for chunk in chunks))


def measure_whole(report: Report, collection: Collection, file: Path) -> None:
    marks = Marks()
    before = resident()
    begun = time.monotonic()
    with watched() as memory:
        done = collection.ingest(file, on_progress=marks)
    whole = time.monotonic() - begun
    report.add("file", file.stat().st_size / 2**20, "MB")
    report.add("documents", done.added)
    report.add("broken or failed", len(done.broken) + len(done.failed), at_most=0)
    report.add("chunks", {"stored": done.chunks, "embedded": done.embedded})
    report.add("ingest", done.seconds, "s")
    report.add("ingest, rate", done.added / done.seconds, "documents/s")
    report.add("index and statistics", whole - done.seconds, "s")
    report.add("memory before", before, "MB")
    sizes = marks.sizes()
    report.add("memory at each tenth", {f"{tenth}0 %": size for tenth, size in enumerate(sizes, 1)}, "MB")
    report.add("memory, peak", max(memory, default=0), "MB")
    report.add("memory, growth in the second half", sizes[-1] - sizes[4], "MB", at_most=SECOND_HALF)


class Marks:
    """Notes the memory whenever there is progress."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, int]] = []

    def __call__(self, progress: Progress) -> None:
        if progress.stage == "ingest":
            self._seen.append((progress.done, resident()))

    def sizes(self) -> list[int]:
        """The memory after each tenth of the documents."""
        last = self._seen[-1][0]
        return [next(size for done, size in self._seen if done * 10 >= tenth * last) for tenth in range(1, 11)]


@contextmanager
def watched() -> Iterator[list[int]]:
    """The memory of this process, every tenth of a second while the block runs."""
    sizes: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            sizes.append(resident())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield sizes
    finally:
        stop.set()
        thread.join()


def resident() -> int:
    """Megabytes of this process in memory, without the server's; 0 where there is no /proc."""
    statistics = Path("/proc/self/statm")
    if not statistics.exists():
        return 0
    return int(statistics.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20


def measure_change(report: Report, collection: Collection, file: Path, step: int) -> None:
    """One passage in a hundred gets another last sentence, and the whole file is ingested again."""
    number = -(-shared_data.write(file, changed(step)) // EVERY)
    done = collection.ingest(file)
    report.add("changed passages that were not seen", abs(number - done.changed), at_most=0)
    report.add("embedded again", done.embedded)
    report.add("embedded again / changed", done.embedded / number, at_least=1 / WHOLE_CHUNKS)
    report.add("embedded again / changed, no more", done.embedded / number, at_most=WHOLE_CHUNKS)
    report.add("ingest after the change", done.seconds, "s")
    same = collection.ingest(file)
    report.add("ingest of the unchanged file", same.seconds, "s")
    report.add("embedded then", same.embedded, at_most=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
