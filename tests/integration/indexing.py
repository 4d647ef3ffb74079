"""Collections with vectors in clusters, for the tests of ANN indexes."""

from __future__ import annotations

from typing import Any

import numpy as np

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.records import Embedding


def clustered(number: int, dimensions: int, seed: int = 0) -> Embedding:
    """So many vectors around twenty centres, always the same ones."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((20, dimensions))
    made = centres[random.integers(0, 20, number)] + 0.5 * random.standard_normal((number, dimensions))
    return made.astype(np.float32)


def filled(db: Database, name: str, number: int, dimensions: int, **settings: Any) -> Collection:
    """A collection of clustered vectors that builds no index by itself; metadata `part` is 0 to 9."""
    collection = db.create_collection(name, dimensions=dimensions, index="none", **settings)
    vectors = clustered(number, dimensions)
    collection.put(
        Document(f"d{at}", f"text {at}", {"part": at % 10, "owner": f"o{at % 10}"}, embedding=vectors[at])
        for at in range(number)
    )
    return collection
