"""nDCG@10 on sets with published scores: semsearch against exact search with numpy, in chunks and whole documents.

The numpy search is done twice: with our embedder on what semsearch stored, which shows what index and SQL lose; and
with the sentence-transformers library at its defaults, float32 and none of our code, which shows what all of it loses.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Sequence

import numpy as np

from semsearch import Collection, Database, Document, Settings, chunking, embedders
from semsearch.embedders import Embedder, local_model
from semsearch.records import Embedding
from tests.benchmarks import exact, home, shared_data
from tests.benchmarks.home import MODEL
from tests.benchmarks.report import RESULTS, Report
from tests.benchmarks.shared_data import RetrievalSet

NAME = "quality"
# embeddings-benchmark/results @ f4cc6c8b36, all-MiniLM-L6-v2; for scifact over all 809 train queries, here 807.
PUBLISHED = {"scifact": 0.6602, "stackfaq": None, "xquad-en": 0.9436}
CHUNKS = 50  # asked for, to have ten documents: a document may have several of the nearest chunks
MOST = 0.002


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(PUBLISHED), help=f"which of {', '.join(PUBLISHED)}")
    parser.add_argument("--sample", type=int, help="use so many documents of each: quick, and not comparable to others")
    parser.add_argument("--library", action="store_true", help="compare with the library in float32, too: minutes")
    options = parser.parse_args(arguments)
    report = Report(NAME, f"nDCG@10 with {MODEL}, semsearch and exact search with numpy")
    with home.database() as db:
        report.ask(db)
        for name in options.sets:
            data = shared_data.retrieval_set(name).first(options.sample)
            for setting, chunk_size in (("chunks", None), ("whole", 0)):
                measure(report, db, data, setting, chunk_size, library=options.library)
    return report.finish()


def measure(
    report: Report, db: Database, data: RetrievalSet, setting: str, chunk_size: int | None, *, library: bool
) -> None:
    embedder = embedders.load(MODEL, Settings())
    what = f"{data.name}, {setting}"
    begun = time.monotonic()
    collection = db.create_collection(_name(what), model=MODEL, chunk_size=chunk_size)
    ingested = collection.put(data.documents)
    report.add(f"{what}: ingest of {ingested.added:,} documents", time.monotonic() - begun, "s")
    chunks = {"chunks": ingested.chunks, "tokens": collection.chunk_size, "overlap": collection.chunk_overlap}
    report.add(f"{what}: chunking", chunks)
    own = {id: _ask(collection, text) for id, text in data.queries.items()}
    owners, inputs = _inputs(data.documents, embedder, collection)
    assert len(inputs) == ingested.chunks
    scores = {"semsearch": _mean(data, own)}
    queries = np.array([embedder.embed_query(text) for text in data.queries.values()])
    made = embedder.embed_documents(inputs)
    scores["numpy, embedder"] = _mean(data, _exact(data, owners, made, queries))
    if library:
        made = _by_library(inputs)
        queries = _by_library(list(data.queries.values()))
        scores["numpy, library"] = _mean(data, _exact(data, owners, made, queries))
    for who, score in scores.items():
        report.add(f"{what}: {who}", score)
    for who, score in list(scores.items())[1:]:
        report.add(f"{what}: semsearch - {who}", abs(scores["semsearch"] - score), at_most=MOST)
    published = PUBLISHED[data.name]
    if published and setting == "whole" and data.complete:
        report.add(f"{what}: semsearch - published {published}", scores["semsearch"] - published)


def _name(what: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in what)


def _ask(collection: Collection, query: str) -> list[str]:
    """The ten best documents, each by its best chunk."""
    return exact.documents_of(hit.document_id for hit in collection.search(query, top_k=CHUNKS))


def _inputs(documents: Sequence[Document], embedder: Embedder, collection: Collection) -> tuple[list[str], list[str]]:
    """What the model reads of every chunk that was stored, and whose chunk it is."""
    settings = chunking.Chunking(collection.chunk_size, collection.chunk_overlap)
    chunked = chunking.chunk_many(documents, embedder, settings)
    pairs = [
        (document.id, chunk.input) for document, chunks in zip(documents, chunked, strict=True) for chunk in chunks
    ]
    return [id for id, _ in pairs], [input for _, input in pairs]


def _exact(data: RetrievalSet, owners: list[str], made: Embedding, queries: Embedding) -> dict[str, list[str]]:
    rows, _ = exact.nearest(made, queries, min(CHUNKS, len(made)))
    return {id: exact.documents_of(owners[row] for row in found) for id, found in zip(data.queries, rows, strict=True)}


def _mean(data: RetrievalSet, ranked: dict[str, list[str]]) -> float:
    return float(np.mean([exact.ndcg(found, data.qrels[id]) for id, found in ranked.items()]))


def _by_library(texts: list[str]) -> Embedding:
    """The reference: the library at its defaults, not our code. Kept in results/, for it takes minutes."""
    key = hashlib.sha256("\0".join([MODEL, *texts]).encode()).hexdigest()[:16]
    kept = RESULTS / f"reference-{key}.npy"
    if not kept.exists():
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        folder = str(local_model.find(MODEL.partition(":")[2]))
        model = SentenceTransformer(folder, device="cpu", local_files_only=True)
        RESULTS.mkdir(exist_ok=True)
        np.save(kept, model.encode(texts, normalize_embeddings=True).astype(np.float32))
    found: Embedding = np.load(kept)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
