"""Runs benchmarks by name, each in a process of its own, so that neither memory nor caches of one help another.

python -m tests.benchmarks                          # all of them
python -m tests.benchmarks given filters            # some
python -m tests.benchmarks bulk --sample 2000       # one, with its own options (--help lists them)
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARKS = {
    "start": "how long a command takes to answer, cold and with everything cached",
    "embedding": "texts/s of a local model, against the sentence-transformers library",
    "claim": "how long a claim takes from a backlog of 200,000 documents",
    "recovery": "seconds from the SIGKILL of a worker until another has claimed what it held",
    "triggers": "what the triggers of an attached table cost whoever writes to it",
    "embed_call": "CALL semsearch.embed from psql, cold and warm, against the model alone",
    "serving": "text search by HTTP for 1, 8 and 64 clients, against the model and the database alone; slow clients",
    "attached": "1,000,000 rows of a table: time to attach, documents/s of a worker, its memory",
    "given": "100,000 given vectors: put, index build and search, against plain PostgreSQL",
    "filters": "100,000 given vectors: complete answers and recall, however few chunks a filter leaves",
    "grid": "filtered search cell by cell: completeness, recall, times and the choice of plan; --peers for theirs too",
    "fuzz": "random filters: no string of a user becomes SQL, and PostgreSQL matches what Python does",
    "hybrid": "nDCG@10 of meaning, words, both, and both reranked, on four sets, beside a reference BM25",
    "advice": "what the index advisor predicts, against what is measured: bytes, memory, seconds",
    "awkward": "what became of each kind of difficult file",
    "quality": "nDCG@10 on scifact, stackfaq and xquad-en, against exact search with numpy",
    "peps": "the PEPs as files, and searches filtered by their headers",
    "verify": "documents/s that verify compares, of given embeddings and of a local model's",
    "bulk": "98,279 passages: rate against the embedder alone, memory, and a change of 1 %",
}
ROOT = Path(__file__).parent.parent.parent


def main(arguments: list[str]) -> int:
    names = [argument for argument in arguments if argument in BENCHMARKS]
    options = [argument for argument in arguments if argument not in BENCHMARKS]
    if options and len(names) != 1:
        print(__doc__, *(f"    {name:10}  {what}" for name, what in BENCHMARKS.items()), sep="\n")
        return 0 if options[0] in ("-h", "--help") else 2
    failed = [name for name in names or BENCHMARKS if run(name, options)]
    if failed:
        print(f"\nfailed or missed a target: {', '.join(failed)}")
    return bool(failed)


def run(name: str, options: list[str]) -> int:
    print(f"\n== {name}: {BENCHMARKS[name]}", flush=True)
    return subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}", *options], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
