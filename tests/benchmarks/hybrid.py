"""nDCG@10 of meaning, words, both and both reranked, side by side with a reference BM25 on the same lexemes.

Whole documents, one chunk each. The reference is bm25s (pip install bm25s), where it can be imported. The weights of
the fusion were chosen on the first four sets; xquad-en and adi were only looked at.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from semsearch import Collection, Database
from semsearch.store.lexical import K1, B
from tests.benchmarks import cross_encoder, exact, home, shared_data
from tests.benchmarks.home import MODEL
from tests.benchmarks.report import Report
from tests.benchmarks.shared_data import RetrievalSet

NAME = "hybrid"
CHOSEN_ON = ("cranfield", "stackfaq", "dbpedia-entity-5k", "scifact")
SETS = (*CHOSEN_ON, "xquad-en", "adi")
WAYS: Mapping[str, dict[str, Any]] = {
    "vector": {},
    "text": {"mode": "text"},
    "hybrid": {"mode": "hybrid"},
    "hybrid, rrf": {"mode": "hybrid", "fusion": "rrf"},
}
RERANKED = 100  # queries: a cross-encoder reads 50 texts for each
LOSS = -0.005  # of hybrid against the better leg
ABOVE = 2  # of the four sets, on which it has to be better than either leg

Ranked = dict[str, list[str]]


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(SETS), help=f"which of {', '.join(SETS)}")
    parser.add_argument("--sample", type=int, help="use so many documents of each: quick, and not comparable to others")
    parser.add_argument("--rerank", type=int, default=RERANKED, help="queries that are also reranked (0: none)")
    options = parser.parse_args(arguments)
    report = Report(NAME, f"nDCG@10 with {MODEL} and BM25 (k1 {K1}, b {B})")
    gains = {}
    with home.database() as db:
        report.ask(db)
        for name in options.sets:
            data = shared_data.retrieval_set(name).first(options.sample)
            gains[name] = measure(report, db, data, options.rerank)
    if set(CHOSEN_ON) <= gains.keys():
        above = sum(gains[name] > 0 for name in CHOSEN_ON)
        report.add("sets on which hybrid is above both legs, of four", above, at_least=ABOVE)
    return report.finish()


def measure(report: Report, db: Database, data: RetrievalSet, reranked: int) -> float:
    """Adds the figures of one set; returns by how much hybrid is above the better leg."""
    collection = db.create_collection(data.name.replace("-", "_"), model=MODEL, chunk_size=0)
    collection.put(data.documents)
    collection.search_many(list(data.queries.values()), top_k=1)  # queries are embedded before anything is timed
    scores, times = {}, {}
    for way, asked in WAYS.items():
        ranked, times[way] = _ask(collection, data.queries, **asked)
        scores[way] = _mean(data, ranked)
        report.add(f"{data.name}: {way}", scores[way])
    _compare(report, db, collection, data, scores["text"])
    gain = scores["hybrid"] - max(scores["vector"], scores["text"])
    report.add(f"{data.name}: hybrid - better leg", gain, at_least=LOSS)
    report.add(f"{data.name}: a search, median ms", times)
    if reranked and data.name != cross_encoder.LEARNT:
        _rerank(report, collection, data, reranked)
    return gain


def _ask(collection: Collection, queries: Mapping[str, str], **options: Any) -> tuple[Ranked, float]:
    """The ten best documents for each query, and how long the median one took (ms)."""
    ranked, seconds = {}, []
    for id, query in queries.items():
        begun = time.perf_counter()
        hits = collection.search(query, **options)
        seconds.append(time.perf_counter() - begun)
        ranked[id] = exact.documents_of(hit.document_id for hit in hits)
    return ranked, 1000 * statistics.median(seconds)


def _mean(data: RetrievalSet, ranked: Ranked) -> float:
    return float(np.mean([exact.ndcg(found, data.qrels[id]) for id, found in ranked.items()]))


def _rerank(report: Report, collection: Collection, data: RetrievalSet, most: int) -> None:
    """Some queries, spread over all, before and after."""
    ids = list(data.queries)[:: max(1, len(data.queries) // most)][:most]
    queries = {id: data.queries[id] for id in ids}
    model = f"sentence-transformers:{cross_encoder.folder()}"
    before, _ = _ask(collection, queries, mode="hybrid")
    after, took = _ask(collection, queries, mode="hybrid", rerank=model)
    figures = {"before": _mean(data, before), "after": _mean(data, after), "ms": took}
    report.add(f"{data.name}: {len(ids)} queries, hybrid reranked (by a weak model)", figures)


def _compare(report: Report, db: Database, collection: Collection, data: RetrievalSet, ours: float) -> None:
    if importlib.util.find_spec("bm25s") is None:
        report.add(f"{data.name}: reference BM25", "skipped: bm25s is not installed")
        return
    reference = _mean(data, _reference(db, collection, data))
    report.add(f"{data.name}: reference BM25 (bm25s)", reference)
    report.add(f"{data.name}: text - reference BM25", ours - reference)


def _reference(db: Database, collection: Collection, data: RetrievalSet) -> Ranked:
    """What bm25s finds with the lexemes that PostgreSQL made, and documents' lengths in lexemes."""
    import bm25s

    lexemes = "ARRAY(SELECT lexeme FROM unnest({}) u, generate_series(1, cardinality(u.positions)))"
    with db._pools.searching.connect() as connection:
        stored = f"SELECT document_id, {lexemes.format('terms')} FROM collections.{collection.name}"
        documents = [tuple(row) for row in connection.exec_driver_sql(stored)]
        asked = f"SELECT ARRAY(SELECT lexeme FROM unnest(to_tsvector('{collection._space.language}', %s)))"
        queries = {id: connection.exec_driver_sql(asked, (query,)).scalar_one() for id, query in data.queries.items()}
    index = bm25s.BM25(method="lucene", k1=K1, b=B)
    index.index([terms for _, terms in documents], show_progress=False)
    ranked: Ranked = {}
    for id, terms in queries.items():
        known = [term for term in terms if term in index.vocab_dict]
        scores = index.get_scores(known) if known else np.zeros(len(documents))
        best = np.argsort(-scores, kind="stable")[:10]
        ranked[id] = [documents[place][0] for place in best if scores[place] > 0]
    return ranked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
