"""Compares an embedder with SentenceTransformer.encode at its defaults: python -m tests.benchmarks.embedding

Rounds are interleaved and the median of the ratios counts, because other work on the machine comes and goes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
MODEL = "all-MiniLM-L6-v2"
COLD = """
import time; start = time.perf_counter()
from semsearch import embedders
from semsearch.config import Settings
embedder = embedders.load('sentence-transformers:{model}', Settings(device='cpu'))
loaded = time.perf_counter()
embedder.embed_query('how do I reset my password?')
print(loaded - start, time.perf_counter() - start, time.process_time())
"""


def texts(name: str, count: int) -> list[str]:
    """Passages of about 100 tokens, or banking queries of about 14; none where the data is absent."""
    if name == "passages" and (DATA / "bulk").is_dir():
        with gzip.open(DATA / "bulk" / "passages.jsonl.gz", "rt", encoding="utf-8") as lines:
            found = [json.loads(line)["text"] for line in lines]
    elif name == "queries" and (DATA / "banking77").is_dir():
        found = [json.loads(line)["text"] for line in (DATA / "banking77" / "labelled.jsonl").open(encoding="utf-8")]
    else:
        return []
    return random.Random(0).sample(found, count)


def timed(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def throughput(embedder: Any, library: Any, texts: list[str], rounds: int) -> dict[str, float]:
    ours, theirs = embedder.embed_documents(texts), library.encode(texts)
    cosines = (ours * theirs).sum(1) / np.linalg.norm(theirs, axis=1) / np.linalg.norm(ours, axis=1)
    ratios, rates, baselines = [], [], []
    for _ in range(rounds):
        baseline, own = timed(lambda: library.encode(texts)), timed(lambda: embedder.embed_documents(texts))
        ratios.append(baseline / own)
        rates.append(len(texts) / own)
        baselines.append(len(texts) / baseline)
    return {
        "texts": len(texts),
        "texts_per_second": round(statistics.median(rates), 1),
        "library_texts_per_second": round(statistics.median(baselines), 1),
        "ratio": round(statistics.median(ratios), 2),
        "least_ratio": round(min(ratios), 2),
        "least_cosine": round(float(cosines.min()), 5),
    }


def query(embedder: Any, library: Any) -> dict[str, float]:
    text = "how do I reset the password of my account today?"
    ours = [timed(lambda: embedder.embed_query(text)) for _ in range(200)]
    theirs = [timed(lambda: library.encode_query(text)) for _ in range(200)]
    return {
        "p50_ms": round(statistics.median(ours) * 1e3, 2),
        "library_p50_ms": round(statistics.median(theirs) * 1e3, 2),
    }


def cold_start() -> dict[str, float]:
    """Seconds in a new process, without the start of Python itself; the least of three."""
    command = [sys.executable, "-c", COLD.format(model=MODEL)]
    runs = [tuple(map(float, subprocess.check_output(command, text=True).split())) for _ in range(3)]
    loaded, first, processor = (round(min(values), 2) for values in zip(*runs, strict=True))
    return {"loaded_s": loaded, "first_query_s": first, "cpu_s": processor}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--passages", type=int, default=2000)
    parser.add_argument("--queries", type=int, default=2000)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    from sentence_transformers import SentenceTransformer

    from semsearch import embedders
    from semsearch.config import Settings
    from semsearch.embedders import local_model

    answer: dict[str, dict[str, float]] = {"cold": cold_start()}
    embedder = embedders.load(f"sentence-transformers:{MODEL}", Settings(device="cpu"))
    library = SentenceTransformer(str(local_model.find(MODEL)), device="cpu")
    answer["query"] = query(embedder, library)
    for name, count in (("passages", options.passages), ("queries", options.queries)):
        if sample := texts(name, count):
            answer[name] = throughput(embedder, library, sample, options.rounds)
    for name, figures in answer.items():
        print(f"{name:9}", "  ".join(f"{figure} {value:g}" for figure, value in figures.items()))
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
