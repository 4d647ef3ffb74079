"""100,000 vectors to be given: embeddings of real passages where they were made once, else clustered random ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from semsearch import Document, Settings, embedders
from semsearch.records import Embedding
from tests.benchmarks import shared_data
from tests.benchmarks.home import MODEL
from tests.benchmarks.report import RESULTS

NUMBER = 100_000
QUERIES = 1_000
DIMENSIONS = 384
CACHE = RESULTS / "vectors.npy"


@dataclass(frozen=True)
class Vectors:
    """Vectors of length 1 to store, others of the same kind to ask with, and a word on what they are."""

    base: Embedding
    queries: Embedding
    label: str


def load(number: int = NUMBER, *, real: bool = False) -> Vectors:
    """`real` makes the embeddings of real passages if there are none yet, which takes minutes, and keeps them."""
    if real and not CACHE.exists():
        _make()
    if CACHE.exists():
        every = np.load(CACHE, mmap_mode="r")
        return Vectors(np.array(every[:number]), np.array(every[-QUERIES:]), "embeddings of real passages by MiniLM")
    every = _synthetic(number + QUERIES)
    return Vectors(every[:number], every[number:], "SYNTHETIC vectors in clusters")


def documents(vectors: Vectors, **metadata: list[Any]) -> list[Document]:
    """A document for each vector, with the text of some real passage; `metadata` is a list of values for each field."""
    passages = shared_data.passages()
    return [
        Document(
            id=f"p{at}",
            text=passages[at % len(passages)]["text"],
            metadata={name: values[at] for name, values in metadata.items()},
            embedding=vector,
        )
        for at, vector in enumerate(vectors.base)
    ]


def _make() -> None:
    texts = [f"{row['title']}\n{row['text']}" for row in shared_data.passages()]
    texts += [f"{each.title}\n{each.text}" for each in shared_data.retrieval_set("scifact").documents]
    np.random.default_rng(0).shuffle(texts)
    embedder = embedders.load(MODEL, Settings())
    made = []
    for start in range(0, NUMBER + QUERIES, 4096):
        made.append(embedder.embed_documents(texts[: NUMBER + QUERIES][start : start + 4096]))
        print(f"embedding real passages: {start + len(made[-1]):,} of {NUMBER + QUERIES:,}", flush=True)
    RESULTS.mkdir(exist_ok=True)
    np.save(CACHE, np.concatenate(made))


def _synthetic(number: int) -> Embedding:
    """2,000 clusters in 60 of the dimensions, of unequal size and width, and a little noise in all of them."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((2000, 60))
    which = np.minimum(random.zipf(1.3, number) - 1, 1999)
    latent = centres[which] + random.standard_normal((number, 60)) * random.uniform(0.3, 1.0, (number, 1))
    made = latent @ random.standard_normal((60, DIMENSIONS)) / 8 + 0.1 * random.standard_normal((number, DIMENSIONS))
    unit: Embedding = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    return unit
